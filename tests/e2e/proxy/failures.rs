//! What goes wrong upstream: the right status, the reason in the log, nothing smuggled.

use super::{config, get, proxy, proxy_with};
use crate::support::daemon::Daemon;
use crate::support::port::Port;
use crate::support::upstream::Upstream;

#[test]
fn nobody_there_is_502() {
    let port = Port::reserve();
    let address = port.address();
    let daemon = Daemon::start(&config(&format!("\"{address}\""), ""));
    let response = daemon.get("web", "/");
    assert_eq!(response.status(), 502);
    assert_eq!(response.text(), "{\"error\":\"Bad Gateway\"}");
    daemon.wait_log("connect_refused");
}

#[test]
fn a_name_that_does_not_resolve_is_503() {
    let daemon = Daemon::start(&config("\"nobody.invalid:80\"", ""));
    assert_eq!(daemon.get("web", "/").status(), 503);
    daemon.wait_log("nobody.invalid");
    daemon.wait_log("no_endpoint");
}

#[test]
fn another_server_is_tried_if_one_cannot_be_connected_to() {
    let port = Port::reserve();
    let gone = port.address();
    let upstream = Upstream::tcp();
    let servers = format!("\"{gone}\", \"{}\"", upstream.address);
    let daemon = Daemon::start(&config(&servers, ""));
    let mut client = daemon.connect("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    let mut peer = upstream.accept();
    assert_eq!(peer.read_request().body, b"ab");
    peer.respond("200 OK", "other");
    assert_eq!(client.read_response().text(), "other");
}

#[test]
fn a_server_that_does_not_answer_is_504() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "first_byte_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    assert_eq!(client.read_response().status(), 504);
    daemon.wait_log("first_byte_timeout");
    peer.expect_closed();
}

#[test]
fn a_server_that_stalls_within_its_answer_cuts_it() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "idle_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    client.expect_head("HTTP/1.1 200 OK\r\n");
    assert_eq!(client.read_to_end(), b"half");
    daemon.wait_log("idle_timeout");
    peer.expect_closed();
}

#[test]
fn a_server_that_takes_no_request_is_504() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "idle_timeout = \"100ms\"");
    let mut client = daemon.connect("web");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    // May be cut short by the answer; nothing of this is ever taken.
    drop(client.try_send(&vec![b'x'; 8_000_000]));
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 504 "));
    daemon.wait_log("idle_timeout");
}

#[test]
fn a_reset_before_the_answer_is_502() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.reset();
    assert_eq!(client.read_response().status(), 502);
    daemon.wait_log("upstream_reset");
    upstream.expect_no_connection();
}

#[test]
fn a_kept_connection_that_ended_meanwhile_is_replaced_if_that_is_safe() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "one");
    client.read_response();
    // It ends when the request has come: what is sent may have been done.
    client.send("DELETE /2 HTTP/1.1\r\nHost: site\r\n\r\n");
    peer.read_request();
    drop(peer);
    let mut peer = upstream.accept();
    assert!(peer.read_request().head.starts_with("DELETE /2 "));
    peer.respond("200 OK", "two");
    assert_eq!(client.read_response().text(), "two");
    // Not so where twice is not once.
    client.send("POST /3 HTTP/1.1\r\nHost: site\r\nContent-Length: 0\r\n\r\n");
    peer.read_request();
    drop(peer);
    assert_eq!(client.read_response().status(), 502);
    upstream.expect_no_connection();
}

#[test]
fn a_kept_connection_that_ended_before_is_not_even_tried() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "one");
    client.read_response();
    drop(peer);
    client.send("POST /2 HTTP/1.1\r\nHost: site\r\nContent-Length: 2\r\n\r\nab");
    let mut peer = upstream.accept();
    assert_eq!(peer.read_request().body, b"ab");
    peer.respond("200 OK", "two");
    assert_eq!(client.read_response().text(), "two");
}

/// What the upstream sends, and what is to be read of it in the log.
const MALFORMED: &[(&[u8], &str)] = &[
    (b"nonsense\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/2 200 OK\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 200 OK\nA: b\n\n", "upstream_bad_head"),
    (b"HTTP/1.1 200 OK\r\nA b\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "upstream_bad_head"),
    (
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "upstream_bad_head",
    ),
    (b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "upstream_bad_head"),
    (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "upstream_bad_head"),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nab",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "upstream_bad_head",
    ),
    (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "upstream_bad_head",
    ),
];

#[test]
fn heads_that_cannot_be_trusted_are_502_and_end_the_connection() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    for (index, (answer, why)) in MALFORMED.iter().enumerate() {
        let mut client = daemon.connect("web");
        get(&mut client, &format!("/{index}"));
        let mut peer = upstream.accept();
        peer.read_request();
        peer.send(answer);
        let shown = String::from_utf8_lossy(answer).into_owned();
        assert_eq!(client.read_response().status(), 502, "{shown}");
        // Nothing of what stood behind is taken for an answer to the next request.
        peer.expect_closed();
        daemon.wait_log(why);
    }
}

#[test]
fn endless_heads_are_502() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let field = "X-Field: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    let endless = [
        format!("HTTP/1.1 200 {}", "x".repeat(100_000)),
        format!("HTTP/1.1 200 OK\r\n{}", field.repeat(10_000)),
        format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1_000_000)),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000),
    ];
    for head in endless {
        let mut client = daemon.connect("web");
        get(&mut client, "/");
        let mut peer = upstream.accept();
        peer.read_request();
        // Refused before all of it is taken.
        drop(peer.try_send(head.as_bytes()));
        assert_eq!(client.read_response().status(), 502);
        peer.read_to_end();
    }
}

/// Answers whose content ends before its end.
const CUT: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
];

#[test]
fn a_cut_answer_is_cut_for_the_client_too() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    for (index, answer) in CUT.iter().enumerate() {
        let mut client = daemon.connect("web");
        get(&mut client, "/");
        let mut peer = upstream.accept();
        peer.read_request();
        peer.send(answer);
        let head = client.read_head();
        drop(peer);
        let rest = client.read_to_end();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("half"), "{rest}");
        assert!(!rest.ends_with("0\r\n\r\n"), "a clean end: {rest}");
        if let Some(length) = head.field("content-length") {
            assert!(rest.len() < length.parse().unwrap());
        }
        daemon.log().wait("body_truncated", index + 1);
    }
}

#[test]
fn a_broken_chunk_in_the_middle_cuts_the_answer() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    client.read_head();
    assert_eq!(client.read_until(b"half\r\n"), b"4\r\nhalf\r\n");
    peer.send("zz\r\n");
    client.expect_closed();
    daemon.wait_log("body_truncated");
    peer.expect_closed();
}

#[test]
fn garbage_behind_the_answer_ends_the_connection() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
         HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nevil",
    ] {
        get(&mut client, "/");
        let mut peer = upstream.accept();
        peer.read_request();
        peer.send(answer);
        let response = client.read_response();
        assert!(response.text() == "ok" || response.status() == 204);
        peer.expect_closed();
    }
    // Sent later, when the connection is already idle.
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "ok");
    client.read_response();
    peer.respond("200 OK", "evil");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut fresh = upstream.accept();
    fresh.read_request();
    fresh.respond("200 OK", "good");
    assert_eq!(client.read_response().text(), "good");
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/waiting");
    let mut peer = upstream.accept();
    peer.read_request();
    client.reset();
    peer.expect_closed();
    daemon.wait_log("client_abort");

    let mut client = daemon.connect("web");
    get(&mut client, "/streaming");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    client.read_head();
    client.reset();
    peer.expect_closed();
    daemon.log().wait("client_abort", 2);

    let mut client = daemon.connect("web");
    client.send("PUT /uploading HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(4), b"half");
    drop(client);
    peer.expect_closed();
}
