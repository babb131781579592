//! One fetch for many.

use super::cached;
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

const GET: &str = "GET /page HTTP/1.1\r\nHost: site\r\n\r\n";

fn ask(daemon: &Daemon) -> Wire {
    let mut client = daemon.connect("web");
    client.send(GET);
    client
}

/// The origin's next request, on a connection of its own, with its head read.
fn asked(origin: &Upstream) -> Peer {
    let mut peer = origin.accept();
    peer.read_request_head();
    peer
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

/// A response of which a piece has come, who asked for it, and who joined.
#[track_caller]
fn reading(origin: &Upstream, daemon: &Daemon) -> ([Wire; 2], Peer) {
    let mut first = ask(daemon);
    let mut peer = asked(origin);
    peer.send(format!("{HEAD}{}", chunk("one,")));
    first.expect_head("HTTP/1.1 200 OK\r\n");
    let mut second = ask(daemon);
    second.expect_head("HTTP/1.1 200 OK\r\n");
    ([first, second], peer)
}

#[test]
fn who_asks_while_it_comes_reads_along() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut first = ask(&daemon);
    let mut peer = asked(&origin);
    peer.send(format!("{HEAD}{}", chunk("one,")));
    first.expect_head("HTTP/1.1 200 OK\r\n");
    first.read_until(b"one,\r\n");
    let mut others: Vec<Wire> = (0..4).map(|_| ask(&daemon)).collect();
    for other in &mut others {
        let head = other.expect_head("HTTP/1.1 200 OK\r\n");
        let told = head.field("Cache-Status").unwrap();
        assert!(told.contains("; collapsed"), "{told}");
        other.read_until(b"one,\r\n");
    }
    peer.send(format!("{}0\r\n\r\n", chunk("two")));
    for client in others.iter_mut().chain([&mut first]) {
        assert_eq!(client.read_chunked().0, b"two");
    }
    origin.expect_no_connection();
    first.send(GET);
    assert_eq!(first.read_response().text(), "one,two");
}

#[test]
fn who_waits_for_the_head_is_answered_with_it() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut clients: Vec<Wire> = (0..5).map(|_| ask(&daemon)).collect();
    let mut peer = asked(&origin);
    peer.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello");
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "hello");
    }
    origin.expect_no_connection();
}

#[test]
fn a_fetch_goes_on_without_who_began_it() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut first = ask(&daemon);
    let mut peer = asked(&origin);
    peer.send(format!("{HEAD}{}", chunk("one,")));
    first.expect_head("HTTP/1.1 200 OK\r\n");
    first.reset();
    daemon.wait_log("GET /page 200");
    peer.send(format!("{}0\r\n\r\n", chunk("two")));
    assert_eq!(ask(&daemon).read_response().text(), "one,two");
    origin.expect_no_connection();
}

#[test]
fn who_began_and_left_before_the_head_is_followed_by_another() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let first = ask(&daemon);
    let left = asked(&origin);
    let mut second = ask(&daemon);
    first.reset();
    let mut peer = asked(&origin);
    drop(left);
    peer.respond("200 OK\r\nCache-Control: max-age=60", "again");
    assert_eq!(second.read_response().text(), "again");
}

#[test]
fn who_waits_too_long_asks_for_itself() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "coalesce_wait = '100ms'");
    let _first = ask(&daemon);
    let _slow = asked(&origin);
    let mut second = ask(&daemon);
    asked(&origin).respond("200 OK\r\nCache-Control: max-age=60", "quick");
    assert_eq!(second.read_response().text(), "quick");
}

#[test]
fn what_is_not_kept_is_not_waited_for() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "coalesce_wait = '1h'");
    let mut first = ask(&daemon);
    let mut one = asked(&origin);
    one.respond("200 OK\r\nCache-Control: no-store", "a");
    assert_eq!(first.read_response().text(), "a");
    // From now on each asks for itself, at the same time.
    first.send(GET);
    one.read_request_head();
    let mut second = ask(&daemon);
    asked(&origin).respond("200 OK\r\nCache-Control: no-store", "c");
    assert_eq!(second.read_response().text(), "c");
    one.respond("200 OK\r\nCache-Control: no-store", "b");
    assert_eq!(first.read_response().text(), "b");
}

#[test]
fn who_may_not_share_neither_waits_nor_is_waited_for() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "coalesce_wait = '1h'");
    let _first = ask(&daemon);
    let _slow = asked(&origin);
    let mut second = daemon.connect("web");
    second.send("GET /page HTTP/1.1\r\nHost: site\r\nAuthorization: Basic x\r\n\r\n");
    asked(&origin).respond("200 OK\r\nCache-Control: max-age=60", "mine");
    assert_eq!(second.read_response().text(), "mine");
}

#[test]
fn what_turns_out_too_large_comes_whole_to_all_and_is_not_kept() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "max_entry = '32KiB'");
    let ([mut first, mut second], mut peer) = reading(&origin, &daemon);
    let large = "x".repeat(400_000);
    peer.send(format!("{}0\r\n\r\n", chunk(&large)));
    for client in [&mut first, &mut second] {
        client.expect_body(format!("one,{large}"));
    }
    first.send(GET);
    peer.read_request_head();
    peer.respond("200 OK", "another");
    assert_eq!(first.read_response().text(), "another");
}

#[test]
fn what_breaks_off_breaks_off_for_all_and_is_not_kept() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let ([mut first, mut second], peer) = reading(&origin, &daemon);
    peer.reset();
    for client in [&mut first, &mut second] {
        let rest = client.read_to_end();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    }
    let mut third = ask(&daemon);
    asked(&origin).respond("200 OK", "another");
    assert_eq!(third.read_response().text(), "another");
}
