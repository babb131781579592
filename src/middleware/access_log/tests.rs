//! Lines, when they are handed over, and what cannot be written.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::build::{BuildContext, CarryOver, MemorySinks, Rotation, SinkTarget};
use crate::exchange::testing::TestRequest;
use crate::exchange::{FailedTry, UpstreamTrail, Why};
use crate::http::StatusCode;
use crate::middleware::tests::{build_in, problems};

fn build(text: &str, sinks: &MemorySinks) -> Box<dyn Middleware> {
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, "/base".into());
    cx.sinks = Arc::new(sinks.clone());
    build_in(&KIND, text, &mut cx)
}

fn outcome() -> Outcome {
    Outcome {
        status: Some(StatusCode::OK),
        body_sent: 121,
        body_received: 0,
        duration: Duration::from_micros(71),
        why: None,
    }
}

/// What one exchange leaves on standard output.
fn lines(text: &str, request: &mut TestRequest, outcome: &Outcome) -> String {
    let sinks = MemorySinks::default();
    let log = build(text, &sinks);
    log.on_complete(&request.exchange(), outcome);
    assert_eq!(sinks.written(&SinkTarget::Stdout), "", "it is buffered");
    request.locals.flush();
    sinks.written(&SinkTarget::Stdout)
}

/// The line with its time replaced.
#[track_caller]
fn check(text: &str, request: &mut TestRequest, expected: &str) {
    let line = lines(text, request, &outcome());
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert_eq!(time.len(), 26);
    assert_eq!(format!("{before}[]{after}"), format!("{expected}\n"));
}

#[test]
fn common_and_combined() {
    let mut request = TestRequest::get("/a?b=c").header("User-Agent", "curl/8 \"x\"\n");
    check(
        "format = 'common'",
        &mut request,
        "192.0.2.1 - - [] \"GET /a?b=c HTTP/1.1\" 200 121",
    );
    check(
        "format = 'combined'",
        &mut request,
        "192.0.2.1 - - [] \"GET /a?b=c HTTP/1.1\" 200 121 \"-\" \"curl/8 \\x22x\\x22 \"",
    );
    request.head.target.clear();
    check(
        "format = 'common'",
        &mut request,
        "192.0.2.1 - - [] \"-\" 200 121",
    );
}

#[test]
fn templates() {
    let mut request = TestRequest::get("/a").header("Referer", "x\"y");
    let text = "format = '{client.ip} \"{header.referer}\" {response.status} {response.why}'";
    assert_eq!(
        lines(text, &mut request, &outcome()),
        "192.0.2.1 \"x\\x22y\" 200 -\n"
    );
}

#[test]
fn json_of_a_plain_exchange() {
    let mut request = TestRequest::get("/a")
        .header("Host", "h:1")
        .header("User-Agent", "é\"\n");
    let line = lines("", &mut request, &outcome());
    let mut value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let time = value.as_object_mut().unwrap().remove("time").unwrap();
    assert_eq!(time.as_str().unwrap().len(), 24);
    let expected = serde_json::json!({
        "client_ip": "192.0.2.1", "method": "GET", "uri": "/a", "version": "HTTP/1.1",
        "host": "h:1", "status": 200, "bytes": 121, "received": 0, "duration_ms": 0.071,
        "user_agent": "é\" ", "listener": "test", "route": "test", "generation": 1,
    });
    assert_eq!(value, expected);
}

fn failed(endpoint: &str, why: Why, status: Option<u16>) -> FailedTry {
    FailedTry {
        endpoint: endpoint.into(),
        why,
        status,
        duration: Duration::from_micros(500),
    }
}

#[test]
fn json_of_an_exchange_that_broke() {
    let sinks = MemorySinks::default();
    let log = build("format = 'json'", &sinks);
    let mut request = TestRequest::get("/");
    request.head.target.clear();
    let mut x = request.exchange();
    x.client_ip = "2001:db8::1".parse::<IpAddr>().unwrap();
    x.route = "";
    x.request_id = Some("id-1".into());
    x.upstream = Some(Box::new(UpstreamTrail {
        upstream: "backend".into(),
        endpoint: Some("127.0.0.1:9000".into()),
        tries: 2,
        connected: Some(Duration::from_millis(1)),
        first_byte: Some(Duration::from_millis(2)),
        status: Some(500),
        failures: vec![
            failed("127.0.0.1:8", Why::ConnectRefused, None),
            failed("127.0.0.1:9", Why::RetriedStatus, Some(503)),
        ],
    }));
    let broken = Outcome {
        status: None,
        why: Some(Why::ClientAbort),
        ..outcome()
    };
    log.on_complete(&x, &broken);
    x.locals.flush();
    let line = sinks.written(&SinkTarget::Stdout);
    let mut value: serde_json::Value = serde_json::from_str(&line).unwrap();
    value.as_object_mut().unwrap().remove("time").unwrap();
    let expected = serde_json::json!({
        "client_ip": "2001:db8::1", "bytes": 121, "received": 0, "duration_ms": 0.071,
        "request_id": "id-1", "listener": "test", "generation": 1, "why": "client_abort",
        "upstream": "backend", "endpoint": "127.0.0.1:9000", "tries": 2,
        "failed_tries": [
            { "endpoint": "127.0.0.1:8", "why": "connect_refused", "ms": 0.5 },
            { "endpoint": "127.0.0.1:9", "why": "retried_status", "status": 503, "ms": 0.5 },
        ],
        "upstream_status": 500, "connect_ms": 1.0, "first_byte_ms": 2.0,
    });
    assert_eq!(value, expected);
}

#[test]
fn skipped_paths() {
    let text = "skip_paths = ['/health/*', '/favicon.ico']\nformat = '{request.path}'";
    for path in ["/health", "/health/live", "/health/", "/favicon.ico"] {
        assert_eq!(
            lines(text, &mut TestRequest::get(path), &outcome()),
            "",
            "{path}"
        );
    }
    for path in ["/healthy", "/", "/favicon.ico/x", "/a/health"] {
        let line = lines(text, &mut TestRequest::get(path), &outcome());
        assert_eq!(line, format!("{path}\n"));
    }
    let all = "skip_paths = ['/*']";
    assert_eq!(lines(all, &mut TestRequest::get("/a"), &outcome()), "");
}

#[test]
fn a_batch_is_handed_over_when_it_is_long_enough() {
    let sinks = MemorySinks::default();
    let log = build("format = '{request.uri}'\noutput = 'a.log'", &sinks);
    let target = SinkTarget::File("/base/a.log".into(), Rotation::default());
    let mut request = TestRequest::get(&format!("/{}", "x".repeat(1022)));
    for _ in 0..15 {
        log.on_complete(&request.exchange(), &outcome());
    }
    assert_eq!(sinks.written(&target), "");
    log.on_complete(&request.exchange(), &outcome());
    assert_eq!(sinks.written(&target).len(), 16 << 10);
    log.on_complete(&request.exchange(), &outcome());
    // A worker that ends hands over what it has.
    drop(request);
    assert_eq!(sinks.written(&target).len(), 17 << 10);
}

#[test]
fn a_first_line_has_the_worker_sweep_in_time() {
    let sinks = MemorySinks::default();
    let log = build("", &sinks);
    let mut request = TestRequest::get("/");
    let now = crate::clock::now();
    assert_eq!(request.locals.deadlines.next_sweep(now), None);
    log.on_complete(&request.exchange(), &outcome());
    assert!(request.locals.deadlines.next_sweep(now).is_some());
    let (first, second) = (Buffers::of(&request.locals), Buffers::of(&request.locals));
    assert!(Rc::ptr_eq(&first, &second));
}

#[test]
fn a_sink_nobody_writes_to_is_let_go() {
    let sinks = MemorySinks::default();
    let mut request = TestRequest::get("/");
    let log = build("output = 'stderr'", &sinks);
    log.on_complete(&request.exchange(), &outcome());
    request.locals.flush();
    drop((log, sinks));
    request.locals.flush();
    let buffers = format!("{:?}", Buffers::of(&request.locals));
    assert!(
        buffers.contains("batches: RefCell { value: [] }"),
        "{buffers}"
    );
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| assert_eq!(problems(&KIND, text), [expected]);
    check("format = 'jsn'", "there is no format `jsn`");
    check("format = '{nope}'", "there is no variable `{nope}`");
    check(
        "format = \"{client.ip}\\n\"",
        "a line of the log cannot hold a line break",
    );
    check(
        "output = 'stdot'",
        "`stdot` is neither an output nor a path",
    );
    check("skip_paths = ['health']", "`health` is not a path");
    check("skip_paths = ['/a/*/b']", "`/a/*/b` is not a path");
    check("fields = ['urr']", "no line has a field `urr`");
    check("omit = ['zzz']", "no line has a field `zzz`");
    check(
        "fields = ['uri']\nomit = ['host']",
        "`fields` names all there shall be, so there is nothing to omit",
    );
    check(
        "add = { uri = 'x' }",
        "a field of one's own cannot be called `uri`",
    );
    check(
        "add = { x = '{nope}' }",
        "`add.x`: there is no variable `{nope}`",
    );
    check(
        "format = 'common'\nadd = { x = 'y' }",
        "`add` is about fields, which only JSON has",
    );
    check(
        "request_headers = ['a b']",
        "`a b` cannot be the name of a field",
    );
    check("slow = '1s'", "`slow` says nothing without `sample`");
    check(
        "sample = '1%'\nerrors_from = 200",
        "200 is not the status of an error",
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_a_problem() {
    #[derive(Debug)]
    struct Refusing;
    impl crate::build::Sinks for Refusing {
        fn open(&self, _: &SinkTarget) -> std::io::Result<Arc<dyn Sink>> {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
    }
    for (text, expected) in [
        (
            "output = '/var/a.log'",
            "cannot open /var/a.log: permission denied",
        ),
        ("", "cannot log: permission denied"),
    ] {
        let section = crate::build::Section::from_text(text).unwrap();
        let settings = (KIND.parse)(&section, &mut crate::build::ParseContext::default());
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, "/".into());
        cx.sinks = Arc::new(Refusing);
        let problem = settings.unwrap().build(&mut cx).unwrap_err();
        assert_eq!(problem.message, expected);
    }
}

mod fields;
