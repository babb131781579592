//! HTTP/2 from request to response: content both ways, upstreams, windows, goodbyes.

mod clients;
mod encrypted;
mod ending;
mod floods;
mod priorities;
mod proxied;
mod websocket;

use crate::support::daemon::Daemon;
use crate::support::h2::{Client, PREFACE};
use crate::support::upstream::Upstream;

/// Routes of every kind; a log line is the path, the status, bytes in and out, and why.
fn daemon(limits: &str, upstream: &str) -> Daemon {
    Daemon::setup()
        .file("site/large", vec![b'x'; 1 << 20])
        .config(&config(limits, upstream, ""))
        .start()
}

fn config(limits: &str, upstream: &str, server: &str) -> String {
    format!(
        r#"
[server]
workers = 1
{server}
limits = {{ {limits} }}

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
format = "{{request.path}} {{response.status}} {{response.bytes}} {{response.why}}"

[upstream.backend]
servers = ["{upstream}"]

[[route]]
path = "/ok"
respond = {{ text = "ok" }}

[[route]]
path = "/up/*"
proxy = {{ upstream = "backend" }}

[[route]]
path = "/large"
static = {{ root = "site" }}

[[route]]
path = "/metrics"
metrics = {{}}
"#
    )
}

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn http1_and_http2_share_a_listener() {
    let daemon = daemon("", NOWHERE);
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
    let answer = Client::connect(&daemon, "web").get(1, "/ok");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.field("content-length"), Some("2"));
    assert_eq!(answer.field("server"), Some("httpserverd"));
    assert!(
        answer
            .field("date")
            .is_some_and(|date| date.ends_with("GMT"))
    );
    daemon.stdout().wait("/ok 200 2 -\n", 2);
}

#[test]
fn what_is_not_among_the_protocols_is_not_spoken() {
    let daemon = Daemon::start(
        r#"
[[listener]]
name = "old"
bind = "127.0.0.1:0"
protocols = ["http/1.1"]

[[listener]]
name = "new"
bind = "127.0.0.2:0"
protocols = ["h2"]

[[route]]
path = "/ok"
respond = { text = "ok" }
"#,
    );
    let mut wire = daemon.connect("old");
    wire.send(PREFACE);
    assert_eq!(wire.read_response().status(), 505);
    wire.expect_closed();
    assert_eq!(daemon.get("old", "/ok").text(), "ok");
    assert_eq!(daemon.get("new", "/ok").status(), 505);
    assert_eq!(Client::connect(&daemon, "new").get(1, "/ok").text(), "ok");
}

#[test]
fn a_preface_behind_a_request_is_no_preface() {
    let daemon = daemon("", NOWHERE);
    let mut wire = daemon.connect("web");
    assert_eq!(wire.get("/ok").text(), "ok");
    wire.send(PREFACE);
    assert_eq!(wire.read_response().status(), 505);
    wire.expect_closed();
}

#[test]
fn an_upstream_reads_the_request_as_http1() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    let fields = [
        ("accept", "a"),
        ("cookie", "b=1"),
        ("cookie", "c=2"),
        ("te", "trailers"),
    ];
    client.begin(1, "POST", "/up/x?y=%20z", &fields);
    client.data(1, b"hello ", false);
    client.data(1, b"world", true);
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(
        head.starts_with("POST /up/x?y=%20z HTTP/1.1\r\nHost: a\r\n"),
        "{}",
        head
    );
    assert!(head.contains("\r\ncookie: b=1; c=2\r\n"), "{head}");
    assert!(head.contains("\r\nTE: trailers\r\n"), "{head}");
    assert!(
        head.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nVia: 2.0 "), "{head}");
    let (content, _) = peer.read_chunked();
    assert_eq!(content, b"hello world");
    peer.send(
        "HTTP/1.1 200 OK\r\nConnection: x-own\r\nX-Own: 1\r\nKeep-Alive: 1\r\nTrailer: sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 6\r\n\r\n",
    );
    let answer = client.answer(1);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
    for gone in [
        "connection",
        "x-own",
        "keep-alive",
        "transfer-encoding",
        "content-length",
    ] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(
        answer.trailers,
        Some(vec![("sum".to_owned(), "6".to_owned())])
    );
}

#[test]
fn content_of_a_known_length_keeps_it() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "PUT", "/up/x", &[("content-length", "5")]);
    client.data(1, b"hello", true);
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("\r\nContent-Length: 5\r\n"), "{head}");
    assert_eq!(peer.read_bytes(5), b"hello");
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer(1).status(), 204);
}

#[test]
fn a_file_larger_than_the_windows_comes_as_they_open() {
    let daemon = daemon("", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    let answer = client.get(1, "/large");
    assert_eq!(answer.body.len(), 1 << 20);
    assert!(answer.body.iter().all(|byte| *byte == b'x'));
    daemon.stdout().wait("/large 200 1048576 -\n", 1);

    let mut client = Client::connect(&daemon, "web");
    client.updates = false;
    client.request(1, "GET", "/large", &[]);
    let full = client.answer_until(1, |answer| answer.body.len() == 65_535);
    assert!(!full.ended);
    // Others of the connection, without content, are answered meanwhile.
    client.request(3, "HEAD", "/large", &[]);
    assert_eq!(client.answer(3).status(), 200);
    client.window(0, 1 << 20);
    client.window(1, 1 << 20);
    assert_eq!(client.answer(1).body.len(), 1 << 20);
}

#[test]
fn a_reset_ends_the_exchange_and_the_upstreams_connection() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    client.reset(1);
    peer.expect_closed();
    daemon.stdout().wait("/up/x 499 0 client_abort\n", 1);
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn a_client_that_is_gone_ends_all_its_exchanges() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/1", &[]);
    client.request(3, "GET", "/up/3", &[]);
    let mut peers = [upstream.accept(), upstream.accept()];
    for peer in &mut peers {
        peer.read_request_head();
    }
    client.wire.reset();
    for peer in &mut peers {
        peer.expect_closed();
    }
    daemon.stdout().wait(" 499 0 client_abort\n", 2);
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    let fields = [("expect", "100-continue"), ("content-length", "2")];
    client.begin(1, "PUT", "/up/x", &fields);
    let told = client.answer_until(1, |answer| !answer.interim.is_empty());
    assert_eq!(told.interim, [[(":status".to_owned(), "100".to_owned())]]);
    client.data(1, b"hi", true);
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(2), b"hi");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer(1).status(), 200);
}

#[test]
fn content_must_not_stall() {
    let upstream = Upstream::tcp();
    let daemon = daemon("body_idle_timeout = \"100ms\"", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "PUT", "/up/x", &[("content-length", "10")]);
    client.data(1, b"first", false);
    assert_eq!(client.answer(1).status(), 408);
    daemon.stdout().wait("/up/x 408 ", 1);
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_to_end(), b"first");
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset() {
    let daemon = daemon("write_idle_timeout = \"100ms\"", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    client.updates = false;
    client.request(1, "GET", "/large", &[]);
    assert_eq!(client.answer(1).reset, Some("CANCEL"));
    daemon.stdout().wait("/large 200 65535 write_timeout\n", 1);
    client.request(3, "HEAD", "/large", &[]);
    assert_eq!(client.answer(3).status(), 200);
}

#[test]
fn a_connection_without_streams_ends_with_a_goodbye() {
    let daemon = daemon("keep_alive_timeout = \"100ms\"", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    assert_eq!(client.get(1, "/ok").text(), "ok");
    assert_eq!(client.goodbye(), ((1 << 31) - 1, "NO_ERROR"));
    assert_eq!(client.goodbye(), (1, "NO_ERROR"));
    assert!(client.frame().is_none());
}

#[test]
fn a_head_must_come_in_time() {
    let daemon = daemon("header_timeout = \"100ms\"", NOWHERE);
    let mut client = Client::silent(daemon.connect("web"));
    client.wire.send(PREFACE);
    client.wire.send([0, 0]);
    while client.frame().is_some() {}
    let mut client = Client::silent(daemon.connect("web"));
    client.wire.send(&PREFACE[..20]);
    while client.frame().is_some() {}
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn a_connection_may_carry_so_many_requests() {
    let daemon = daemon("requests_per_connection = 2", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    assert_eq!(client.get(1, "/ok").text(), "ok");
    assert_eq!(client.get(3, "/ok").text(), "ok");
    assert_eq!(client.goodbye().1, "NO_ERROR");
    assert_eq!(client.goodbye(), (3, "NO_ERROR"));
    assert!(client.frame().is_none());
}
