//! Answers that come byte by byte, or stop on the way.

use super::{expect_kept, get, proxy, proxy_with};
use crate::support::upstream::Upstream;

#[test]
fn an_answer_that_comes_byte_by_byte_is_served() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send_split(
        "HTTP/1.1 200 OK\r\nX-Own: a\r\nContent-Length: 5\r\n\r\nhello",
        &[1],
    );
    let response = client.read_response();
    assert_eq!(response.field("x-own"), Some("a"));
    assert_eq!(response.text(), "hello");
    get(&mut client, "/");
    peer.read_request();
    peer.send_split(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        &[1],
    );
    assert_eq!(client.read_response().text(), "hello");
    expect_kept(&mut client, &mut peer);
}

#[test]
fn a_head_that_goes_on_for_too_long_is_504() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "first_byte_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/endless");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nX-Own: ");
    // Each byte in time, the end never.
    while !client.is_answered() && peer.try_send(b"a").is_ok() {}
    assert_eq!(client.read_response().status(), 504);
    daemon.wait_log("/endless 504 first_byte_timeout\n");
    peer.expect_closed();
    upstream.expect_no_connection();
}

#[test]
fn content_that_stalls_within_a_chunk_is_cut() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "idle_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/stalled");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\nno");
    client.expect_head("HTTP/1.1 200 OK\r\n");
    let content = String::from_utf8(client.read_to_end()).unwrap();
    assert!(content.contains("half"), "{content}");
    assert!(!content.contains("0\r\n\r\n"), "an end: {content}");
    daemon.wait_log("/stalled 200 idle_timeout\n");
    peer.expect_closed();
}
