//! Which fields a line has, what is hidden in it, and which lines there are.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::exchange::{Phases, Response, Trace};
use crate::http::name;

/// The line as JSON, without its time.
#[track_caller]
fn line(text: &str, request: &mut TestRequest) -> Value {
    let line = lines(text, request, &outcome());
    let mut value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
    value.as_object_mut().unwrap().remove("time");
    value
}

#[test]
fn only_these_fields_or_all_but_those() {
    let mut request = TestRequest::get("/a").header("User-Agent", "x");
    assert_eq!(
        line("fields = ['uri', 'status']", &mut request),
        json!({"uri": "/a", "status": 200})
    );
    assert_eq!(lines("fields = ['host']", &mut request, &outcome()), "{}\n");
    let text = "omit = ['time', 'client_ip', 'user_agent', 'listener', 'route', 'generation', \
                'method', 'version', 'received', 'duration_ms']";
    assert_eq!(
        lines(text, &mut request, &outcome()),
        "{\"uri\":\"/a\",\"status\":200,\"bytes\":121}\n"
    );
}

#[test]
fn fields_of_one_s_own() {
    let mut request = TestRequest::get("/a?q=1").header("X-T", "\"é");
    let text = r#"
        fields = ["uri"]
        [add]
        service = "a\"b"
        t = "<{header.x-t}>"
        none = "{query.none}"
        s = "{response.status}"
    "#;
    assert_eq!(
        line(text, &mut request),
        json!({"uri": "/a?q=1", "service": "a\"b", "t": "<\"é>", "s": "200"})
    );
}

#[test]
fn what_middleware_found_out() {
    let sinks = MemorySinks::default();
    let log = build("", &sinks);
    let common = build("format = 'common'", &sinks);
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    x.phases = Phases {
        read: Some(x.started + Duration::from_millis(3)),
        routed: Some(x.started),
    };
    let facts = x.facts_mut();
    facts.user = Some("al ice".into());
    facts.policy = Some("limit".into());
    facts.would_refuse.push("a".into());
    facts.would_refuse.push("b\"".into());
    facts.cache = Some("hit");
    facts.log.push(("team".into(), Box::from(*b"x")));
    facts.trace = Some(Trace {
        id: [b'a'; 32],
        parent: Some([b'b'; 16]),
        span: [b'c'; 16],
        flags: 1,
    });
    log.on_complete(&x, &outcome());
    common.on_complete(&x, &outcome());
    x.locals.flush();
    let text = sinks.written(&SinkTarget::Stdout);
    let (first, second) = text.split_once('\n').unwrap();
    let value: Value = serde_json::from_str(first).unwrap();
    for (key, expected) in [
        ("user", json!("al ice")),
        ("policy", json!("limit")),
        ("would_refuse", json!(["a", "b\""])),
        ("cache", json!("hit")),
        ("team", json!("x")),
        ("trace_id", json!("a".repeat(32))),
        ("parent_id", json!("b".repeat(16))),
        ("span_id", json!("c".repeat(16))),
        ("read_ms", json!(3.0)),
        ("route_ms", Value::Null),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    assert!(second.starts_with("192.0.2.1 - al\\x20ice ["), "{second}");
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let mut request = TestRequest::get("/a?token=s3&x=1")
        .header("Authorization", "Basic s3")
        .header("Cookie", "session=s3; theme=dark")
        .header("Referer", "http://h/?token=s3")
        .header("X-Key", "s3")
        .header("X-Key", "s4");
    let hide = "redact_query = ['token']\nredact_headers = ['Authorization', 'x-key']\n\
                redact_cookies = ['session']\n";
    let json = format!("{hide}request_headers = ['*']\nadd = {{ q = '{{request.query}}' }}");
    assert_eq!(
        line(
            &format!("{json}\nfields = ['uri', 'referer']"),
            &mut request
        ),
        json!({
            "uri": "/a?token=REDACTED&x=1",
            "referer": "http://h/?token=REDACTED",
            "q": "token=REDACTED&x=1",
            "request_headers": {
                "authorization": "REDACTED",
                "cookie": "session=REDACTED; theme=dark",
                "referer": "http://h/?token=REDACTED",
                "x-key": "REDACTED, REDACTED",
            },
        })
    );
    let template = "format = '{request.uri} {query.token} {query.x} {cookie.session} \
                    {cookie.theme} {header.authorization} {header.cookie} {header.referer}'";
    let line = lines(&format!("{hide}{template}"), &mut request, &outcome());
    assert!(!line.contains("s3"), "{line}");
    assert!(line.starts_with("/a?token=REDACTED&x=1 REDACTED 1 REDACTED dark REDACTED session="));
    for format in ["common", "combined"] {
        let text = format!("{hide}format = '{format}'");
        let line = lines(&text, &mut request, &outcome());
        assert!(!line.contains("s3"), "{line}");
    }
    // Without a word about it, what proves who someone is stays out.
    let text = "format = '{header.authorization} {header.cookie} {cookie.theme}'";
    let line = lines(text, &mut request, &outcome());
    assert_eq!(line, "REDACTED REDACTED dark\n");
}

#[test]
fn fields_of_the_response() {
    let sinks = MemorySinks::default();
    let log = build(
        "fields = ['status']\nresponse_headers = ['content-type', 'Set-Cookie', 'X-None']",
        &sinks,
    );
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    let mut response = Response::text(StatusCode::OK, "a");
    response.headers.append(&name::SET_COOKIE, "session=1");
    log.on_response(&mut x, &mut response);
    log.on_complete(&x, &outcome());
    // One that was cut off before it had a response.
    let mut request = TestRequest::get("/");
    let y = request.exchange();
    log.on_complete(&y, &outcome());
    x.locals.flush();
    y.locals.flush();
    let text = sinks.written(&SinkTarget::Stdout);
    assert_eq!(
        text,
        "{\"status\":200,\"response_headers\":{\
         \"content-type\":\"text/plain; charset=utf-8\",\"set-cookie\":\"REDACTED\"}}\n\
         {\"status\":200}\n"
    );
}

#[test]
fn of_what_goes_well_a_part_is_logged_and_of_the_rest_everything() {
    let sinks = MemorySinks::default();
    let log = build(
        "fields = ['status']\nsample = '25%'\nslow = '1s'\nerrors_from = 500",
        &sinks,
    );
    let mut request = TestRequest::get("/");
    let x = request.exchange();
    let log_all = |count: u32, outcome: &Outcome| {
        for _ in 0..count {
            log.on_complete(&x, outcome);
        }
        x.locals.flush();
        sinks.written(&SinkTarget::Stdout)
    };
    let text = log_all(4000, &outcome());
    let sampled = text.lines().count();
    // Eight standard deviations of 27.
    assert!((780..1220).contains(&sampled), "{sampled}");
    assert!(
        text.lines()
            .all(|line| line == "{\"status\":200,\"sample\":\"25%\"}")
    );
    let with = |status: u16, why: Option<Why>, duration: u64| Outcome {
        status: StatusCode::new(status),
        why,
        duration: Duration::from_millis(duration),
        ..outcome()
    };
    for always in [
        with(500, None, 0),
        with(200, None, 1000),
        with(200, Some(Why::WriteTimeout), 0),
        Outcome {
            status: None,
            ..outcome()
        },
    ] {
        let before = sinks.written(&SinkTarget::Stdout).lines().count();
        let text = log_all(50, &always);
        assert_eq!(text.lines().count(), before + 50, "{always:?}");
        assert!(!text.lines().last().unwrap().contains("sample"));
    }
    let before = sinks.written(&SinkTarget::Stdout).lines().count();
    let text = log_all(100, &with(404, Some(Why::FileNone), 0));
    assert!(text.lines().count() < before + 100);
}
