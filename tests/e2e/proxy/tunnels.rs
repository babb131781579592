//! Connections that leave HTTP.

use rustix::process::Signal;

use super::{expect_kept, get, proxy, proxy_with};
use crate::support::upstream::Upstream;

const ASKED: &str = "GET /chat HTTP/1.1\r\nHost: site\r\nConnection: keep-alive, Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n";

#[test]
fn bytes_go_both_ways_also_those_sent_with_the_heads() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(format!("{ASKED}early up"));
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(
        head.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nSec-WebSocket-Key: k\r\n"), "{head}");
    peer.send(format!("{SWITCHED}early down"));
    let head = client.read_head();
    assert_eq!(head.status, 101);
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("sec-websocket-accept"), Some("a"));
    let connection = head.field("connection").unwrap_or_default();
    assert!(connection.eq_ignore_ascii_case("upgrade"), "{connection}");
    assert_eq!(client.read_bytes(10), b"early down");
    assert_eq!(peer.read_bytes(8), b"early up");
    for round in 0..3 {
        let up = vec![b'u'; 100_000 * round + 1];
        client.send(&up);
        assert!(peer.read_bytes(up.len()) == up);
        let down = vec![b'd'; 100_000 * round + 1];
        peer.send(&down);
        assert!(client.read_bytes(down.len()) == down);
    }
    // One direction ends; the other goes on.
    client.finish_sending();
    peer.expect_closed();
    peer.send("last words");
    assert_eq!(client.read_bytes(10), b"last words");
    drop(peer);
    client.expect_closed();
}

#[test]
fn a_switch_nobody_asked_for_is_502() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send(SWITCHED);
    assert_eq!(client.read_response().status(), 502);
    client.send(ASKED.replace("websocket", "other"));
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send(SWITCHED);
    assert_eq!(client.read_response().status(), 502);
    daemon.wait_log("upstream_bad_head");
}

#[test]
fn a_refused_switch_is_an_answer_like_any_other() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.respond("403 Forbidden", "no");
    assert_eq!(client.read_response().text(), "no");
    expect_kept(&mut client, &mut peer);
}

#[test]
fn http2_in_the_clear_is_not_asked_for() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    );
    let mut peer = upstream.accept();
    let head = peer.read_request_head().to_ascii_lowercase();
    assert!(
        !head.contains("upgrade") && !head.contains("http2"),
        "{head}"
    );
    peer.respond("200 OK", "plain");
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn a_quiet_tunnel_ends_in_time() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "tunnel_idle_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send(SWITCHED);
    assert_eq!(client.read_head().status, 101);
    client.expect_closed();
    peer.expect_closed();
    daemon.wait_log("idle_timeout");
}

#[test]
fn a_tunnel_that_is_open_when_the_drain_time_is_up_says_so() {
    let upstream = Upstream::tcp();
    let mut daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(ASKED);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send(format!("{SWITCHED}1234567"));
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_bytes(7), b"1234567");
    daemon.signal(Signal::TERM);
    daemon.wait_notify("STOPPING=1");
    // It goes on as long as it may.
    client.send("still");
    assert_eq!(peer.read_bytes(5), b"still");
    let log = daemon.wait_exit(0);
    assert!(log.contains("/chat 101 drain_timeout\n"), "{log}");
    assert!(log.contains("1 connections were cut"), "{log}");
    client.expect_closed();
    peer.expect_closed();
}
