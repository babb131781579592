//! `cors`: what a browser gets to hear.

use super::{ask, check_fields};
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

const CONFIG: &str = r#"
[server]
workers = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.pages]
type = "cors"
allow_origins = ["https://a.example"]
allow_methods = ["PUT"]
allow_headers = ["X-Key"]
expose_headers = ["X-Count"]
allow_credentials = true
max_age = "10m"

[upstream.backend]
servers = ["UPSTREAM"]

[[route]]
path = "/text"
methods = ["GET", "PUT"]
middleware = ["pages"]
respond = { text = "text" }

[[route]]
path = "/up"
middleware = ["pages"]
proxy = { upstream = "backend" }
"#;

fn start(upstream: &str) -> Daemon {
    Daemon::start(&CONFIG.replace("UPSTREAM", upstream))
}

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";

const ORIGIN: &str = "Origin: https://a.example";

#[test]
fn a_page_asks_for_leave_and_then_for_what_it_wants() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    let asked = ["Access-Control-Request-Method: PUT", ORIGIN];
    let preflight = ask(&mut wire, "OPTIONS", "/text", &asked);
    assert_eq!((preflight.status(), preflight.body.len()), (204, 0));
    check_fields(
        &preflight,
        &[
            ("Access-Control-Allow-Origin", Some("https://a.example")),
            ("Access-Control-Allow-Credentials", Some("true")),
            ("Access-Control-Allow-Methods", Some("PUT")),
            ("Access-Control-Allow-Headers", Some("X-Key")),
            ("Access-Control-Max-Age", Some("600")),
            ("Content-Length", None),
        ],
    );
    let actual = ask(&mut wire, "GET", "/text", &[ORIGIN]);
    assert_eq!((actual.status(), actual.text().as_str()), (200, "text"));
    check_fields(
        &actual,
        &[
            ("Access-Control-Allow-Origin", Some("https://a.example")),
            ("Access-Control-Allow-Credentials", Some("true")),
            ("Access-Control-Expose-Headers", Some("X-Count")),
            ("Access-Control-Allow-Methods", None),
        ],
    );
    assert!(actual.field("Vary").unwrap().contains("Origin"));
}

#[test]
fn a_page_of_another_origin_is_told_nothing() {
    let daemon = start(NOWHERE);
    let mut wire = daemon.connect("web");
    let nothing = [
        ("Access-Control-Allow-Origin", None),
        ("Access-Control-Allow-Credentials", None),
        ("Access-Control-Expose-Headers", None),
    ];
    for origin in [
        "https://b.example",
        "https://a.example.b",
        "null",
        "http://a.example",
    ] {
        let origin = format!("Origin: {origin}");
        let actual = ask(&mut wire, "GET", "/text", &[&origin]);
        assert_eq!(
            actual.status(),
            200,
            "the browser holds it back, not the server"
        );
        check_fields(&actual, &nothing);
        let asked = ["Access-Control-Request-Method: PUT", &origin];
        check_fields(&ask(&mut wire, "OPTIONS", "/text", &asked), &nothing);
    }
    // Caches keep the answers to different origins apart, also where there was none.
    let plain = ask(&mut wire, "GET", "/text", &[]);
    assert!(plain.field("Vary").unwrap().contains("Origin"));
    check_fields(&plain, &nothing);
}

#[test]
fn what_an_upstream_says_of_origins_gives_way_and_errors_are_readable() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream.address);
    let mut wire = daemon.connect("web");
    wire.send(format!("GET /up HTTP/1.1\r\nHost: a\r\n{ORIGIN}\r\n\r\n"));
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.send(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Cookie\r\n\
         Content-Length: 2\r\n\r\nup",
    );
    let actual = wire.read_response();
    let allowed = [("Access-Control-Allow-Origin", Some("https://a.example"))];
    check_fields(&actual, &allowed);
    let varies: Vec<_> = actual
        .head
        .fields
        .iter()
        .filter(|(name, _)| name == "Vary")
        .collect();
    let varies = format!("{varies:?}");
    assert!(
        varies.contains("Cookie") && varies.contains("Origin"),
        "{varies}"
    );
    drop(peer);
    let _port = upstream.stop();
    let broken = ask(&mut wire, "GET", "/up", &[ORIGIN]);
    assert_eq!(broken.status(), 502);
    check_fields(&broken, &allowed);
}
