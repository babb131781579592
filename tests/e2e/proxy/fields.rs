//! What is said in heads, both ways.

use super::{get, route_with};
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

#[test]
fn places_and_cookies_are_told_in_the_clients_terms() {
    let upstream = Upstream::tcp();
    let daemon = Daemon::start(&format!(
        "[server]\nworkers = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.app]\nservers = [\"{0}\"]\n[[route]]\npath = \"/api/*\"\n\
         [route.proxy]\nupstream = \"app\"\nstrip_prefix = \"/api\"\nadd_prefix = \"/v1\"\n\
         host = \"upstream\"\ncookie_domain = \"remove\"\n",
        upstream.address
    ));
    let mut client = daemon.connect("web");
    client.send("GET /api/login HTTP/1.1\r\nHost: site:81\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.starts_with("GET /v1/login HTTP/1.1\r\n"), "{head}");
    let address = &upstream.address;
    assert!(head.contains(&format!("\r\nHost: {address}\r\n")), "{head}");
    peer.send(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{address}/v1/home?x\r\n\
         Set-Cookie: a=b; Path=/v1; Domain={address}; HttpOnly\r\n\
         Set-Cookie: c=d; Path=/other\r\nContent-Length: 0\r\n\r\n"
    ));
    let response = client.read_response();
    assert_eq!(
        response.field("location"),
        Some("http://site:81/api/home?x")
    );
    let head = &response.head.text;
    assert!(
        head.contains("\r\nSet-Cookie: a=b; Path=/api; HttpOnly\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nSet-Cookie: c=d; Path=/other\r\n"),
        "{head}"
    );
}

#[test]
fn a_route_edits_fields_both_ways() {
    let upstream = Upstream::tcp();
    let daemon = route_with(
        &upstream,
        "host = { fixed = \"app.internal\" }\nforwarded = \"off\"\nrfc7239 = \"append\"\n\
         request_headers = { set = { X-Who = \"{client.ip} {cookie.user}\" }, \
         remove = [\"Cookie\"] }\n\
         response_headers = { set = { X-Route = \"{request.path}\" }, \
         remove = [\"X-Powered-By\"] }",
    );
    let mut client = daemon.connect("web");
    client.send(
        "GET /a HTTP/1.1\r\nHost: site\r\nCookie: user=me\r\nX-Who: root\r\n\
         X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n",
    );
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("\r\nHost: app.internal\r\n"), "{head}");
    assert!(head.contains("\r\nX-Who: 127.0.0.1 me\r\n"), "{head}");
    let forwarded = "\r\nForwarded: for=127.0.0.1;proto=http;host=\"site\"\r\n";
    assert!(head.contains(forwarded), "{head}");
    for gone in ["Cookie", "root", "6.6.6.6", "X-Forwarded"] {
        assert!(!head.contains(gone), "{head}");
    }
    peer.send("HTTP/1.1 200 OK\r\nX-Powered-By: x\r\nX-Route: y\r\nContent-Length: 0\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.field("x-powered-by"), None);
    assert_eq!(response.field("x-route"), Some("/a"));
}

#[test]
fn a_request_that_comes_round_again_is_508() {
    let upstream = Upstream::tcp();
    let daemon = route_with(&upstream, "");
    let mut client = daemon.connect("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 httpserverd, 1.0 edge\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    let via = head.lines().filter(|line| line.starts_with("Via: "));
    let via: Vec<&str> = via.map(|line| &line[5..]).collect();
    let [theirs, own] = via[..] else {
        panic!("{head}");
    };
    assert_eq!(theirs, "1.1 httpserverd, 1.0 edge");
    peer.respond("200 OK", "once");
    assert_eq!(client.read_response().text(), "once");
    // The upstream passes it on to us: as a bad configuration makes it do.
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nVia: {theirs}, {own}\r\n\r\n"
    ));
    let response = client.read_response();
    assert_eq!(response.status(), 508);
    daemon.wait_log("loop_detected");
    get(&mut client, "/next");
    assert!(peer.read_request().head.starts_with("GET /next "));
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
}

#[test]
fn options_go_as_far_as_they_may() {
    let upstream = Upstream::tcp();
    let daemon = route_with(&upstream, "");
    let mut client = daemon.connect("web");
    client.send("OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(client.read_response().status(), 204);
    client.send("OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("\r\nMax-Forwards: 2\r\n"), "{head}");
    peer.respond("200 OK", "far");
    assert_eq!(client.read_response().text(), "far");
}
