//! A line for each exchange, however it ended; and no client writes one of its own.

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

/// `FORMAT` of the lines, the address `UPSTREAM`.
const CONFIG: &str = r#"
[server]
workers = 1
limits = { request_line = "256B", headers = "1KiB", body = "64B" }

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
format = 'FORMAT'
skip_paths = ["/health/*"]

[upstream.backend]
servers = ["UPSTREAM"]

[[route]]
name = "page"
path = "/ok"
methods = ["GET"]
respond = { text = "fine" }

[[route]]
path = "/health/live"
health = { kind = "liveness" }

[[route]]
name = "app"
path = "/up"
proxy = { upstream = "backend" }
"#;

/// What a test can know of every exchange.
const SHORT: &str = "{request.method} {request.uri} {response.status} {response.why}";

fn start(format: &str, upstream: &str) -> Daemon {
    Daemon::start(
        &CONFIG
            .replace("FORMAT", format)
            .replace("UPSTREAM", upstream),
    )
}

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";

/// Sends one request on a connection of its own, and waits for its answer and its line.
#[track_caller]
fn check(daemon: &Daemon, sent: &str, line: &str) {
    let mut wire = daemon.connect("web");
    wire.send(sent);
    wire.finish_sending();
    wire.read_to_end();
    daemon.stdout().wait(&format!("{line}\n"), 1);
}

#[test]
fn what_was_answered_or_refused_leaves_a_line_with_the_reason() {
    let daemon = start(SHORT, NOWHERE);
    let long = "x".repeat(256);
    let fields = format!("X: {long}\r\n").repeat(4);
    for (sent, line) in [
        ("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", "GET /ok 200 -"),
        (
            "GET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /no 404 route_none",
        ),
        (
            "PUT /ok HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT /ok 405 method_not_allowed",
        ),
        (
            "GET /up HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /up 502 connect_refused",
        ),
        (
            "PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n",
            "PUT /up 413 body_too_large",
        ),
        ("GET /ok HTTP/1.1\r\n\r\n", "- - 400 bad_host"),
        ("GET /o k HTTP/1.1\r\nHost: a\r\n\r\n", "- - 400 bad_head"),
        ("GET ok HTTP/1.1\r\nHost: a\r\n\r\n", "- - 400 bad_target"),
        ("GET /ok HTTP/2.0\r\nHost: a\r\n\r\n", "- - 505 bad_version"),
        (
            "PUT /ok HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            "PUT /ok 400 bad_framing",
        ),
        (
            "PUT /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip, chunked\r\n\r\n",
            "PUT /ok 501 unknown_coding",
        ),
        (
            "PUT /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: x\r\n\r\n",
            "PUT /ok 417 bad_expectation",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            "CONNECT a:1 501 bad_method",
        ),
        (
            &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            "- - 414 target_too_long",
        ),
        (
            &format!("GET /ok HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
            "- - 431 head_too_large",
        ),
    ] {
        check(&daemon, sent, line);
    }
}

#[test]
fn what_broke_leaves_a_line_with_what_went_out() {
    let upstream = Upstream::tcp();
    let daemon = start(
        "{request.uri} {response.status} {response.bytes} {response.why}",
        &upstream.address,
    );
    // The client goes before there is an answer.
    let mut client = daemon.connect("web");
    client.send("GET /up?gone HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    client.reset();
    daemon.stdout().wait("/up?gone 499 0 client_abort\n", 1);
    drop(peer);
    // It goes while the answer is on its way.
    let mut client = daemon.connect("web");
    client.send("GET /up?within HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    client.expect_head("HTTP/1.1 200 OK\r\n");
    client.read_bytes(5);
    client.reset();
    daemon.stdout().wait("/up?within 200 5 client_abort\n", 1);
    drop(peer);
    // The upstream goes while the answer is on its way.
    let mut client = daemon.connect("web");
    client.send("GET /up?cut HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    client.expect_head("HTTP/1.1 200 OK\r\n");
    drop(peer);
    assert_eq!(client.read_to_end(), b"first");
    daemon.stdout().wait("/up?cut 200 5 body_truncated\n", 1);
}

#[test]
fn the_forms_that_every_tool_reads() {
    let daemon = start("common", NOWHERE);
    daemon.get("web", "/ok?a=1");
    daemon.stdout().wait("\"GET /ok?a=1 HTTP/1.1\" 200 4\n", 1);
    let line = daemon.stdout().text();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains(" +0000] \"GET"), "{line}");

    let daemon = start("combined", NOWHERE);
    check(
        &daemon,
        "GET /ok HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: c d\r\n\r\n",
        "\"GET /ok HTTP/1.1\" 200 4 \"http://b/\" \"c d\"",
    );
    check(
        &daemon,
        "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
        "\"GET /none HTTP/1.1\" 404 21 \"-\" \"-\"",
    );
    check(&daemon, "GET\r\n\r\n", "\"-\" 400 39 \"-\" \"-\"");
}

#[test]
fn an_object_holds_all_that_is_known() {
    let upstream = Upstream::tcp();
    let address = upstream.address.clone();
    let daemon = start("json", &address);
    let mut client = daemon.connect("web");
    client.send(
        "PUT /up?q HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\nUser-Agent: u\r\n\
         Content-Length: 3\r\n\r\nabc",
    );
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("201 Created", "done");
    assert_eq!(client.read_response().status(), 201);
    daemon.stdout().wait("}\n", 1);
    let line: Value = serde_json::from_str(&daemon.stdout().text()).unwrap();
    for (key, expected) in [
        ("client_ip", json!("127.0.0.1")),
        ("method", json!("PUT")),
        ("uri", json!("/up?q")),
        ("version", json!("HTTP/1.1")),
        ("host", json!("a")),
        ("status", json!(201)),
        ("bytes", json!(4)),
        ("received", json!(3)),
        ("user_agent", json!("u")),
        ("listener", json!("web")),
        ("route", json!("app")),
        ("generation", json!(1)),
        ("upstream", json!("backend")),
        ("endpoint", json!(address)),
        ("tries", json!(1)),
        ("upstream_status", json!(201)),
    ] {
        assert_eq!(line[key], expected, "{key} of {line}");
    }
    for key in ["duration_ms", "first_byte_ms"] {
        assert!(line[key].is_number(), "{key} of {line}");
    }
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    assert_ne!(line["request_id"], "mine", "from a peer that nobody trusts");
    assert!(line.get("why").is_none(), "{line}");
}

#[test]
fn no_client_writes_a_line_of_its_own() {
    for format in ["combined", "json", "{request.uri} {header.user-agent}"] {
        let daemon = start(format, NOWHERE);
        // What would end a field, an object or a line, or paint the terminal.
        let fields =
            "Host: a\r\nUser-Agent: \"}\\\t{\u{85}\u{2028}\u{9b}31m\r\nReferer: \"\r\n\r\n";
        for target in [
            "/ok?\"",
            "/ok?%0a{\"status\":200}",
            "/ok?\u{85}",
            "/ok?\u{1b}[31m",
        ] {
            let mut wire = daemon.connect("web");
            wire.send(format!("GET {target} HTTP/1.1\r\n{fields}"));
            wire.read_response();
        }
        daemon.get("web", "/last");
        daemon.stdout().wait("/last", 1);
        let text = daemon.stdout().text();
        assert_eq!(text.lines().count(), 5, "{format}: {text}");
        assert!(
            text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')),
            "{format}: {text:?}"
        );
        if format == "json" {
            let agents = text.lines().map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["user_agent"].as_str().map(str::to_owned)
            });
            let whole = Some("\"}\\\t{\u{85}\u{2028}\u{9b}31m".to_owned());
            assert!(
                agents.filter(|agent| *agent == whole).count() >= 2,
                "{text}"
            );
        }
    }
}

#[test]
fn what_is_skipped_leaves_nothing() {
    let daemon = start("{request.uri}", NOWHERE);
    daemon.get("web", "/health/live");
    daemon.get("web", "/ok");
    daemon.stdout().wait("/ok\n", 1);
    assert_eq!(daemon.stdout().text(), "/ok\n");
}
