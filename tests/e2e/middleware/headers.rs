//! `headers`: what the upstream and the client see.

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

fn start(upstream: &Upstream) -> Daemon {
    Daemon::start(&format!(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["{}"]

[middleware.alone]
type = "headers"
[middleware.alone.request]
set = {{ X-Client = "{{client.ip}}" }}
remove = ["Cookie", "X-Debug-*"]
[middleware.alone.response]
set = {{ X-Upstream = "{{upstream.status}}" }}
remove = ["X-Powered-By"]

[middleware.missing]
type = "headers"
status = [404]
response.set = {{ Cache-Control = "no-store", X-Route = "{{route.name}}" }}

[[route]]
name = "alone"
path = "/*"
middleware = "alone"
proxy = {{ upstream = "backend" }}

[[route]]
name = "chain"
path = "/chain/*"
middleware = ["missing", "cors", "alone"]
proxy = {{ upstream = "backend" }}
"#,
        upstream.address
    ))
}

#[test]
fn both_sides_see_what_was_changed() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut client = daemon.connect("web");
    client.send(
        "GET /x HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nX-Client: spoofed\r\n\
         X-Debug-Level: 9\r\nX-Kept: 1\r\n\r\n",
    );
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("X-Client: 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("X-Kept: 1\r\n"), "{head}");
    for gone in ["Cookie", "spoofed", "X-Debug"] {
        assert!(!head.contains(gone), "{head}");
    }
    peer.send("HTTP/1.1 201 Created\r\nX-Powered-By: x\r\nContent-Length: 2\r\n\r\nok");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (201, "ok"));
    assert_eq!(response.field("X-Upstream"), Some("201"));
    assert_eq!(response.field("X-Powered-By"), None);
}

#[test]
fn in_a_chain_each_does_its_own() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut client = daemon.connect("web");
    for (status, cached) in [(404, Some("no-store")), (200, None)] {
        client.send("GET /chain/x HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n\r\n");
        let mut peer = upstream.accept();
        peer.read_request_head();
        // Closed, so that each request comes by a connection of its own.
        peer.send(format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ));
        let response = client.read_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.field("Cache-Control"), cached);
        assert_eq!(response.field("X-Route"), cached.map(|_| "chain"));
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
        let told = status.to_string();
        assert_eq!(response.field("X-Upstream"), Some(told.as_str()));
        assert!(response.field("X-Request-ID").is_some());
    }
}
