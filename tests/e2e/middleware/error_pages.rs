//! `error_pages`: what clients see of errors, of ours and of upstreams.

use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

fn start(upstream: &Upstream) -> Daemon {
    let config = format!(
        r#"
[server]
middleware = ["request_id", "access_log", "error_pages"]

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["{}"]

[middleware.own]
type = "error_pages"
intercept = true
[middleware.own.pages]
404 = "404.html"
5xx = {{ text = "sorry: {{response.status}} for {{request.path}}\n" }}

[[route]]
path = "/site/*"
methods = ["GET"]
middleware = "own"
static = {{ root = "site", strip_prefix = "/site" }}

[[route]]
path = "/app/*"
proxy = {{ upstream = "backend" }}

[[route]]
path = "/replaced/*"
middleware = ["own", "cors", "compression"]
proxy = {{ upstream = "backend" }}
"#,
        upstream.address
    );
    Daemon::setup()
        .config(&config)
        .file("404.html", "<h1>not here</h1>")
        .file("site/a.txt", "a")
        .start()
}

#[track_caller]
fn ask(wire: &mut Wire, method: &str, target: &str, accept: &str) {
    wire.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"
    ));
}

#[track_caller]
fn get(wire: &mut Wire, target: &str, accept: &str) -> Response {
    ask(wire, "GET", target, accept);
    wire.read_response()
}

#[test]
fn our_own_errors_have_a_page_in_the_form_that_is_wanted() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut wire = daemon.connect("web");
    let page = get(&mut wire, "/site/none", "text/html");
    assert_eq!(
        (page.status(), page.text().as_str()),
        (404, "<h1>not here</h1>")
    );
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    // The page of the route stays; there is none in JSON, so that of the server is given.
    let json = get(&mut wire, "/site/none", "application/json");
    let object: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(object["status"], 404);
    assert_eq!(object["request_id"], json.field("X-Request-ID").unwrap());
    assert_eq!(json.field("Vary"), Some("Accept"));
    // Of no route at all.
    let none = get(&mut wire, "/", "text/plain");
    assert_eq!(
        (none.status(), none.text().as_str()),
        (404, "404 Not Found\n")
    );
    ask(&mut wire, "HEAD", "/site/none", "text/html");
    let head = wire.read_head();
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (404, Some("17"))
    );
    ask(&mut wire, "PUT", "/site/a.txt", "text/plain");
    let refused = wire.read_response();
    assert_eq!(refused.text(), "405 Method Not Allowed\n");
    assert_eq!(refused.field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(get(&mut wire, "/site/a.txt", "*/*").text(), "a");
}

#[test]
fn a_request_that_is_none_gets_a_page_too() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut wire = daemon.connect("web");
    wire.send("GET  / HTTP/1.1\r\n\r\n");
    let refused = wire.read_response();
    assert_eq!(refused.status(), 400);
    assert!(
        refused.text().contains("\"status\":400"),
        "{}",
        refused.text()
    );
}

#[test]
fn errors_of_an_upstream_come_as_they_are_unless_told_otherwise() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut client = daemon.connect("web");
    for (target, expected) in [
        ("/app/x", "theirs"),
        ("/replaced/x", "sorry: 500 for /replaced/x\n"),
    ] {
        ask(&mut client, "GET", target, "text/plain");
        let mut peer = upstream.accept();
        peer.read_request_head();
        peer.send(
            "HTTP/1.1 500 X\r\nRetry-After: 7\r\nETag: \"e\"\r\nConnection: close\r\n\
             Content-Length: 6\r\n\r\ntheirs",
        );
        let response = client.read_response();
        assert_eq!(
            (response.status(), response.text().as_str()),
            (500, expected)
        );
        assert_eq!(response.field("Retry-After"), Some("7"));
        let kept = expected == "theirs";
        assert_eq!(response.field("ETag").is_some(), kept);
    }
    // One that cannot be reached is our own error.
    let _port = upstream.stop();
    let ours = get(&mut client, "/app/x", "text/plain");
    assert_eq!(
        (ours.status(), ours.text().as_str()),
        (502, "502 Bad Gateway\n")
    );
}

#[test]
fn a_page_is_read_again_when_it_changes() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    daemon.write_file("404.html", "<h1>moved</h1>");
    daemon.wait_log("serving generation 2");
    let mut wire = daemon.connect("web");
    assert_eq!(
        get(&mut wire, "/site/none", "text/html").text(),
        "<h1>moved</h1>"
    );
}
