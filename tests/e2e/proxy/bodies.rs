//! Bodies both ways, whole and cut.

use std::thread;

use super::{SAID, expect_kept, get, proxy, proxy_with, without_id};
use crate::support::upstream::Upstream;

/// Larger than all buffers between the two ends.
const LARGE: usize = 20 << 20;

/// Bytes that tell where they stand.
fn pattern(length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(4)).flat_map(|word: usize| {
        let mixed = u32::try_from(word).unwrap().wrapping_mul(2_654_435_761);
        mixed.to_le_bytes()
    });
    words.take(length).collect()
}

#[test]
fn a_small_body_goes_out_with_its_length() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("POST /a HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\n\r\nhello");
    let mut peer = upstream.accept();
    let request = peer.read_request();
    assert_eq!(
        without_id(&request.head),
        format!("POST /a HTTP/1.1\r\nHost: site\r\n{SAID}Content-Length: 5\r\n\r\n")
    );
    assert_eq!(request.body, b"hello");
    peer.respond("201 Created", "done");
    assert_eq!(client.read_response().text(), "done");
}

#[test]
fn a_chunked_body_goes_out_chunked_with_its_trailers() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send(
        "POST /a HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         4;x=y\r\nWiki\r\n",
    );
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert_eq!(
        without_id(&head),
        format!(
            "POST /a HTTP/1.1\r\nHost: site\r\nTrailer: X-Sum\r\n{SAID}\
             Transfer-Encoding: chunked\r\n\r\n"
        )
    );
    assert_eq!(peer.read_until(b"Wiki\r\n"), b"4\r\nWiki\r\n");
    client.send("5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n");
    assert_eq!(
        peer.read_until(b"\r\n\r\n"),
        b"5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n"
    );
    peer.respond("200 OK", "ok");
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn a_chunked_answer_keeps_its_pieces_flowing_and_its_trailers() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
    let head = client.read_head();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(head.field("trailer"), Some("X-Sum"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        peer.send(format!("{:x}\r\n{event}\r\n", event.len()));
        // At once, before anything more is sent.
        let expected = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(client.read_bytes(expected.len()), expected.as_bytes());
    }
    peer.send("0\r\nX-Sum: 2\r\n\r\n");
    assert_eq!(client.read_until(b"\r\n\r\n"), b"0\r\nX-Sum: 2\r\n\r\n");
    expect_kept(&mut client, &mut peer);
}

#[test]
fn a_chunked_answer_that_is_there_at_once_gets_a_length() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    );
    let response = client.read_response();
    assert_eq!(response.field("content-length"), Some("3"));
    assert_eq!(response.text(), "abc");
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.0 200 OK\r\n\r\nto the ");
    peer.send("end");
    drop(peer);
    assert_eq!(client.read_response().text(), "to the end");
}

#[test]
fn large_bodies_arrive_byte_by_byte_both_ways() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "");
    let sent = pattern(LARGE);
    let expected = sent.clone();
    let server = upstream.serve(1, move |request| {
        assert!(request.body == expected || request.body.is_empty());
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
        answer.extend_from_slice(&expected);
        answer
    });
    let mut client = daemon.connect("web");
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"
    ));
    client.send(&sent);
    assert!(client.read_response().body == sent);
    get(&mut client, "/again");
    assert!(client.read_response().body == sent);
    drop(daemon);
    let requests = server.join().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].body == sent);
}

#[test]
fn what_stands_behind_a_large_body_is_the_next_request() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    // Ends where a read may end, and next to it.
    let sizes = [65_535, 65_536, 65_537, 131_072, 200_000];
    let server = upstream.serve(1, |_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let mut client = daemon.connect("web");
    let mut sent = Vec::new();
    for size in sizes {
        let head = format!("PUT /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        sent.extend(head.bytes());
        sent.extend(pattern(size));
    }
    client.send(sent);
    for _ in sizes {
        assert_eq!(client.read_response().status(), 204);
    }
    drop(daemon);
    for (request, size) in server.join().unwrap().iter().zip(sizes) {
        assert!(request.head.starts_with(&format!("PUT /{size} ")));
        assert!(request.body == pattern(size), "{size}");
    }
}

#[test]
fn large_chunked_bodies_arrive_byte_by_byte_both_ways() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let sent = pattern(LARGE);
    let chunked = |bytes: &[u8]| {
        let mut out = Vec::new();
        // From tiny to larger than any buffer.
        let sizes = [1, 100, 5_000, 70_000, 300_000];
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            out.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
            rest = after;
            if piece.is_empty() {
                return out;
            }
        }
        out
    };
    let answer = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        chunked(&sent),
    ]
    .concat();
    let server = upstream.serve(1, move |_| answer.clone());
    let mut client = daemon.connect("web");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunked(&sent));
    assert!(client.read_response().body == sent);
    drop(daemon);
    assert!(server.join().unwrap()[0].body == sent);
}

#[test]
fn an_upload_is_pulled_no_faster_than_it_is_taken() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let sent = pattern(LARGE);
    let body = sent.clone();
    let mut client = daemon.connect("web");
    let writer = thread::Builder::new().spawn(move || {
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"
        ));
        client.send(&body);
        client.read_response()
    });
    let mut peer = upstream.accept();
    peer.read_request_head();
    for piece in sent.chunks(1 << 20) {
        assert!(peer.read_bytes(piece.len()) == piece);
    }
    peer.respond("200 OK", "all");
    assert_eq!(writer.unwrap().join().unwrap().text(), "all");
}

#[test]
fn an_early_refusal_reaches_the_client_while_it_uploads() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(5), b"first");
    peer.respond("413 Content Too Large", "enough");
    let response = client.read_response();
    assert_eq!(
        (response.status(), response.text().as_str()),
        (413, "enough")
    );
    // The rest of the request never comes, so the connection is of no more use.
    peer.expect_closed();
}

#[test]
fn an_early_answer_does_not_end_the_upload() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst ");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(6), b"first ");
    peer.respond("200 OK", "echo");
    client.expect_head("HTTP/1.1 200 OK\r\n");
    client.expect_body("echo");
    client.send("later");
    assert_eq!(peer.read_bytes(5), b"later");
    let mut client = daemon.connect("web");
    expect_kept(&mut client, &mut peer);
}

#[test]
fn garbage_behind_an_early_answer_ends_the_connection() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nevil",
    ] {
        let mut client = daemon.connect("web");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst ");
        let mut peer = upstream.accept();
        peer.read_request_head();
        assert_eq!(peer.read_bytes(6), b"first ");
        peer.send(answer);
        let status = client.read_head().status;
        assert!(status == 200 || status == 204, "{status}");
        client.send("later");
        // Whether or not the rest was still passed on.
        let rest = peer.read_to_end();
        assert!(b"later".starts_with(&rest), "{rest:?}");
    }
}

#[test]
fn an_answer_is_read_although_the_upstream_takes_no_more() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\nfirst");
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(5), b"first");
    peer.send("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    drop(peer);
    assert_eq!(client.read_response().text(), "no");
}

#[test]
fn trailers_are_for_those_who_take_them() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n");
    assert_eq!(client.read_head().field("trailer"), None);
    peer.send("0\r\nX-Sum: 2\r\n\r\n");
    assert_eq!(client.read_until(b"0\r\n\r\n"), b"1\r\na\r\n0\r\n\r\n");
}
