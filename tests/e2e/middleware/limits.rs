//! `body_limit` and `timeout`: what is set for some routes only.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;

use crate::e2e::metrics::number;
use crate::support::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

fn start(upstream: &Upstream) -> Daemon {
    Daemon::start(&format!(
        r#"
[server]
workers = 1
limits.body = "1KiB"
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "{{request.uri}} {{response.status}} {{response.why}} {{request.bytes}}"

[middleware.small]
type = "body_limit"
max = "10B"

[middleware.large]
type = "body_limit"
max = "1MiB"

[middleware.watched]
type = "body_limit"
max = "10B"
enforce = false

[middleware.short]
type = "timeout"
after = "1s"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["{}"]

[[route]]
path = "/metrics"
metrics = {{}}

[[route]]
path = "/small/*"
middleware = ["small"]
proxy = {{ upstream = "backend" }}

[[route]]
path = "/large/*"
middleware = ["small", "large"]
proxy = {{ upstream = "backend" }}

[[route]]
path = "/watched/*"
middleware = ["cors", "watched"]
proxy = {{ upstream = "backend" }}

[[route]]
path = "/huge"
middleware = ["short"]
static = {{ root = ".", strip_prefix = "/" }}

[[route]]
path = "/short/*"
middleware = ["short", "cors"]
proxy = {{ upstream = "backend" }}
"#,
        upstream.address
    ))
}

fn post(target: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

fn chunked(target: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
    [head.into_bytes(), body.into_bytes()].concat()
}

#[test]
fn a_route_takes_less_content_than_the_server() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    for request in [post("/small/a", 11), chunked("/small/a", 11)] {
        let mut wire = daemon.connect("web");
        wire.send(request);
        let response = wire.read_response();
        assert_eq!(response.status(), 413);
        assert!(response.text().contains("larger than this server takes"));
        wire.expect_closed();
    }
    daemon.log().wait("/small/a 413 body_too_large", 2);
    let refused = "httpserverd_policy_refused_total{kind=\"body_limit\",name=\"small\"}";
    assert_eq!(number(&daemon, refused), 2);
    // The server's own limit still holds where nothing else is said.
    let mut wire = daemon.connect("web");
    wire.send(post("/metrics", 1025));
    assert_eq!(wire.read_response().status(), 413);
}

#[test]
fn a_route_takes_more_content_than_the_server_and_the_innermost_limit_counts() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let served = upstream.serve(1, |request| {
        let length = request.body.len().to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            length.len()
        );
        [head, length].concat().into_bytes()
    });
    let mut wire = daemon.connect("web");
    for request in [
        post("/large/a", 100_000),
        chunked("/large/a", 100_000),
        post("/watched/a", 100),
    ] {
        wire.send(&request);
        let response = wire.read_response();
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    let watched = "httpserverd_policy_would_refuse_total{kind=\"body_limit\",name=\"watched\"}";
    assert_eq!(number(&daemon, watched), 1);
    daemon.wait_log("would have refused");
    drop(daemon);
    let lengths: Vec<usize> = served
        .join()
        .unwrap()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(lengths, [100_000, 100_000, 100]);
}

#[test]
fn an_expectation_is_not_met_for_content_that_is_too_long() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut wire = daemon.connect("web");
    wire.send(
        "POST /small/a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(wire.read_response().status(), 413);
    wire.expect_closed();
    upstream.expect_no_connection();
}

#[test]
fn an_exchange_ends_in_time_before_its_answer_and_within_it() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut wire = daemon.connect("web");
    wire.send("GET /short/silent HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    let response = wire.read_response();
    assert_eq!(response.status(), 504);
    assert_eq!(response.text(), r#"{"error":"Gateway Timeout"}"#);
    peer.expect_closed();

    wire.send("GET /short/stalls HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    wire.expect_head("HTTP/1.1 200 OK");
    assert_eq!(wire.read_to_end(), b"half");
    daemon.wait_log("/short/silent 504 exchange_timeout");
    daemon.wait_log("/short/stalls 200 exchange_timeout");
    let ended = "httpserverd_policy_refused_total{kind=\"timeout\",name=\"short\"}";
    assert_eq!(number(&daemon, ended), 2);
}

#[test]
fn content_that_comes_too_slowly_ends_in_time() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut wire = daemon.connect("web");
    wire.send("POST /short/up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(wire.read_response().status(), 504);
    wire.expect_closed();
    daemon.wait_log("/short/up 504 exchange_timeout 4");
}

#[test]
fn a_file_is_cut_also_for_a_client_that_takes_all_of_it() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    // Of holes alone: no machine sends it in time.
    let huge = File::create(daemon.folder().join("huge")).unwrap();
    huge.set_len(1 << 42).unwrap();
    let mut client = TcpStream::connect(daemon.address("web").tcp()).unwrap();
    client
        .write_all(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let taken = io::copy(&mut client, &mut io::sink()).unwrap();
    assert!(taken < 1 << 42);
    daemon.wait_log("/huge 200 exchange_timeout");
}
