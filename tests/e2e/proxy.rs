//! The proxy between a raw client and a scripted upstream.

mod announcing;
mod balancing;
mod bodies;
mod chaos;
mod dripping;
mod failures;
mod fields;
mod http2;
mod interim;
mod load;
mod pool;
mod retries;
mod shaping;
mod tls;
mod tunnels;
mod upstreams;
mod volume;
mod websocket;

use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// A daemon that proxies `/` to these servers, with these lines in `[upstream.backend]`.
fn proxy_with(servers: &[&Upstream], settings: &str) -> Daemon {
    let servers: Vec<String> = servers
        .iter()
        .map(|server| format!("\"{}\"", server.address))
        .collect();
    Daemon::start(&config(&servers.join(", "), settings))
}

fn proxy(server: &Upstream) -> Daemon {
    proxy_with(&[server], "")
}

fn config(servers: &str, settings: &str) -> String {
    config_with(servers, settings, "")
}

/// A daemon that proxies `/*` with these keys in the route's `proxy`.
fn route_with(server: &Upstream, proxy: &str) -> Daemon {
    Daemon::start(&config_with(&format!("\"{}\"", server.address), "", proxy))
}

fn config_with(servers: &str, settings: &str, proxy: &str) -> String {
    format!(
        "[server]\nworkers = 1\ndrain_timeout = \"1s\"\nlimits.body = \"100MiB\"\n\
         middleware = [\"request_id\", \"log\"]\n\
         [middleware.log]\ntype = \"access_log\"\noutput = \"stderr\"\n\
         format = \"{{request.uri}} {{response.status}} {{response.why}}\"\n\
         [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.backend]\nservers = [{servers}]\n{settings}\n\
         [[route]]\npath = \"/*\"\n[route.proxy]\nupstream = \"backend\"\n{proxy}\n"
    )
}

/// A daemon that proxies `/*` to these servers, with these keys in the route's `proxy`.
fn routes_with(servers: &[&Upstream], proxy: &str) -> Daemon {
    let servers: Vec<String> = servers
        .iter()
        .map(|server| format!("\"{}\"", server.address))
        .collect();
    Daemon::start(&config_with(&servers.join(", "), "", proxy))
}

fn get(wire: &mut Wire, target: &str) {
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: site\r\n\r\n"));
}

/// The upstream's connection serves the next request too.
#[track_caller]
fn expect_kept(client: &mut Wire, peer: &mut Peer) {
    get(client, "/next");
    assert!(peer.read_request().head.starts_with("GET /next "));
    peer.respond("200 OK", "kept");
    assert_eq!(client.read_response().text(), "kept");
}

/// What is said of a request to the upstream behind its own fields.
const SAID: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-Host: site\r\nVia: 1.1 httpserverd\r\n";

/// A head without what is unlike in every request or process: the id, and the number in `Via`.
fn without_id(head: &str) -> String {
    let lines = head
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("X-Request-ID: "));
    let lines = lines.map(|line| {
        let via = line.starts_with("Via: 1.1 httpserverd-");
        if via {
            "Via: 1.1 httpserverd\r\n"
        } else {
            line
        }
    });
    lines.collect()
}

#[test]
fn a_request_goes_out_and_its_answer_comes_back() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /a//b/../c?d=%20 HTTP/1.1\r\nHost: site\r\nAccept: x\r\nTE: gzip\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    assert!(head.contains("X-Request-ID: "), "{head}");
    assert_eq!(
        without_id(&head),
        format!("GET /a/c?d=%20 HTTP/1.1\r\nHost: site\r\nAccept: x\r\n{SAID}\r\n")
    );
    peer.send(
        "HTTP/1.1 200 Fine\r\nServer: own\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Own: a\r\n\
         Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello",
    );
    let response = client.read_response();
    assert_eq!(response.text(), "hello");
    assert_eq!(
        without_id(&response.head.text),
        "HTTP/1.1 200 OK\r\nServer: own\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Own: a\r\n\
         Set-Cookie: a\r\nSet-Cookie: b\r\nVia: 1.1 httpserverd\r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn connections_are_kept_and_used_again() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "one");
    assert_eq!(client.read_response().text(), "one");
    // Another client, the same connection upstream.
    let mut other = daemon.connect("web");
    get(&mut other, "/2");
    assert!(peer.read_request().head.starts_with("GET /2 "));
    peer.respond("200 OK", "two");
    assert_eq!(other.read_response().text(), "two");
    upstream.expect_no_connection();
}

#[test]
fn answers_without_content_have_none() {
    let upstream = Upstream::tcp();
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    client.send("HEAD /a HTTP/1.1\r\nHost: site\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: \"a\"\r\n\r\n");
    let head = client.read_head();
    assert_eq!(head.field("content-length"), Some("12345"));
    for status in ["204 No Content", "304 Not Modified"] {
        get(&mut client, "/");
        peer.read_request();
        peer.send(format!("HTTP/1.1 {status}\r\nETag: \"b\"\r\n\r\n"));
        let response = client.read_response();
        assert_eq!(response.field("etag"), Some("\"b\""));
        assert_eq!(response.body, b"");
    }
    // All on one connection: nobody waited for content that never comes.
    get(&mut client, "/last");
    peer.read_request();
    peer.respond("200 OK", "x");
    assert_eq!(client.read_response().text(), "x");
    upstream.expect_no_connection();
}
