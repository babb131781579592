//! Tunnels over HTTP/2 (RFC 8441), to an upstream that knows HTTP/1.1.

use super::daemon;
use crate::support::h2::{Client, Frame, encode, flag, kind};
use crate::support::upstream::{Peer, Upstream};

/// Asks for a WebSocket on a stream.
fn ask(client: &mut Client, stream: u32, path: &str) {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
    ];
    let block = encode(fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    client.send(&Frame::new(kind::HEADERS, flag::END_HEADERS, stream, block));
}

/// Reads the request of a client that wants to leave HTTP, and lets it.
fn agree(upstream: &Upstream) -> Peer {
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.starts_with("GET /up/ws HTTP/1.1\r\n"), "{head}");
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: chat",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    let key = head.split("\r\nSec-WebSocket-Key: ").nth(1).unwrap();
    assert_eq!(key.split("\r\n").next().unwrap().len(), 24, "{head}");
    peer.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nearly",
    );
    peer
}

#[test]
fn a_stream_is_a_websocket() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    ask(&mut client, 1, "/up/ws");
    let mut peer = agree(&upstream);
    let begun = client.answer_until(1, |answer| answer.body == b"early");
    assert_eq!(begun.status(), 200);
    assert_eq!(begun.field("sec-websocket-protocol"), Some("chat"));
    for gone in [
        "sec-websocket-accept",
        "upgrade",
        "connection",
        "content-length",
    ] {
        assert_eq!(begun.field(gone), None, "{gone}");
    }
    client.data(1, b"ping", false);
    assert_eq!(peer.read_bytes(4), b"ping");
    peer.send("pong");
    client.answer_until(1, |answer| answer.body == b"earlypong");
    // Others of the connection are served meanwhile.
    assert_eq!(client.get(3, "/ok").text(), "ok");
    client.data(1, b"bye", true);
    assert_eq!(peer.read_to_end(), b"bye");
    drop(peer);
    assert!(client.answer(1).ended);
    daemon.stdout().wait("/up/ws 200 ", 1);
}

#[test]
fn a_reset_ends_the_websocket() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    ask(&mut client, 1, "/up/ws");
    let mut peer = agree(&upstream);
    client.answer_until(1, |answer| answer.body == b"early");
    client.reset(1);
    peer.expect_closed();
    daemon.stdout().wait(" client_abort\n", 1);
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn an_upstream_may_say_no() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    ask(&mut client, 1, "/up/ws");
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.respond("403 Forbidden", "no");
    let refused = client.answer_until(1, |answer| answer.ended);
    assert_eq!((refused.status(), refused.text().as_str()), (403, "no"));
    let mut client = Client::connect(&daemon, "web");
    ask(&mut client, 1, "/ok");
    assert_eq!(client.answer_until(1, |answer| answer.ended).status(), 501);
}
