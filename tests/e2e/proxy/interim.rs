//! What is said before the answer.

use super::{expect_kept, get, proxy, proxy_with};
use crate::support::upstream::Upstream;

#[test]
fn early_hints_reach_the_client_before_the_answer() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
         Content-Length: 3\r\n\r\n",
    );
    assert_eq!(
        client.read_until(b"\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
    // Two more, and the answer, at once.
    peer.send(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
    );
    assert_eq!(
        client.read_until(b"</b>\r\n\r\n"),
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
    );
    assert_eq!(client.read_response().text(), "final");
}

#[test]
fn a_client_of_the_first_version_is_told_the_answer_alone() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    peer.respond("200 OK", "final");
    let response = client.read_response();
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "final")
    );
    assert_eq!(response.field("link"), None);
}

const ASKED: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";

#[test]
fn content_is_asked_for_when_the_upstream_asks_for_it() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_eq!(client.read_head().status, 103);
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        client.read_until(b"\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send("ab");
    assert_eq!(peer.read_bytes(2), b"ab");
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
    expect_kept(&mut client, &mut peer);
}

#[test]
fn content_that_the_upstream_refuses_is_never_asked_for() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.respond("401 Unauthorized", "who?");
    // No 100 before it, and none behind.
    client.expect_head("HTTP/1.1 401 Unauthorized\r\n");
    client.expect_body("who?");
    client.expect_closed();
    // It still waits for content that will not come.
    peer.expect_closed();
}

#[test]
fn an_upstream_that_knows_no_100_is_waited_for_no_longer_than_a_second() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(client.read_head().status, 100);
    client.send("ab");
    assert_eq!(peer.read_bytes(2), b"ab");
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}

#[test]
fn content_that_came_with_its_head_is_not_waited_with() {
    let upstream = Upstream::tcp();
    // The second of waiting would be too long, and the content would never come.
    let daemon = proxy_with(&[&upstream], "first_byte_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    client.send(format!("{ASKED}ab"));
    let mut peer = upstream.accept();
    let request = peer.read_request();
    assert_eq!(request.body, b"ab");
    assert!(!request.head.contains("Expect"), "{}", request.head);
}
