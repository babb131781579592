//! Tried again: what, where, how often.

use super::{config_with, get, route_with, routes_with};
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// The next connection to either, and what it is asked.
fn either(one: &Upstream, other: &Upstream) -> (Peer, usize) {
    Upstream::accept_any(&[one, other])
}

/// Answers on a connection that is not kept, so that the next request needs another.
fn answer(peer: &mut Peer, status: &str, body: &str) {
    let length = body.len();
    peer.send(format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
}

/// Takes the next request, and breaks its connection off.
#[track_caller]
fn reset_next(upstream: &Upstream) {
    let mut peer = upstream.accept();
    peer.read_request();
    peer.reset();
}

fn post(wire: &mut Wire, body: &str) {
    let length = body.len();
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
}

#[test]
fn a_reset_is_tried_elsewhere_if_twice_is_once() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let daemon = routes_with(&[&one, &other], "retry = {}");
    let mut client = daemon.connect("web");
    get(&mut client, "/a");
    let (mut peer, first) = either(&one, &other);
    peer.read_request();
    peer.reset();
    let (mut peer, second) = either(&one, &other);
    assert_ne!(first, second);
    assert!(peer.read_request().head.starts_with("GET /a "));
    answer(&mut peer, "200 OK", "second");
    assert_eq!(client.read_response().text(), "second");
    // Not so what may have been done already.
    post(&mut client, "ab");
    let (mut peer, _) = either(&one, &other);
    peer.read_request();
    peer.reset();
    assert_eq!(client.read_response().status(), 502);
    one.expect_no_connection();
    other.expect_no_connection();
}

#[test]
fn an_endpoint_alone_is_tried_again_and_only_so_often() {
    let upstream = Upstream::tcp();
    let daemon = route_with(&upstream, "retry = { tries = 3, backoff = \"1ms\" }");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    for _ in 0..3 {
        reset_next(&upstream);
    }
    assert_eq!(client.read_response().status(), 502);
    upstream.expect_no_connection();
}

#[test]
fn the_log_says_what_each_try_came_to() {
    let upstream = Upstream::tcp();
    let retry = "retry = { tries = 3, on = [\"reset\", 503], backoff = \"1ms\" }";
    let config = config_with(&format!("\"{}\"", upstream.address), "", retry);
    let config = config.replace("response.why", "upstream.failed_tries");
    let daemon = Daemon::start(&config);
    let mut client = daemon.connect("web");
    get(&mut client, "/a");
    reset_next(&upstream);
    for status in ["503 Service Unavailable", "200 OK"] {
        let mut peer = upstream.accept();
        peer.read_request();
        answer(&mut peer, status, "");
    }
    assert_eq!(client.read_response().status(), 200);
    daemon.wait_log("/a 200 ");
    let log = daemon.log().text();
    let (_, tries) = log.split_once("/a 200 ").unwrap();
    let tries = tries.lines().next().unwrap().split(',');
    // How long each took is another matter.
    let tries: Vec<_> = tries
        .map(|tried| tried.rsplit_once('/').unwrap().0)
        .collect();
    let expected = ["upstream_reset", "503"].map(|why| format!("{}={why}", upstream.address));
    assert_eq!(tries, expected);
}

#[test]
fn statuses_that_the_route_names_are_asked_for_again() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let daemon = routes_with(&[&one, &other], "retry = { tries = 2, on = [503] }");
    let mut client = daemon.connect("web");
    get(&mut client, "/a");
    let (mut peer, first) = either(&one, &other);
    peer.read_request();
    answer(&mut peer, "503 Service Unavailable", "busy");
    let (mut peer, second) = either(&one, &other);
    assert_ne!(first, second);
    peer.read_request();
    answer(&mut peer, "200 OK", "free");
    assert_eq!(client.read_response().text(), "free");
    drop(peer);
    // The last answer is given as it is.
    let mut client = daemon.connect("web");
    get(&mut client, "/b");
    for text in ["one", "two"] {
        let (mut peer, _) = either(&one, &other);
        peer.read_request();
        answer(&mut peer, "503 Busy", text);
    }
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (503, "two"));
}

#[test]
fn a_body_is_sent_again_from_what_was_kept_of_it() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let proxy = "retry = { on = [\"reset\", 503], body = \"1KiB\" }";
    let daemon = routes_with(&[&one, &other], proxy);
    let mut client = daemon.connect("web");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let (mut peer, _) = either(&one, &other);
    peer.read_request_head();
    assert_eq!(peer.read_bytes(8), b"3\r\nabc\r\n");
    peer.reset();
    let (mut peer, _) = either(&one, &other);
    peer.read_request_head();
    assert_eq!(peer.read_bytes(8), b"3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n");
    assert_eq!(peer.read_until(b"0\r\n\r\n"), b"2\r\nde\r\n0\r\n\r\n");
    answer(&mut peer, "200 OK", "all");
    assert_eq!(client.read_response().text(), "all");
    drop(peer);
    // A status that the route names, also for a method that is not idempotent.
    let mut client = daemon.connect("web");
    post(&mut client, "ab");
    for (status, text) in [("503 Busy", "no"), ("200 OK", "yes")] {
        let (mut peer, _) = either(&one, &other);
        assert_eq!(peer.read_request().body, b"ab");
        answer(&mut peer, status, text);
    }
    assert_eq!(client.read_response().text(), "yes");
    // More than is kept cannot be sent again.
    let mut client = daemon.connect("web");
    post(&mut client, &"x".repeat(2_000));
    let (mut peer, _) = either(&one, &other);
    assert_eq!(peer.read_request().body.len(), 2_000);
    answer(&mut peer, "503 Busy", "no");
    assert_eq!(client.read_response().status(), 503);
}

#[test]
fn one_try_may_take_only_so_long() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    // Long enough for the second to be answered within it.
    let proxy = "retry = { on = [\"timeout\"], per_try_timeout = \"1s\" }";
    let daemon = routes_with(&[&one, &other], proxy);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let (mut slow, first) = either(&one, &other);
    slow.read_request();
    let (mut peer, second) = either(&one, &other);
    assert_ne!(first, second);
    slow.expect_closed();
    peer.read_request();
    answer(&mut peer, "200 OK", "in time");
    assert_eq!(client.read_response().text(), "in time");
    daemon.wait_log("took too long for one try");
}

#[test]
fn retries_are_a_share_of_the_requests() {
    let upstream = Upstream::tcp();
    let proxy = "retry = { tries = 16, backoff = \"0s\", budget = \"0%\" }";
    let daemon = route_with(&upstream, proxy);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    // The first, and the ten that are free.
    for _ in 0..11 {
        reset_next(&upstream);
    }
    assert_eq!(client.read_response().status(), 502);
    get(&mut client, "/");
    reset_next(&upstream);
    assert_eq!(client.read_response().status(), 502);
    upstream.expect_no_connection();
}

#[test]
fn a_second_try_beside_a_slow_one_may_answer_first() {
    let (one, other) = (Upstream::tcp(), Upstream::tcp());
    let daemon = routes_with(&[&one, &other], "hedge_after = \"20ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/a");
    let (mut slow, first) = either(&one, &other);
    slow.read_request();
    let (mut quick, second) = either(&one, &other);
    assert_ne!(first, second);
    assert!(quick.read_request().head.starts_with("GET /a "));
    answer(&mut quick, "200 OK", "quick");
    assert_eq!(client.read_response().text(), "quick");
    // Nobody waits for the other any more.
    slow.expect_closed();
    drop(quick);
    // What may not be done twice is not.
    post(&mut client, "ab");
    let (mut peer, _) = either(&one, &other);
    assert_eq!(peer.read_request().body, b"ab");
    answer(&mut peer, "200 OK", "once");
    assert_eq!(client.read_response().text(), "once");
    one.expect_no_connection();
    other.expect_no_connection();
}
