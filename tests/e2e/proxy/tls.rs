//! Servers over TLS: who is believed, what is shown, what is kept.

use rustix::process::Signal;

use super::{config, get};
use crate::support::daemon::{Daemon, Setup};
use crate::support::tls::{Authority, Wanted};
use crate::support::tls_upstream::{Agreed, TlsUpstream};

/// A daemon that proxies to this server, believing this authority; `tls` stands beside it.
fn daemon(server: &TlsUpstream, authority: &Authority, tls: &str, settings: &str) -> Daemon {
    setup(server, authority, tls, settings).start()
}

fn setup(server: &TlsUpstream, authority: &Authority, tls: &str, settings: &str) -> Setup {
    let settings = format!("tls = {{ ca = \"ca.pem\"{tls} }}\n{settings}");
    Daemon::setup()
        .file("ca.pem", authority.pem())
        .config(&config(&format!("\"{}\"", server.url()), &settings))
}

const HERE: &str = "127.0.0.1";

#[test]
fn a_server_that_is_who_it_says_is_asked_and_its_connection_kept() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "");
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let (mut peer, agreed) = server.accept();
    let expected = Agreed {
        resumed: false,
        // An address is no name to ask for (RFC 6066 §3).
        sni: None,
        shown: 0,
        alpn: Some("http/1.1".to_owned()),
    };
    assert_eq!(agreed, expected);
    for target in ["/1", "/2", "/3"] {
        let head = peer.read_request_head();
        assert!(head.starts_with(&format!("GET {target} ")), "{head}");
        assert!(head.contains("\r\nHost: site\r\n"), "{head}");
        assert!(head.contains("\r\nX-Forwarded-Proto: http\r\n"), "{head}");
        peer.respond("200 OK", target);
        assert_eq!(client.read_response().text(), target);
        if target != "/3" {
            get(&mut client, if target == "/1" { "/2" } else { "/3" });
        }
    }
    server.expect_no_connection();
}

#[test]
fn bodies_go_both_ways_and_an_answer_may_end_with_its_connection() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "");
    let mut client = daemon.connect("web");
    let sent = vec![b'u'; 3 << 20];
    let length = sent.len();
    client.send(format!(
        "POST /up HTTP/1.1\r\nHost: site\r\nContent-Length: {length}\r\n\r\n"
    ));
    let (mut peer, _) = server.accept();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| client.send(&sent));
        peer.read_request().body
    });
    assert!(received == sent, "{} bytes came", received.len());
    let answer = vec![b'd'; 3 << 20];
    peer.send("HTTP/1.1 200 OK\r\n\r\n");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            peer.send(&answer);
            // Without a word: the end of TLS is not said.
            drop(peer);
        });
        client.read_head();
        let cut = client.read_to_end();
        assert!(
            !cut.ends_with(b"0\r\n\r\n"),
            "a cut answer does not look whole"
        );
    });
    daemon.wait_log("body_truncated");
}

#[track_caller]
fn check_refused(server: &TlsUpstream, daemon: &Daemon, why: &str, reasons: &[&str]) {
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let agreed = server.try_accept();
    // Who is not believed hears so, at the latest when it would read a request.
    if let Ok((mut peer, _)) = agreed {
        assert_eq!(peer.next_request(), None);
    }
    assert_eq!(client.read_response().status(), 502);
    daemon.log().wait(&format!("/ 502 {why}\n"), 1);
    for reason in reasons {
        daemon.wait_log(reason);
    }
}

#[test]
fn a_server_that_is_someone_else_is_not_asked() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&["other.example", "more.example"]));
    let daemon = daemon(&server, &authority, "", "");
    let reason = "not valid for the name 127.0.0.1 but for";
    check_refused(
        &server,
        &daemon,
        "bad_certificate",
        &[reason, "other.example"],
    );
}

#[test]
fn a_certificate_that_has_expired_is_not_believed() {
    let authority = Authority::new("ours");
    let expired = authority.issue_as(&Wanted {
        names: &[HERE],
        ends: 2021,
        ..Wanted::default()
    });
    let server = TlsUpstream::new(&expired);
    let daemon = daemon(&server, &authority, "", "");
    let reasons = ["its certificate expired", "days ago"];
    check_refused(&server, &daemon, "bad_certificate", &reasons);
}

#[test]
fn an_authority_that_nobody_named_is_not_believed() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let server = TlsUpstream::new(&other.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "");
    let reason = "issued by nobody that is trusted here";
    check_refused(&server, &daemon, "bad_certificate", &[reason]);
}

#[test]
fn a_name_can_be_pinned_and_is_asked_for() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&["app.internal"]));
    let daemon = daemon(&server, &authority, ", server_name = \"app.internal\"", "");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let (mut peer, agreed) = server.accept();
    assert_eq!(agreed.sni.as_deref(), Some("app.internal"));
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}

#[test]
fn anybody_is_believed_only_with_a_warning() {
    let other = Authority::new("other");
    let server = TlsUpstream::new(&other.issue(&["other.example"]));
    let config = config(&format!("\"{}\"", server.url()), "tls = { verify = false }");
    let daemon = Daemon::start(&config);
    daemon.wait_log("W0205");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let (mut peer, _) = server.accept();
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}

#[test]
fn who_asks_is_shown_who_we_are() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("clients"));
    let shown = authority.issue(&[HERE]);
    let server = TlsUpstream::with(&shown, Some(&clients), &["http/1.1"]);
    let own = clients.issue(&["proxy.example"]);
    let identity = ", client_certificate = { cert = \"own.pem\", key = \"own.key\" }";
    let daemon = setup(&server, &authority, identity, "")
        .file("own.pem", own.cert())
        .file("own.key", own.key())
        .start();
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let (mut peer, agreed) = server.accept();
    assert_eq!(agreed.shown, 1);
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}

#[test]
fn a_server_that_wants_a_certificate_says_so_in_the_log() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("clients"));
    let shown = authority.issue(&[HERE]);
    let server = TlsUpstream::with(&shown, Some(&clients), &["http/1.1"]);
    let daemon = daemon(&server, &authority, "", "");
    let reason = "it wants a client certificate";
    check_refused(&server, &daemon, "tls_handshake", &[reason]);
}

#[test]
fn a_server_in_the_clear_and_one_that_says_nothing_are_told_apart() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "connect_timeout = \"300ms\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut clear = server.accept_raw();
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    std::io::Write::write_all(&mut clear, answer).unwrap();
    assert_eq!(client.read_response().status(), 502);
    daemon.wait_log("does not speak TLS");
    daemon.log().wait("/ 502 tls_handshake\n", 1);
    // Avoided for a moment, and asked all the same since there is no other.
    get(&mut client, "/");
    let silent = server.accept_raw();
    assert_eq!(client.read_response().status(), 504);
    daemon.log().wait("/ 504 connect_timeout\n", 1);
    drop(silent);
}

#[test]
fn a_second_session_begins_where_the_first_ended() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "keep_alive = { max_idle = 0 }");
    let ask = |resumed: bool| {
        let mut client = daemon.connect("web");
        get(&mut client, "/");
        let (mut peer, agreed) = server.accept();
        assert_eq!(agreed.resumed, resumed);
        peer.read_request();
        peer.respond("200 OK", "x");
        assert_eq!(client.read_response().text(), "x");
    };
    ask(false);
    ask(true);
    ask(true);
    // Also behind a reload that changes nothing about it.
    daemon.signal(Signal::HUP);
    daemon.wait_log("generation 2");
    ask(true);
}

#[test]
fn a_connection_that_nobody_uses_ends_with_a_word() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    for keep_alive in ["idle_timeout = \"100ms\"", "max_requests = 1"] {
        let settings = format!("keep_alive = {{ {keep_alive} }}");
        let daemon = daemon(&server, &authority, "", &settings);
        let mut client = daemon.connect("web");
        get(&mut client, "/");
        let (mut peer, _) = server.accept();
        peer.read_request();
        peer.respond("200 OK", "x");
        assert_eq!(client.read_response().text(), "x");
        peer.expect_closed();
        assert!(!peer.was_cut(), "{keep_alive}");
    }
}

#[test]
fn health_checks_look_at_certificates_too() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let good = TlsUpstream::new(&authority.issue(&[HERE]));
    let bad = TlsUpstream::new(&other.issue(&[HERE]));
    let check = "health_check = { path = \"/up\", interval = \"10ms\", unhealthy_after = 1, \
                 healthy_after = 1 }";
    let text = config(
        &format!("\"{}\", \"{}\"", good.url(), bad.url()),
        &format!("tls = {{ ca = \"ca.pem\" }}\n{check}"),
    );
    let daemon = Daemon::setup()
        .file("ca.pem", authority.pem())
        .config(&text)
        .start();
    drop(bad.try_accept());
    daemon.wait_log("issued by nobody that is trusted here");
    let (mut peer, _) = good.accept();
    let head = peer.read_request_head();
    assert!(
        head.starts_with("GET /up HTTP/1.1\r\nHost: 127.0.0.1:"),
        "{head}"
    );
    peer.respond("503 Down", "");
    daemon.wait_log("its check fails: status 503");
}

#[test]
fn the_announced_client_comes_before_the_session() {
    let authority = Authority::new("ours");
    let server = TlsUpstream::new(&authority.issue(&[HERE]));
    let daemon = daemon(&server, &authority, "", "proxy_protocol = \"v1\"");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut socket = server.accept_raw();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut socket, &mut byte).unwrap();
        line.push(byte[0]);
    }
    assert!(line.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
    let (mut peer, _) = server.agree(socket).unwrap();
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}
