//! Reading as the framing says, sending in pieces.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

/// A wire whose peer has sent this and closed.
fn sent(bytes: &str) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let wire = Wire::connect(&Address::Tcp(listener.local_addr().unwrap()));
    let mut peer = listener.accept().unwrap().0;
    peer.write_all(bytes.as_bytes()).unwrap();
    wire
}

#[test]
fn bodies_end_where_their_framing_says() {
    let mut wire = sent(concat!(
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nto the end",
    ));
    assert_eq!(wire.read_response().status(), 100);
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    wire.expect_body("ab");
    let chunked = wire.read_response();
    assert_eq!(chunked.text(), "abcd");
    assert_eq!(chunked.trailers, [("T".to_owned(), "1".to_owned())]);
    assert_eq!(chunked.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(wire.read_response().status(), 304);
    assert_eq!(wire.read_response().text(), "to the end");
    wire.expect_closed();
}

#[test]
fn bytes_are_sent_whole_however_they_are_split() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wire = Wire::connect(&Address::Tcp(listener.local_addr().unwrap()));
    wire.send_split("abcdefgh", &[1, 3]);
    wire.finish_sending();
    let mut received = String::new();
    let mut peer = listener.accept().unwrap().0;
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "abcdefgh");
}
