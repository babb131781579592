//! A service that is asked whether a request may pass: on the wire, in a chain, and when it is
//! not there.

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

fn config(auth: &str, backend: &str, more: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[upstream.auth]
servers = ["{auth}"]
[upstream.backend]
servers = ["{backend}"]
[middleware.login]
type = "forward_auth"
upstream = "auth"
path = "/verify"
response_headers = ["X-User"]
user_header = "X-User"
{more}
[[route]]
path = "/*"
middleware = ["cors", "login", "compression"]
proxy = {{ upstream = "backend" }}
"#
    )
}

fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
}

#[test]
fn the_service_decides_and_its_answer_is_heard_on_both_sides() {
    let (auth, backend) = (Upstream::tcp(), Upstream::tcp());
    let daemon = Daemon::start(&config(&auth.address, &backend.address, ""));
    let auth = auth.serve(1, |request| {
        if request.head.contains("Cookie: s=good\r\n") {
            b"HTTP/1.1 204 No Content\r\nX-User: alice\r\nSet-Cookie: s=new\r\n\r\n".to_vec()
        } else {
            b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 5\r\n\r\n\
              login"
                .to_vec()
        }
    });
    let backend = backend.serve(1, |_| ok());
    let mut wire = daemon.connect("web");
    wire.send(
        "POST /pay?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-User: root\r\nContent-Length: 3\r\n\r\n\
         abc",
    );
    let refused = wire.read_response();
    assert_eq!((refused.head.status, &*refused.body), (302, &b"login"[..]));
    assert!(
        refused
            .head
            .text
            .contains("Location: https://login.example/\r\n")
    );
    wire.send(
        "POST /pay?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-User: root\r\nCookie: s=good\r\n\
         X-Forwarded-Uri: /forged\r\nContent-Length: 3\r\n\r\nabc",
    );
    let passed = wire.read_response();
    assert_eq!(passed.head.status, 200);
    assert!(
        passed.head.text.contains("Set-Cookie: s=new\r\n"),
        "{}",
        passed.head.text
    );
    let log = lines(&daemon, 2);
    assert_eq!(
        (&log[0]["policy"], &log[0]["user"]),
        (&"login".into(), &().into())
    );
    assert_eq!(log[1]["user"], "alice");
    drop(wire);
    drop(daemon);
    let asked = auth.join().unwrap();
    assert_eq!(asked.len(), 2);
    let head = &asked[1].head;
    assert!(head.starts_with("GET /verify HTTP/1.1\r\n"), "{head}");
    for expected in [
        "X-Forwarded-Method: POST\r\n",
        "X-Forwarded-Uri: /pay?x=1\r\n",
        "X-Forwarded-Host: shop.example\r\n",
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
    ] {
        assert_eq!(head.matches(expected).count(), 1, "{expected}{head}");
    }
    assert!(
        asked[1].body.is_empty() && !head.contains("forged"),
        "{head}"
    );
    let requests = backend.join().unwrap();
    assert_eq!(requests.len(), 1);
    let head = &requests[0].head;
    assert!(
        head.contains("X-User: alice\r\n") && !head.contains("root"),
        "{head}"
    );
    assert_eq!(requests[0].body, b"abc");
}

#[test]
fn while_the_service_is_not_there_nobody_passes_unless_it_is_said() {
    for (more, expected) in [("", 503), ("on_error = \"allow\"", 200)] {
        let (auth, backend) = (Upstream::tcp(), Upstream::tcp());
        let address = auth.address.clone();
        drop(auth);
        let daemon = Daemon::start(&config(&address, &backend.address, more));
        let connections = usize::from(expected == 200);
        let backend = backend.serve(connections, |_| ok());
        assert_eq!(daemon.get("web", "/").head.status, expected);
        drop(daemon);
        assert_eq!(backend.join().unwrap().len(), connections);
    }
}

#[test]
fn a_service_that_does_not_answer_in_time_lets_nobody_pass() {
    let (auth, backend) = (Upstream::tcp(), Upstream::tcp());
    let more = "timeout = \"200ms\"";
    let daemon = Daemon::start(&config(&auth.address, &backend.address, more));
    let mut wire = daemon.connect("web");
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = auth.accept();
    peer.read_request();
    assert_eq!(wire.read_response().head.status, 503);
    backend.expect_no_connection();
}
