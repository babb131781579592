//! What is counted.

use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::answers;
use httpserverd::build::{BuildContext, CarryOver, ParseContext, Section};
use httpserverd::clock;
use httpserverd::exchange::{
    BlockingPool, ConnectionInfo, Exchange, Middleware, Outcome, Params, Response, WorkerLocals,
};
use httpserverd::handlers::Handler;
use httpserverd::http::h1::chunked::{Decoder, write_chunk_head};
use httpserverd::http::h1::encode::{
    BodyLength, ConnectionOption, HeadOptions, write_response_head,
};
use httpserverd::http::h1::head::{HeadLimits, RequestParser};
use httpserverd::http::{RequestHead, StatusCode, name};
use httpserverd::routing::chain::{Chain, Entered};
use httpserverd::routing::pattern::PathPattern;
use httpserverd::routing::route::Route;
use httpserverd::routing::rule::Rule;
use httpserverd::routing::table::{Found, Table};

/// One line of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Enough that what is done once is little beside it.
    pub(crate) iterations: u64,
    /// Prepares, and then does it so many times.
    pub(crate) run: fn(u64),
}

/// Every case, in the order of the table.
pub(crate) const ALL: [Case; 13] = [
    case("parse curl's head", 20_000, |n| parse(CURL, n)),
    case("parse a browser's head", 20_000, |n| parse(BROWSER, n)),
    case("lookup among 10 routes", 20_000, |n| lookup(10, n)),
    case("lookup among 10,000", 20_000, |n| lookup(10_000, n)),
    case("encode a response head", 20_000, encode),
    case("decode 4 chunks of 1 KiB", 20_000, decode),
    case("chain of 0", 20_000, |n| chain(0, n)),
    case("chain of 8", 20_000, |n| chain(8, n)),
    case("exchange, no middleware", 20_000, |n| exchange(&[], n)),
    case("exchange, eight kinds", 20_000, |n| exchange(&EIGHT, n)),
    case("access log, JSON", 20_000, access_log),
    case("answer with a small file", 20_000, answers::small_file),
    case("answer with a cache hit", 20_000, answers::cache_hit),
];

const fn case(name: &'static str, iterations: u64, run: fn(u64)) -> Case {
    Case {
        name,
        iterations,
        run,
    }
}

/// What curl sends.
const CURL: &[u8] = b"GET /health/live HTTP/1.1\r\n\
Host: localhost:8080\r\n\
User-Agent: curl/7.88.1\r\n\
Accept: */*\r\n\r\n";

/// What a browser sends for a picture of a page.
const BROWSER: &[u8] = b"GET /images/2026/11/header-large.webp?v=20261124 HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n\
Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
DNT: 1\r\n\
Sec-GPC: 1\r\n\
Connection: keep-alive\r\n\
Referer: https://www.example.com/articles/2026/11/24/how-to-count-instructions\r\n\
Cookie: session=01985c5e-7d3c-7bb4-9c3e-0a1b2c3d4e5f; theme=dark; consent=1\r\n\
Sec-Fetch-Dest: image\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Sec-Fetch-Site: same-origin\r\n\
Priority: u=4, i\r\n\
If-None-Match: \"18a1f3c2b4-400\"\r\n\r\n";

/// A connection's head, filled anew for each request.
fn parse(head: &[u8], iterations: u64) {
    let limits = HeadLimits::default();
    let mut request = RequestHead::default();
    let mut parser = RequestParser::default();
    for _ in 0..iterations {
        let length = parser.parse(black_box(head), &limits, &mut request);
        assert_eq!(length, Ok(Some(head.len())));
        black_box(&request);
    }
}

/// The head of a file: what `static` sends.
fn encode(iterations: u64) {
    let response = Response::new(StatusCode::OK)
        .with(&name::CONTENT_TYPE, "text/html; charset=utf-8")
        .with(&name::LAST_MODIFIED, "Tue, 24 Nov 2026 08:15:00 GMT")
        .with(&name::ETAG, "\"18a1f3c2b4-400\"")
        .with(&name::ACCEPT_RANGES, "bytes");
    let mut out = Vec::with_capacity(1024);
    for _ in 0..iterations {
        out.clear();
        let options = HeadOptions {
            date: b"Tue, 24 Nov 2026 08:15:00 GMT",
            server: Some("httpserverd"),
            connection: ConnectionOption::Unsaid,
            body: BodyLength::Length(1024),
        };
        write_response_head(&mut out, response.status, &response.headers, &options);
        black_box(&out);
    }
}

/// A body as an upstream streams it, all of it in the buffer.
fn decode(iterations: u64) {
    let mut body = Vec::new();
    for _ in 0..4 {
        write_chunk_head(&mut body, 1024);
        body.resize(body.len() + 1024, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    for _ in 0..iterations {
        let mut decoder = Decoder::default();
        let mut left = black_box(&body[..]);
        while !decoder.is_done() {
            let step = decoder.decode(left).expect("a good body");
            left = &left[step.consumed..];
            black_box(step.data);
        }
        assert!(left.is_empty());
    }
}

/// Half of the routes are literal, half capture a segment; one of these is looked up.
fn lookup(routes: usize, iterations: u64) {
    let rules: Vec<Rule> = (0..routes).map(rule).collect();
    let table = Table::new(&rules, Chain::default()).for_worker();
    let mut request = RequestHead::default();
    let target = format!("/section-{}/items/4711?full=1", (routes / 2) | 1);
    request
        .target
        .parse(target.as_bytes())
        .expect("a good target");
    let mut params = Params::default();
    assert!(matches!(table.find(&request, &mut params), Found::Route(_)));
    for _ in 0..iterations {
        black_box(table.find(black_box(&request), &mut params));
    }
}

fn rule(position: usize) -> Rule {
    let path = match position % 2 {
        0 => format!("/section-{position}/about"),
        _ => format!("/section-{position}/items/:id"),
    };
    Rule {
        hosts: Vec::new(),
        path: PathPattern::parse(&path).expect("a good pattern"),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        priority: 0,
        position,
        route: Arc::new(Route {
            name: path.into(),
            chain: Chain::default(),
            handler: Handler::NotFound,
            numbers: None,
        }),
    }
}

/// A middleware that does nothing: what is left is the chain itself.
#[derive(Debug)]
struct Nothing;

impl Middleware for Nothing {}

/// The two hooks before the response is sent.
fn chain(links: usize, iterations: u64) {
    let chain = Chain::new((0..links).map(|_| Arc::new(Nothing) as Arc<dyn Middleware>));
    with_exchange(|x| {
        for _ in 0..iterations {
            let mut entered = Entered::default();
            let answered = at_once(chain.on_request(x, &mut entered));
            let mut response = answered.unwrap_or_else(|| Response::new(StatusCode::OK));
            chain.on_response(entered, x, &mut response);
            black_box(&response);
        }
    });
}

/// What many sites have.
const EIGHT: [(&str, &str); 8] = [
    ("request_id", ""),
    ("ip_filter", "allow = ['192.0.2.0/24']"),
    ("user_agent_filter", "deny = ['badbot']"),
    ("cors", ""),
    ("rate_limit", "rate = '4000000000/s'"),
    ("security_headers", ""),
    ("headers", "response.set = { X-Served-By = 'bench' }"),
    ("compression", ""),
];

/// All hooks of these kinds, for what a browser asks for, which is parsed anew each time.
fn exchange(kinds: &[(&str, &str)], iterations: u64) {
    let links = kinds.iter().map(|(name, text)| Arc::from(kind(name, text)));
    let chain = Chain::new(links);
    let outcome = Outcome {
        status: Some(StatusCode::OK),
        body_sent: 1024,
        body_received: 0,
        duration: Duration::from_micros(71),
        why: None,
    };
    with_exchange(|x| {
        let mut parser = RequestParser::default();
        for _ in 0..iterations {
            let parsed = parser.parse(BROWSER, &HeadLimits::default(), x.request);
            assert_eq!(parsed, Ok(Some(BROWSER.len())));
            (x.facts, x.request_id) = (None, None);
            let mut entered = Entered::default();
            let answered = at_once(chain.on_request(x, &mut entered));
            let mut response = answered.unwrap_or_else(|| Response::new(StatusCode::OK));
            assert_eq!(response.status, StatusCode::OK);
            chain.on_response(entered, x, &mut response);
            chain.on_complete(entered, x, &outcome);
            black_box(&response);
        }
    });
}

/// A middleware with these settings.
fn kind(name: &str, text: &str) -> Box<dyn Middleware> {
    let kind = httpserverd::middleware::REGISTRY
        .iter()
        .find(|kind| kind.name == name)
        .expect("a known kind");
    let section = Section::from_text(text).expect("a good table");
    let settings = (kind.parse)(&section, &mut ParseContext::default()).expect("good settings");
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, "/".into());
    settings.build(&mut cx).expect("it can be built")
}

/// A line of the access log with its defaults, for what a browser asks for.
fn access_log(iterations: u64) {
    let log = kind("access_log", "");
    let outcome = Outcome {
        status: Some(StatusCode::OK),
        body_sent: 1024,
        body_received: 0,
        duration: Duration::from_micros(71),
        why: None,
    };
    with_exchange(|x| {
        let parsed = RequestParser::default().parse(BROWSER, &HeadLimits::default(), x.request);
        assert_eq!(parsed, Ok(Some(BROWSER.len())));
        for _ in 0..iterations {
            log.on_complete(black_box(x), &outcome);
        }
    });
}

/// The result of a future that waits for nothing.
#[expect(
    clippy::unreachable,
    reason = "a bench whose premise is wrong must stop"
)]
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

fn with_exchange(work: impl FnOnce(&mut Exchange<'_>)) {
    let (blocking, _jobs) = BlockingPool::new(1);
    let locals = WorkerLocals::new(0, 1, blocking, Arc::default());
    let connection = ConnectionInfo {
        id: 1,
        peer: SocketAddr::from(([192, 0, 2, 1], 50_000)),
        local: SocketAddr::from(([192, 0, 2, 80], 80)),
        listener: Arc::from("web"),
        secure: false,
        announced: None,
        tls: std::cell::OnceCell::new(),
    };
    let mut request = RequestHead::default();
    work(&mut Exchange::new(
        &mut request,
        &connection,
        &locals,
        clock::now(),
    ));
}
