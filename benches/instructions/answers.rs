//! Whole answers of a kilobyte: from a small file, and from the cache.

use std::fs;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use httpserverd::build::{BuildContext, CarryOver, Kind, ParseContext, Section};
use httpserverd::clock;
use httpserverd::exchange::{
    BlockingPool, Body, ConnectionInfo, Exchange, Flow, Middleware, Response, WorkerLocals,
};
use httpserverd::http::h1::head::{HeadLimits, RequestParser};
use httpserverd::http::{RequestHead, StatusCode, name};
use httpserverd::{handlers, middleware};

/// What is asked for.
const HEAD: &[u8] = b"GET /page.html HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: curl/7.88.1\r\n\
Accept: */*\r\n\r\n";

/// The content of both.
const CONTENT: [u8; 1024] = [b'x'; 1024];

/// A file that `static` has in memory.
pub(crate) fn small_file(iterations: u64) {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("page.html"), CONTENT).expect("a file");
    let root_text = root.path().display();
    let text = format!("root = \"{root_text}\"\ncache_control = \"max-age=3600\"");
    let handler = build(handlers::REGISTRY, "static", &text);
    with_exchange(|x| {
        for _ in 0..iterations {
            x.facts = None;
            let response = done(handler.handle(x));
            assert_eq!(response.body.length(), Some(1024));
            black_box(&response);
        }
    });
}

/// A response that the cache has.
pub(crate) fn cache_hit(iterations: u64) {
    let cache: Box<dyn Middleware> = build(middleware::REGISTRY, "cache", "");
    with_exchange(|x| {
        assert!(matches!(cache.on_request(x), Flow::Continue));
        let mut response = Response::new(StatusCode::OK)
            .with(&name::CONTENT_TYPE, "text/html; charset=utf-8")
            .with(&name::LAST_MODIFIED, "Tue, 24 Nov 2026 08:15:00 GMT")
            .with(&name::ETAG, "\"18a1f3c2b4-400\"")
            .with(&name::ACCEPT_RANGES, "bytes")
            .with(&name::CACHE_CONTROL, "max-age=3600");
        response.body = Body::from(bytes::Bytes::from_static(&CONTENT));
        cache.on_response(x, &mut response);
        for _ in 0..iterations {
            x.facts = None;
            let flow = cache.on_request(x);
            let is_whole = |response: &Response| response.body.length() == Some(1024);
            assert!(matches!(&flow, Flow::Respond(response) if is_whole(response)));
            black_box(&flow);
        }
    });
}

fn build<T>(registry: &[Kind<T>], name: &str, text: &str) -> T {
    let kind = registry.iter().find(|kind| kind.name == name);
    let kind = kind.expect("a known kind");
    let section = Section::from_text(text).expect("a good table");
    let settings = (kind.parse)(&section, &mut ParseContext::default()).expect("good settings");
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, "/".into());
    settings.build(&mut cx).expect("it can be built")
}

/// The result of a future that may wait for the blocking pool the first time.
fn done<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::yield_now(),
        }
    }
}

fn with_exchange(work: impl FnOnce(&mut Exchange<'_>)) {
    let (blocking, jobs) = BlockingPool::new(1);
    let pool = thread::Builder::new().spawn(move || jobs.run(|| {}));
    let locals = WorkerLocals::new(0, 1, blocking, Arc::default());
    let connection = ConnectionInfo {
        id: 1,
        peer: ([192, 0, 2, 1], 50_000).into(),
        local: ([192, 0, 2, 80], 80).into(),
        listener: Arc::from("web"),
        secure: false,
        announced: None,
        tls: std::cell::OnceCell::new(),
    };
    let mut request = RequestHead::default();
    let parsed = RequestParser::default().parse(HEAD, &HeadLimits::default(), &mut request);
    assert_eq!(parsed, Ok(Some(HEAD.len())));
    work(&mut Exchange::new(
        &mut request,
        &connection,
        &locals,
        clock::now(),
    ));
    drop(locals);
    pool.expect("a thread").join().expect("the pool ends");
}
