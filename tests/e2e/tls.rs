//! Encrypted listeners, by the real binary.

mod bodies;
mod clients;
mod swap;
mod tools;

use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};

use crate::support::daemon::{Daemon, Setup};
use crate::support::tls::{Authority, Client, Issued, Wanted};
use crate::support::upstream::Upstream;

const ROUTES: &str = r#"
[[route]]
path = "/*"
respond = { text = "{request.scheme} {tls.version} {tls.sni}" }
"#;

/// A daemon whose listener `web` is encrypted like this, and what it serves.
fn config(tls: &str, rest: &str) -> String {
    format!("[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\ntls = {tls}\n{rest}")
}

pub(super) trait Certificates {
    /// The files `NAME.pem` and `NAME.key`.
    fn certificate(self, name: &str, issued: &Issued) -> Self;
}

impl Certificates for Setup {
    fn certificate(self, name: &str, issued: &Issued) -> Self {
        self.file(&format!("{name}.pem"), issued.cert())
            .secret(&format!("{name}.key"), issued.key())
    }
}

const ONE: &str = r#"{ certificates = [{ cert = "a.pem", key = "a.key" }] }"#;

#[test]
fn both_versions_are_spoken_and_told_of() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, ROUTES))
        .start();
    for (versions, expected) in [
        (&[&TLS13, &TLS12][..], "https TLSv1.3 a.example"),
        (&[&TLS12][..], "https TLSv1.2 a.example"),
    ] {
        let client = Client::with(&authority, None, versions);
        let mut wire = client.connect(daemon.address("web"), "a.example");
        for _ in 0..3 {
            wire.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
            assert_eq!(wire.read_response().text(), expected);
        }
        wire.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        wire.read_response();
        wire.expect_closed();
        assert!(!wire.was_cut());
    }
}

/// The name in the first certificate that a client of this authority is shown.
#[track_caller]
fn served(daemon: &Daemon, client: &Client, name: &str) -> Vec<u8> {
    let wire = client.connect(daemon.address("web"), name);
    let chain = wire.session().peer_certificates().unwrap();
    chain[0].to_vec()
}

#[test]
fn a_certificate_is_found_by_name() {
    let authority = Authority::new("ca");
    // Every one is good for the name of the test that shall not find it, so that the client
    // does not mind.
    let first = authority.issue(&["first.example", "none.example", "deep.x.wild.example"]);
    let exact = authority.issue(&["exact.wild.example"]);
    let wild = authority.issue(&["*.wild.example"]);
    let tls = r#"{ certificates = [
        { cert = "first.pem", key = "first.key" },
        { cert = "wild.pem", key = "wild.key" },
        { cert = "exact.pem", key = "exact.key" },
    ] }"#;
    let daemon = Daemon::setup()
        .certificate("first", &first)
        .certificate("exact", &exact)
        .certificate("wild", &wild)
        .config(&config(tls, ROUTES))
        .start();
    let client = Client::of(&authority);
    for (name, expected) in [
        ("first.example", &first),
        ("exact.wild.example", &exact),
        ("EXACT.wild.example", &exact),
        ("other.wild.example", &wild),
        ("deep.x.wild.example", &first),
        ("none.example", &first),
    ] {
        let shown = served(&daemon, &client, name);
        assert!(shown == *expected.chain[0], "{name}");
    }
}

#[test]
fn a_client_is_shown_the_kind_of_key_it_knows() {
    let authority = Authority::new("ca");
    let [ecdsa, ed25519] = [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519].map(|key| {
        authority.issue_as(&Wanted {
            names: &["a.example"],
            key,
            ..Wanted::default()
        })
    });
    let tls = r#"{ certificates = [
        { cert = "ed.pem", key = "ed.key" }, { cert = "ec.pem", key = "ec.key" } ] }"#;
    let daemon = Daemon::setup()
        .certificate("ed", &ed25519)
        .certificate("ec", &ecdsa)
        .config(&config(tls, ROUTES))
        .start();
    let client = Client::of(&authority);
    assert!(served(&daemon, &client, "a.example") == *ed25519.chain[0]);
    let client = Client::without_ed25519(&authority);
    assert!(served(&daemon, &client, "a.example") == *ecdsa.chain[0]);
}

#[test]
fn sessions_are_resumed_also_after_a_reload() {
    let authority = Authority::new("ca");
    let mut daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, RESUMED))
        .start();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let client = Client::with(&authority, None, versions);
        let ask = |daemon: &Daemon| {
            let mut wire = client.connect(daemon.address("web"), "a.example");
            wire.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
            wire.read_response().text()
        };
        assert_eq!(ask(&daemon), "no");
        assert_eq!(ask(&daemon), "yes");
        daemon.signal(Signal::HUP);
        daemon.wait_notify("READY=1");
        assert_eq!(ask(&daemon), "yes");
    }
}

const RESUMED: &str = "[[route]]\npath = \"/*\"\nrespond = { text = \"{tls.resumed}\" }";

#[test]
fn what_comes_early_is_answered_where_it_changes_nothing() {
    let authority = Authority::new("ca");
    let tls = r#"{ certificates = [{ cert = "a.pem", key = "a.key" }], early_data = true }"#;
    let route = "[[route]]\npath = \"/*\"\nrespond = { text = \"{header.early-data}\" }";
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(tls, route))
        .start();
    let client = Client::with(&authority, None, &[&TLS13]).early();
    let ask = |method: &str| {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut wire = client.connect_early(daemon.address("web"), "a.example", &request);
        let response = wire.read_response();
        wire.send(request);
        let later = wire.read_response();
        assert_eq!((later.status(), &*later.text()), (200, ""));
        (response.status(), response.text())
    };
    // There is nothing to be resumed yet.
    assert_eq!(ask("GET"), (200, String::new()));
    assert_eq!(ask("GET"), (200, "1".to_owned()));
    assert_eq!(ask("DELETE").0, 425);
}

#[test]
fn tickets_can_be_turned_off() {
    let authority = Authority::new("ca");
    let tls = r#"{ certificates = [{ cert = "a.pem", key = "a.key" }], session_tickets = false }"#;
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(tls, RESUMED))
        .start();
    let client = Client::of(&authority);
    for _ in 0..2 {
        let mut wire = client.connect(daemon.address("web"), "a.example");
        wire.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(wire.read_response().text(), "no");
    }
}

#[test]
fn a_request_for_another_host_is_misdirected() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example", "*.both.example"]))
        .config(&config(ONE, ROUTES))
        .start();
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    for (host, status) in [
        ("a.example", 200),
        ("A.example:8443", 200),
        ("a.example.", 200),
        ("x.both.example", 200),
        ("b.example", 421),
        ("x.y.both.example", 421),
        ("127.0.0.1", 421),
        ("a.example", 200),
    ] {
        wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.read_response().status(), status, "{host}");
    }
}

#[test]
fn plain_http_is_told_what_is_spoken() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, ROUTES))
        .start();
    let mut wire = daemon.connect("web");
    wire.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let response = wire.read_response();
    assert_eq!(response.status(), 400);
    assert!(response.text().contains("https://"), "{}", response.text());
    wire.expect_closed();
    // What is neither is not told anything.
    let mut wire = daemon.connect("web");
    wire.send("\0\0\0\0");
    wire.expect_closed();
}

#[test]
fn a_handshake_has_a_deadline() {
    let authority = Authority::new("ca");
    let tls = r#"{ certificates = [{ cert = "a.pem", key = "a.key" }],
        handshake_timeout = "200ms" }"#
        .replace('\n', " ");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(&tls, METRICS))
        .start();
    // Half of a ClientHello, and nothing at all.
    for sent in [&[22, 3, 1, 2, 0, 1][..], &[]] {
        let mut wire = daemon.connect("web");
        wire.send(sent);
        wire.expect_closed();
    }
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    wire.send("GET /metrics HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let page = wire.read_response().text();
    for line in [
        r#"httpserverd_tls_failures_total{listener="web",why="timeout"} 2"#,
        r#"httpserverd_tls_sessions_total{listener="web",kind="full"} 1"#,
        "httpserverd_tls_certificate_not_after_seconds\
         {listener=\"web\",certificate=\"a.pem\"} 64060588800",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

const METRICS: &str = "[[route]]\npath = \"/metrics\"\nmetrics = {}";

#[test]
fn what_the_oldest_do_not_finish_makes_room() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&format!("[server]\nworkers = 1\n{}", config(ONE, ROUTES)))
        .start();
    let mut half_open: Vec<_> = (0..1100).map(|_| daemon.connect("web")).collect();
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    wire.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(wire.read_response().status(), 200);
    half_open[0].expect_closed();
}

#[test]
fn an_unfinished_body_is_cut() {
    let authority = Authority::new("ca");
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, ROUTES))
        .start();
    let client = Client::of(&authority);
    let mut wire = client.connect(daemon.address("web"), "a.example");
    // The route does not read it: the connection drains it, and finds no end.
    wire.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhalf");
    assert_eq!(wire.read_response().status(), 200);
    wire.finish_sending();
    wire.expect_closed();
}

#[test]
fn what_depends_on_encryption_knows_of_it() {
    let authority = Authority::new("ca");
    let upstream = Upstream::tcp();
    let rest = format!(
        r#"
[[listener]]
name = "plain"
bind = "127.0.0.2:0"
[server]
middleware = ["redirect_https", "security_headers"]
[upstream.one]
servers = ["{}"]
[[route]]
path = "/*"
proxy = {{ upstream = "one" }}
"#,
        upstream.address
    );
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&config(ONE, &rest))
        .start();
    let moved = daemon.get("plain", "/x");
    assert_eq!(moved.status(), 308);
    assert_eq!(moved.field("location"), Some("https://a/x"));
    assert_eq!(moved.field("strict-transport-security"), None);
    let mut wire = Client::of(&authority).connect(daemon.address("web"), "a.example");
    wire.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");
    peer.respond("200 OK", "");
    let response = wire.read_response();
    assert!(response.field("strict-transport-security").is_some());
}
