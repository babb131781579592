//! The examples that come with the program, each run as its reader would.

use std::fs;
use std::path::Path;

use crate::support::daemon::{Daemon, Setup};
use crate::support::port::Port;
use crate::support::response::Response;
use crate::support::tls::Client;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;
use crate::support::{deadline, left};

/// A daemon of `config/examples/NAME.toml`, on any free port.
fn example(name: &str) -> Setup {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let file = folder.join(name).with_extension("toml");
    let setup = Daemon::setup().arg("--config").env("PORT", "0");
    setup.arg(file.to_str().unwrap())
}

#[track_caller]
fn ask(wire: &mut Wire, target: &str, fields: &str) -> Response {
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: www.example.com\r\n{fields}\r\n"
    ));
    wire.read_response()
}

#[test]
fn spa_serves_its_page_for_every_path_but_those_of_the_api() {
    let upstream = Upstream::tcp();
    let daemon = example("spa").env("API", &upstream.address).start();
    let mut wire = daemon.connect("web");
    for target in ["/", "/settings/profile"] {
        let page = ask(&mut wire, target, "");
        assert_eq!(page.status(), 200);
        assert!(page.text().contains("<main>loading</main>"));
        assert_eq!(page.field("Cache-Control"), Some("no-cache"));
        assert_eq!(page.field("X-Frame-Options"), Some("DENY"));
    }
    let script = ask(&mut wire, "/assets/app-5f2c9a.js", "");
    let cached = script.field("Cache-Control").unwrap();
    assert!(cached.contains("immutable"), "{cached}");
    assert_eq!(ask(&mut wire, "/assets/none.js", "").status(), 404);
    wire.send("GET /api/users?q HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.starts_with("GET /users?q HTTP/1.1\r\n"), "{head}");
    peer.respond("404 Not Found", "{\"error\":\"no users\"}");
    assert_eq!(wire.read_response().text(), "{\"error\":\"no users\"}");
}

#[test]
fn downloads_are_resumed_and_not_shown_by_others() {
    let daemon = example("downloads").start();
    let mut wire = daemon.connect("web");
    let list = ask(
        &mut wire,
        "/",
        "Accept: text/html\r\nReferer: http://other/\r\n",
    );
    assert!(list.text().contains("tool-2.1.txt"), "{}", list.text());
    let file = "/tool-2.1.txt";
    let refused = ask(&mut wire, file, "Referer: https://other.example/\r\n");
    assert_eq!(refused.status(), 403);
    for referrer in ["", "Referer: http://www.example.com/\r\n"] {
        let part = ask(&mut wire, file, &format!("{referrer}Range: bytes=8-10\r\n"));
        assert_eq!((part.status(), part.text().as_str()), (206, "2.1"));
        assert_eq!(part.field("Content-Disposition"), Some("attachment"));
    }
    let latest = ask(&mut wire, "/latest", "");
    assert_eq!(latest.field("Location"), Some("/tool-2.1.txt"));
}

#[test]
fn addresses_lead_to_one_spelling_and_old_links_go_on() {
    let upstream = Upstream::tcp();
    let setup = example("addresses").env("SITE", &upstream.address);
    let daemon = setup.env("BALANCER", "127.0.0.1").start();
    let mut wire = daemon.connect("web");
    let https = "X-Forwarded-Proto: https\r\n";
    let plain = ask(&mut wire, "/posts/7", "");
    assert_eq!(
        plain.field("Location"),
        Some("https://www.example.com/posts/7")
    );
    wire.send(format!(
        "GET /posts/7/ HTTP/1.1\r\nHost: example.com\r\n{https}\r\n"
    ));
    let named = wire.read_response();
    assert_eq!(
        named.field("Location"),
        Some("https://www.example.com/posts/7/")
    );
    let slash = ask(&mut wire, "/posts/7/", https);
    assert_eq!(slash.field("Location"), Some("/posts/7"));
    wire.send(format!(
        "GET /post.php?id=7 HTTP/1.1\r\nHost: www.example.com\r\n{https}\r\n"
    ));
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.starts_with("GET /posts/7 HTTP/1.1\r\n"), "{head}");
    peer.respond("200 OK", "the seventh");
    assert_eq!(wire.read_response().text(), "the seventh");
    let moved = ask(&mut wire, "/blog/7", https);
    assert_eq!(moved.field("Location"), Some("/posts/7"));
}

#[test]
fn a_site_that_orders_its_certificate_is_there_before_it_has_come() {
    let store = tempfile::tempdir().unwrap();
    let [nobody, secure] = [Port::reserve(), Port::reserve()];
    let port = secure.address().port().to_string();
    let setup = example("acme").env("TLS_PORT", &port);
    let setup = setup.env("STORE", store.path().to_str().unwrap());
    let directory = format!("https://{}/dir", nobody.address());
    let daemon = setup.env("DIRECTORY", &directory).start();
    let moved = ask(&mut daemon.connect("http"), "/", "");
    assert_eq!(moved.status(), 308);
    let https = daemon.address("https");
    assert!(
        Client::of_anyone()
            .try_connect(https, "www.example.com")
            .is_err()
    );
    daemon.wait_log("no certificate was issued, and there is none to serve");
}

#[test]
fn maintenance_closes_for_everyone_but_those_who_work_on_it() {
    let setup = example("maintenance");
    let switch = setup.folder().join("switch");
    let daemon = setup.env("SWITCH", switch.to_str().unwrap()).start();
    let mut wire = daemon.connect("web");
    assert_eq!(ask(&mut wire, "/tool-2.1.txt", "").status(), 200);
    fs::write(&switch, "").unwrap();
    let deadline = deadline();
    let closed = loop {
        let answer = ask(&mut wire, "/tool-2.1.txt", "Accept: text/html\r\n");
        if answer.status() == 503 {
            break answer;
        }
        assert!(left(deadline).is_some(), "it is still open");
    };
    assert!(closed.text().contains("<h1>Closed for maintenance</h1>"));
    assert_eq!(closed.field("Retry-After"), Some("600"));
    let text = ask(&mut wire, "/", "Accept: text/plain\r\n");
    assert_eq!(text.text(), "closed for maintenance\n");
    assert_eq!(ask(&mut wire, "/health/live", "").status(), 200);
}

#[test]
fn maintenance_lets_the_office_through() {
    let setup = example("maintenance").file("switch", "");
    let switch = setup.folder().join("switch");
    let setup = setup.env("SWITCH", switch.to_str().unwrap());
    let daemon = setup.env("OFFICE", "127.0.0.0/8").start();
    assert_eq!(daemon.get("web", "/tool-2.1.txt").status(), 200);
}

#[test]
fn admin_is_for_those_of_the_office_who_know_the_password() {
    let upstream = Upstream::tcp();
    let daemon = example("admin").env("ADMIN", &upstream.address).start();
    let mut wire = daemon.connect("admin");
    let asked = ask(&mut wire, "/", "X-User: root\r\nAccept: text/html\r\n");
    assert_eq!(asked.status(), 401);
    let realm = asked.field("WWW-Authenticate").unwrap();
    assert!(realm.contains("realm=\"administration\""), "{realm}");
    assert!(asked.text().contains("<h1>401 Unauthorized</h1>"));
    // `admin:change me`
    let pair = "Authorization: Basic YWRtaW46Y2hhbmdlIG1l\r\n";
    wire.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nx_user: root\r\nX_Client: root\r\n\
         Connection: X-User, X-Client\r\n{pair}\r\n"
    ));
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("X-User: admin\r\n"), "{head}");
    assert!(!head.contains("root") && !head.contains("Basic"), "{head}");
    assert!(head.contains("X-Client: 127.0.0.1\r\n"), "{head}");
    peer.send("HTTP/1.1 200 OK\r\nX-Frame-Options: ALLOWALL\r\nContent-Length: 2\r\n\r\nok");
    let page = wire.read_response();
    assert_eq!(page.field("X-Frame-Options"), Some("DENY"));
    assert_eq!(page.field("Cache-Control"), Some("no-store"));
    let numbers = wire.get("/metrics").text();
    assert!(numbers.contains("httpserverd_"), "{numbers}");
}

/// Of alice, signed by the other half of `keys/login.pem`, good until 2100.
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.\
    eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwiYXVkIjoiYXBpIiwic3ViIjoiYWxpY2UiLCJzY29wZSI6\
    Im9yZGVycyIsImV4cCI6NDEwMjQ0NDgwMH0.\
    V3EZ-bOwwjVgyWv0Uac4wMhsGhXpmxRJSyggMyZj-OYtqW92miHOhpJ831lfLEA-sK_I5SZ-5WY2mT0cW68zAQ";

#[test]
fn public_api_asks_for_a_token_and_takes_no_large_requests() {
    let upstream = Upstream::tcp();
    let daemon = example("public-api").env("API", &upstream.address).start();
    let mut wire = daemon.connect("web");
    wire.send(
        "OPTIONS /v1/orders HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\
         Access-Control-Request-Method: GET\r\n\r\n",
    );
    let preflight = wire.read_response();
    let allowed = preflight.field("Access-Control-Allow-Origin");
    assert_eq!(
        (preflight.status(), allowed),
        (204, Some("https://app.example.com"))
    );
    let asked = ask(&mut wire, "/v1/orders", "");
    assert_eq!(asked.status(), 401);
    assert!(
        asked
            .field("WWW-Authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    for _ in 0..2 {
        wire.send(format!(
            "GET /v1/orders HTTP/1.1\r\nHost: a\r\nX-User: root\r\n\
             Authorization: Bearer {TOKEN}\r\n\r\n"
        ));
        let mut peer = upstream.accept();
        let head = peer.read_request_head();
        assert!(head.starts_with("GET /orders HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("X-User: alice\r\n") && !head.contains("root"),
            "{head}"
        );
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]");
        assert_eq!(wire.read_response().text(), "[]");
    }
    wire.send(format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(wire.read_response().status(), 413);
    let mut wire = daemon.connect("web");
    let status = ask(&mut wire, "/v1/status", "");
    assert!(
        status.text().starts_with("{\"status\":\"ok\""),
        "{}",
        status.text()
    );
}

/// What a client is told once it has asked too often; it is refused after so many others.
#[track_caller]
fn until_refused(daemon: &Daemon, request: &str) -> (usize, Response) {
    let deadline = deadline();
    let mut passed = 0;
    while left(deadline).is_some() {
        let mut wire = daemon.connect("web");
        wire.send(request);
        let answer = wire.read_response();
        if answer.status() == 429 {
            return (passed, answer);
        }
        passed += 1;
    }
    panic!("it may ask for ever");
}

#[test]
fn public_api_is_not_asked_too_often_by_user_or_by_address() {
    let daemon = example("public-api").start();
    // Too large for the API, which is never asked; each counts as a call of alice.
    let call = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n"
    );
    let (passed, refused) = until_refused(&daemon, &call);
    assert!(passed >= 20, "{passed}");
    assert_eq!(refused.field("X-RateLimit-Limit"), Some("20"));
    assert!(refused.field("Retry-After").is_some());
    // Who brings no token is asked for one, and told to wait in the end.
    let visit = "GET /v1/orders HTTP/1.1\r\nHost: a\r\n\r\n";
    let (passed, refused) = until_refused(&daemon, visit);
    assert!(passed >= 50, "{passed}");
    assert_eq!(refused.field("X-RateLimit-Limit"), Some("100"));
    let mut wire = daemon.connect("web");
    assert_eq!(ask(&mut wire, "/v1/status", "").status(), 200);
}

#[test]
fn https_sends_plain_http_where_it_is_encrypted() {
    let port = Port::reserve();
    let port = port.address().port().to_string();
    let daemon = example("https").env("TLS_PORT", &port).start();
    let moved = ask(&mut daemon.connect("http"), "/a", "");
    let expected = format!("https://www.example.com:{port}/a");
    assert_eq!(
        (moved.status(), moved.field("location")),
        (308, Some(&*expected))
    );
    let mut wire = Client::of_anyone().connect(daemon.address("https"), "localhost");
    wire.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = wire.read_response();
    assert_eq!(page.status(), 200);
    assert!(page.field("Strict-Transport-Security").is_some());
}
