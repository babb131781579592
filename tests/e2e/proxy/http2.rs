//! Servers that speak HTTP/2: streams shared, trailers both ways, and requests that were not looked
//! at sent again.

use super::{config, get};
use crate::support::daemon::Daemon;
use crate::support::h2::{Client, Frame, PREFACE, encode, flag, kind};
use crate::support::h2_upstream::H2Upstream;
use crate::support::tls::Authority;
use crate::support::tls_upstream::TlsUpstream;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

fn daemon(server: &H2Upstream, settings: &str) -> Daemon {
    let settings = format!("protocol = \"h2c\"\n{settings}");
    Daemon::start(&config(&format!("\"{}\"", server.address), &settings))
}

/// A daemon that believes this authority, and speaks `protocol` to this server.
fn over_tls(server: &TlsUpstream, authority: &Authority, protocol: &str) -> Daemon {
    let settings = format!("tls = {{ ca = \"ca.pem\" }}\nprotocol = \"{protocol}\"");
    Daemon::setup()
        .file("ca.pem", authority.pem())
        .config(&config(&format!("\"{}\"", server.url()), &settings))
        .start()
}

/// A daemon that speaks HTTP/2 in the clear to this script.
fn scripted(upstream: &Upstream, settings: &str) -> Daemon {
    let settings = format!("protocol = \"h2c\"\n{settings}");
    Daemon::start(&config(&format!("\"{}\"", upstream.address), &settings))
}

/// A message of gRPC.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat()
}

#[test]
fn a_call_goes_through_with_its_trailers() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = Client::connect(&daemon, "web");
    let fields = [("te", "trailers"), ("content-type", "application/grpc")];
    client.begin(1, "POST", "/pkg.Service/Unary", &fields);
    client.data(1, &message("hello"), true);
    let answer = client.answer(1);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("content-type"), Some("application/grpc"));
    assert_eq!(answer.body, message("hello"));
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    let seen = server.seen();
    assert_eq!(
        seen.heads,
        [
            "POST http://a/pkg.Service/Unary content-type=application/grpc te=trailers \
          x-forwarded-for=127.0.0.1 x-forwarded-host=a x-forwarded-proto=http"
        ]
    );
    assert_eq!(seen.connections, 1);
}

#[test]
fn messages_stream_both_ways_at_the_same_time() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/stream", &[("te", "trailers")]);
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.extend(message(text));
        client.data(1, &message(text), false);
        // It comes back before the next is sent.
        let so_far = client.answer_until(1, |answer| answer.body.len() >= sent.len());
        assert_eq!(so_far.body, sent);
        assert!(!so_far.ended);
    }
    client.data(1, b"", true);
    assert!(client.answer(1).trailers.is_some());
}

#[test]
fn an_answer_of_trailers_alone_is_one() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = Client::connect(&daemon, "web");
    client.begin(1, "POST", "/trailers-only", &[("te", "trailers")]);
    client.data(1, &message("x"), true);
    let answer = client.answer(1);
    assert_eq!(answer.field("grpc-status"), Some("12"));
    assert!(answer.body.is_empty());
}

#[test]
fn exchanges_share_a_connection_up_to_what_the_server_takes() {
    let server = H2Upstream::new(2);
    let daemon = daemon(&server, "");
    let mut clients: Vec<_> = (0..2).map(|_| daemon.connect("web")).collect();
    for client in &mut clients {
        client.send("POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("2\r\nab\r\n");
        client.read_head();
        assert_eq!(client.read_chunk().unwrap(), b"ab");
    }
    assert_eq!(server.seen().connections, 1);
    // A third has no room there.
    let mut third = daemon.connect("web");
    get(&mut third, "/third");
    assert_eq!(third.read_response().status(), 200);
    assert_eq!(server.seen().connections, 2);
    for client in &mut clients {
        client.send("0\r\nX-Sum: 1\r\n\r\n");
        assert_eq!(client.read_chunk(), None);
    }
    get(&mut third, "/fourth");
    assert_eq!(third.read_response().status(), 200);
    assert_eq!(server.seen().connections, 2);
}

#[test]
fn trailers_come_and_go_to_a_client_of_http1_that_takes_them() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = daemon.connect("web");
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let response = client.read_response();
    assert_eq!(response.text(), "abc");
    let mut trailers = response.trailers;
    trailers.sort();
    let names: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grpc-status", "x-sum"]);
}

#[test]
fn what_was_not_looked_at_is_sent_again() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = daemon.connect("web");
    // Also what must not be done twice: the server says that it was not done at all.
    client.send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_response().status(), 200);
    assert_eq!(server.seen().connections, 1);
    // One that goes lets what is under way end.
    get(&mut client, "/last");
    assert_eq!(client.read_response().status(), 200);
    get(&mut client, "/next");
    assert_eq!(client.read_response().status(), 200);
    assert_eq!(server.seen().connections, 2);
}

/// The server's side of a connection, once preface and settings have come both ways.
fn begun(wire: Wire) -> Client {
    let mut server = Client::silent(wire);
    server.send(&Frame::new(kind::SETTINGS, 0, 0, []));
    assert_eq!(server.wire.read_bytes(PREFACE.len()), PREFACE);
    server
}

fn answer(server: &mut Client, stream: u32) {
    server.expect_that(|frame| frame.kind == kind::HEADERS && frame.stream == stream);
    let block = encode([(&b":status"[..], &b"204"[..])]);
    let flags = flag::END_HEADERS | flag::END_STREAM;
    server.send(&Frame::new(kind::HEADERS, flags, stream, block));
}

#[test]
fn what_stands_behind_a_goodbye_is_asked_elsewhere() {
    let upstream = Upstream::tcp();
    let daemon = scripted(&upstream, "");
    let mut client = daemon.connect("web");
    let post = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    client.send(post);
    let mut first = begun(Wire::tcp(upstream.accept_socket()));
    answer(&mut first, 1);
    assert_eq!(client.read_response().status(), 204);
    client.send(post);
    first.expect_that(|frame| frame.kind == kind::HEADERS && frame.stream == 3);
    // It has seen the first, and none behind it.
    let last = [1_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    first.send(&Frame::new(kind::GOAWAY, 0, 0, last));
    let mut second = begun(Wire::tcp(upstream.accept_socket()));
    answer(&mut second, 1);
    assert_eq!(client.read_response().status(), 204);
    // One that is gone without a word may have seen it: that is not for us to do twice.
    client.send(post);
    second.expect_that(|frame| frame.kind == kind::HEADERS && frame.stream == 3);
    drop(second);
    assert_eq!(client.read_response().status(), 502);
}

#[test]
fn who_is_gone_without_a_word_is_asked_on_another_connection() {
    let upstream = Upstream::tcp();
    let daemon = scripted(&upstream, "first_byte_timeout = \"300ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut first = begun(Wire::tcp(upstream.accept_socket()));
    answer(&mut first, 1);
    assert_eq!(client.read_response().status(), 204);
    get(&mut client, "/2");
    assert_eq!(client.read_response().status(), 504);
    get(&mut client, "/3");
    let mut second = begun(Wire::tcp(upstream.accept_socket()));
    answer(&mut second, 1);
    assert_eq!(client.read_response().status(), 204);
}

#[test]
fn an_endless_row_of_interim_answers_is_none() {
    let upstream = Upstream::tcp();
    let daemon = scripted(&upstream, "");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut server = begun(Wire::tcp(upstream.accept_socket()));
    server.expect_that(|frame| frame.kind == kind::HEADERS);
    let block = encode([(&b":status"[..], &b"103"[..])]);
    let hint = Frame::new(kind::HEADERS, flag::END_HEADERS, 1, block);
    server.wire.send(hint.bytes().repeat(17));
    let told = client.read_until(b"HTTP/1.1 502 Bad Gateway\r\n");
    let hints = told.windows(3).filter(|word| word == b"103");
    assert_eq!(hints.count(), 16);
    server.expect_that(|frame| frame.kind == kind::RST_STREAM && frame.stream == 1);
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut client = daemon.connect("web");
    client.send("POST /cut HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("2\r\nab\r\n");
    client.read_head();
    assert_eq!(client.read_chunk().unwrap(), b"ab");
    client.send("3\r\ncut\r\n");
    let cut = client.read_to_end();
    assert!(!cut.ends_with(b"0\r\n\r\n"), "{}", cut.escape_ascii());
    daemon.wait_log("/cut 200 body_truncated");
    // The connection goes on for others.
    let mut other = daemon.connect("web");
    get(&mut other, "/");
    assert_eq!(other.read_response().status(), 200);
    assert_eq!(server.seen().connections, 1);
}

#[test]
fn who_leaves_ends_a_stream_and_nothing_else() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "first_byte_timeout = \"300ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/silent");
    assert_eq!(client.read_response().status(), 504);
    daemon.wait_log("/silent 504 first_byte_timeout");
    let mut other = daemon.connect("web");
    get(&mut other, "/");
    assert_eq!(other.read_response().status(), 200);
    let seen = server.seen();
    assert_eq!(seen.connections, 1);
    assert_eq!(seen.resets, ["/silent"]);
}

#[test]
fn a_slow_reader_holds_up_its_own_stream_alone() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut slow = daemon.connect("web");
    get(&mut slow, "/large");
    slow.read_head();
    let mut other = daemon.connect("web");
    for _ in 0..3 {
        get(&mut other, "/");
        assert_eq!(other.read_response().status(), 200);
    }
    let mut length = 0;
    while let Some(chunk) = slow.read_chunk() {
        length += chunk.len();
    }
    assert_eq!(length, 64 * (64 << 10));
    assert_eq!(server.seen().connections, 1);
}

#[test]
fn many_slow_readers_hold_up_nobody_else() {
    let server = H2Upstream::new(100);
    let daemon = daemon(&server, "");
    let mut slow = Client::connect(&daemon, "web");
    slow.updates = false;
    for stream in (1..32).step_by(2) {
        slow.request(stream, "GET", "/large", &[]);
    }
    slow.answer_until(31, |answer| answer.status() == 200);
    let mut other = daemon.connect("web");
    get(&mut other, "/large");
    assert_eq!(other.read_response().body.len(), 64 * (64 << 10));
    assert_eq!(server.seen().connections, 1);
}

#[test]
fn a_server_may_prefer_http1_over_tls() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&["127.0.0.1"]));
    let daemon = over_tls(&server, &authority, "auto");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let (mut peer, agreed) = server.accept();
    assert_eq!(agreed.alpn.as_deref(), Some("http/1.1"));
    for target in ["/1", "/2"] {
        let request = peer.read_request();
        assert!(request.head.starts_with(&format!("GET {target} HTTP/1.1")));
        peer.respond("200 OK", "x");
        assert_eq!(client.read_response().text(), "x");
        if target == "/1" {
            get(&mut client, "/2");
        }
    }
    server.expect_no_connection();
}

#[test]
fn a_server_is_asked_what_it_speaks_with_each_connection() {
    let authority = Authority::new("ours");
    let mut server = TlsUpstream::new(&authority.issue(&["127.0.0.1"]));
    let daemon = over_tls(&server, &authority, "auto");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let (mut peer, _) = server.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.read_response().text(), "x");
    server.speak(&["h2", "http/1.1"]);
    check_http2(&server, &mut client);
}

#[test]
fn http2_is_spoken_over_tls() {
    let authority = Authority::new("ours");
    let shown = authority.issue(&["127.0.0.1"]);
    let server = TlsUpstream::with(&shown, None, &["http/1.1", "h2"]);
    let daemon = over_tls(&server, &authority, "h2");
    check_http2(&server, &mut daemon.connect("web"));
}

/// Two requests are two streams of one connection.
fn check_http2(server: &TlsUpstream, client: &mut Wire) {
    get(client, "/2");
    let (peer, agreed) = server.accept();
    assert_eq!(agreed.alpn.as_deref(), Some("h2"));
    let mut peer = begun(peer.into_wire());
    answer(&mut peer, 1);
    assert_eq!(client.read_response().status(), 204);
    get(client, "/3");
    answer(&mut peer, 3);
    assert_eq!(client.read_response().status(), 204);
    server.expect_no_connection();
}

#[test]
fn a_server_that_speaks_only_http1_is_no_server_of_http2() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&["127.0.0.1"]));
    let daemon = over_tls(&server, &authority, "h2");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    assert!(server.try_accept().is_err());
    assert_eq!(client.read_response().status(), 502);
    daemon.log().wait("/1 502 tls_handshake\n", 1);
    daemon.wait_log("none of our protocols");
}

#[test]
fn health_checks_speak_it_too() {
    let server = H2Upstream::new(100);
    let check = |path: &str| {
        format!(
            "health_check = {{ path = \"{path}\", interval = \"10ms\", timeout = \"300ms\", \
             unhealthy_after = 1, headers = {{ X-Check = \"1\" }} }}"
        )
    };
    let well = daemon(&server, &check("/up"));
    let mut client = well.connect("web");
    while server.seen().heads.len() < 3 {
        get(&mut client, "/");
        assert_eq!(client.read_response().status(), 200);
    }
    let asked = format!(
        "GET http://{}/up accept=*/* user-agent=httpserverd-check x-check=1",
        server.address
    );
    let heads = server.seen().heads;
    assert!(heads.contains(&asked), "{heads:?}");
    let unwell = daemon(&server, &check("/silent"));
    unwell.wait_log("its check fails: no answer in time");
}
