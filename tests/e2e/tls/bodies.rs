//! Large content, both ways, and content that is cut.

use std::thread;

use super::{Certificates as _, ONE, ROUTES, config};
use crate::support::daemon::Daemon;
use crate::support::tls::{Authority, Client};
use crate::support::upstream::Upstream;

const LARGE: usize = 100_000_000;

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn a_large_file_goes_out_whole_and_in_parts() {
    let authority = Authority::new("ca");
    let large = content(5_000_001);
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .file("site/large", &large)
        .config(&config(
            ONE,
            "[[route]]\npath = \"/*\"\nstatic = { root = \"site\" }",
        ))
        .start();
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    for _ in 0..2 {
        wire.send("GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let response = wire.read_response();
        assert!(response.status() == 200 && response.body == large);
    }
    wire.send("GET /large HTTP/1.1\r\nHost: a.example\r\nRange: bytes=7-70000, -9\r\n\r\n");
    let response = wire.read_response();
    assert_eq!(response.status(), 206);
    let part = &large[7..=70_000];
    assert!(
        response
            .body
            .windows(part.len())
            .any(|window| window == part)
    );
}

#[test]
fn a_hundred_megabytes_pass_both_ways() {
    let authority = Authority::new("ca");
    let upstream = Upstream::tcp();
    let routes = format!(
        "[server.limits]\nbody = \"200MB\"\n[upstream.one]\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/*\"\nproxy = {{ upstream = \"one\" }}",
        upstream.address
    );
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, &routes))
        .start();
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    let piece = content(LARGE / 100);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = upstream.accept();
            peer.read_request_head();
            for _ in 0..100 {
                assert!(peer.read_bytes(piece.len()) == piece);
            }
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"
            ));
            for _ in 0..100 {
                peer.send(&piece);
            }
        });
        wire.send(format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {LARGE}\r\n\r\n"
        ));
        for _ in 0..100 {
            wire.send(&piece);
        }
        wire.expect_head("HTTP/1.1 200 OK");
        for _ in 0..100 {
            assert!(wire.read_bytes(piece.len()) == piece);
        }
    });
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let authority = Authority::new("ca");
    let upstream = Upstream::tcp();
    let routes = format!(
        "[upstream.one]\nservers = [\"{}\"]\n\
         [[route]]\npath = \"/*\"\nproxy = {{ upstream = \"one\" }}",
        upstream.address
    );
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, &routes))
        .start();
    let client = Client::of(&authority);
    // A client of HTTP/1.0 knows by the end of the connection alone that it has all.
    for (chunk, cut) in [("5\r\nwhole\r\n0\r\n\r\n", false), ("4\r\nhalf\r\n", true)] {
        let mut wire = client.connect(daemon.address("web"), "a.example");
        wire.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
        let mut peer = upstream.accept();
        peer.read_request_head();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        ));
        drop(peer);
        wire.expect_head("HTTP/1.1 200 OK");
        assert!(!wire.read_to_end().is_empty());
        assert_eq!(wire.was_cut(), cut);
    }
}

/// Every byte of a request in a record of its own, and several requests in one.
#[test]
fn requests_may_be_cut_into_records_anywhere() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, ROUTES))
        .start();
    let client = Client::of(&authority);
    let request = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let pair = format!("{request}{request}");
    let mut wire = client.connect(daemon.address("web"), "a.example");
    for at in 0..pair.len() {
        let (one, other) = pair.split_at(at);
        wire.send(one);
        wire.send(other);
        for _ in 0..2 {
            assert_eq!(wire.read_response().status(), 200, "split at {at}");
        }
    }
    wire.send_split(request, &[1]);
    assert_eq!(wire.read_response().status(), 200);
    wire.send(request.repeat(200));
    for _ in 0..200 {
        assert_eq!(wire.read_response().status(), 200);
    }
}
