//! Through the proxy to HTTP/1.1 upstreams: answers early, in part, and not at all.

use super::daemon;
use crate::support::h2::Client;
use crate::support::upstream::Upstream;

#[test]
fn interim_answers_come_first() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n");
    let hinted = client.answer_until(1, |answer| !answer.interim.is_empty());
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        hinted.interim,
        [[field(":status", "103"), field("link", "</a>")]]
    );
    peer.respond("200 OK", "then");
    assert_eq!(client.answer(1).text(), "then");
}

#[test]
fn an_answer_before_the_end_of_the_content_ends_the_upload() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/up/x", &[("content-length", "100")]);
    client.data(1, b"half", false);
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(4), b"half");
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    let answer = client.answer_until(1, |answer| answer.reset.is_some());
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.ended),
        (403, "no", true)
    );
    // RFC 9113 §8.1: the client is asked to stop, and nothing was wrong.
    assert_eq!(answer.reset, Some("NO_ERROR"));
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn an_upstream_that_breaks_off_is_a_stream_that_is_reset() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let half = client.answer_until(1, |answer| answer.body.len() == 4);
    assert_eq!(
        (half.status(), half.field("content-length")),
        (200, Some("10"))
    );
    drop(peer);
    assert_eq!(client.answer(1).reset, Some("INTERNAL_ERROR"));
    daemon.stdout().wait("/up/x 200 4 body_truncated\n", 1);
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn content_is_asked_for_as_the_upstream_reads_it() {
    let upstream = Upstream::tcp();
    let daemon = daemon("body = \"1GiB\"", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    // Nobody reads: what is given is the windows, and what the sockets on the way hold.
    let (mut sent, mut may_send) = (0_usize, 65_535_usize);
    let piece = [b'x'; 16_384];
    loop {
        while may_send >= piece.len() && sent < 64 << 20 {
            client.data(1, &piece, false);
            sent += piece.len();
            may_send -= piece.len();
        }
        assert!(sent < 64 << 20, "all was taken");
        // All that was sent has been seen, and all that it brought has come.
        let more = client.windows_until_ping(1);
        if more == 0 && may_send < piece.len() {
            break;
        }
        may_send += more;
    }
    client.reset(1);
    peer.read_to_end();
    assert_eq!(client.get(3, "/ok").text(), "ok");
}

#[test]
fn many_streams_go_to_an_upstream_side_by_side() {
    let upstream = Upstream::tcp();
    let daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    let streams: Vec<u32> = (0..50).map(|n| 2 * n + 1).collect();
    for stream in &streams {
        client.request(*stream, "GET", &format!("/up/{stream}"), &[]);
    }
    let mut peers: Vec<_> = streams.iter().map(|_| upstream.accept()).collect();
    // Answered from the last to the first.
    for peer in peers.iter_mut().rev() {
        let head = peer.read_request_head();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        peer.respond("200 OK", &path);
    }
    for stream in streams {
        assert_eq!(client.answer(stream).text(), format!("/up/{stream}"));
    }
}
