//! The access log: what a line says, and what it must not.

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

#[test]
fn fields_redaction_and_the_response() {
    let daemon = Daemon::start(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[middleware.access_log]
type = "access_log"
fields = ["uri", "status", "why"]
add = { agent = "{header.user-agent}" }
request_headers = ["X-Secret", "X-Open"]
response_headers = ["content-type"]
redact_headers = ["X-Secret"]
redact_query = ["token"]
[[route]]
path = "/*"
respond = { text = "hello" }
"#,
    );
    let mut wire = daemon.connect("web");
    wire.send(
        "GET /a?token=s3&b=1 HTTP/1.1\r\nHost: a\r\nX-Secret: s3\r\nX-Open: o\r\n\
         User-Agent: test\r\n\r\nBAD\r\n\r\n",
    );
    assert_eq!(wire.read_response().head.status, 200);
    assert_eq!(wire.read_response().head.status, 400);
    let lines = lines(&daemon, 2);
    let expected = serde_json::json!({
        "uri": "/a?token=REDACTED&b=1", "status": 200, "agent": "test",
        "request_headers": {"x-secret": "REDACTED", "x-open": "o"},
        "response_headers": {"content-type": "text/plain; charset=utf-8"},
    });
    assert_eq!(lines[0], expected);
    // What was refused before it was a request has a line as well.
    assert_eq!(lines[1]["why"], "bad_head");
}

#[test]
fn a_sample_keeps_every_error() {
    let daemon = Daemon::start(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[middleware.access_log]
type = "access_log"
sample = "0%"
[[route]]
path = "/good"
respond = { text = "hello" }
"#,
    );
    let mut wire = daemon.connect("web");
    for target in ["/good", "/bad/1", "/good", "/good", "/bad/2"] {
        wire.get(target);
    }
    let lines = lines(&daemon, 2);
    let uris: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["uri"].as_str())
        .collect();
    assert_eq!(uris, ["/bad/1", "/bad/2"]);
}

#[test]
fn routes_add_fields_and_the_upstream_has_its_phases() {
    let upstream = Upstream::tcp();
    let daemon = Daemon::start(&format!(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[upstream.backend]
servers = ["{}"]
[middleware.payments]
type = "log_fields"
fields = {{ team = "payments", order = "{{query.order}}" }}
[[route]]
name = "pay"
path = "/pay"
middleware = ["payments"]
proxy = {{ upstream = "backend" }}
"#,
        upstream.address
    ));
    let served = upstream.serve(1, |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    assert_eq!(daemon.get("web", "/pay?order=7").head.status, 200);
    let line = lines(&daemon, 1).remove(0);
    for (key, expected) in [
        ("team", "payments"),
        ("order", "7"),
        ("route", "pay"),
        ("upstream", "backend"),
    ] {
        assert_eq!(line[key], expected, "{line}");
    }
    for key in ["connect_ms", "first_byte_ms", "duration_ms"] {
        assert!(line[key].is_number(), "{key}: {line}");
    }
    assert_eq!(
        (&line["tries"], &line["generation"]),
        (&1.into(), &1.into())
    );
    drop(daemon);
    served.join().unwrap();
}
