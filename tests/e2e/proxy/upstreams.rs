//! Whose turn it is, and who is left out.

use super::{config, get, proxy, proxy_with};
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

/// Sends a request, has this upstream answer it, and checks that it did.
#[track_caller]
fn answered_by(client: &mut Wire, upstream: &Upstream, name: &str) -> Peer {
    get(client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.send(format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    ));
    assert_eq!(client.read_response().text(), name);
    peer
}

#[test]
fn servers_take_turns() {
    let (first, second) = (Upstream::tcp(), Upstream::tcp());
    let daemon = proxy_with(&[&first, &second], "");
    let mut client = daemon.connect("web");
    for _ in 0..3 {
        answered_by(&mut client, &first, "first");
        answered_by(&mut client, &second, "second");
    }
}

#[test]
fn weights_are_heeded() {
    let (light, heavy) = (Upstream::tcp(), Upstream::tcp());
    let servers = format!(
        "\"{}\", {{ address = \"{}\", weight = 2 }}",
        light.address, heavy.address
    );
    let daemon = Daemon::start(&config(&servers, ""));
    let mut client = daemon.connect("web");
    for _ in 0..2 {
        answered_by(&mut client, &heavy, "heavy");
        answered_by(&mut client, &light, "light");
        answered_by(&mut client, &heavy, "heavy");
    }
}

#[test]
fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::unix(&folder.path().join("app.sock"));
    let daemon = proxy(&upstream);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "one");
    assert_eq!(client.read_response().text(), "one");
    get(&mut client, "/2");
    peer.read_request();
    peer.respond("200 OK", "two");
    assert_eq!(client.read_response().text(), "two");
}

#[test]
fn connections_that_are_idle_for_too_long_are_closed() {
    let upstream = Upstream::tcp();
    let settings = "keep_alive = { max_idle = 1, idle_timeout = \"100ms\" }";
    let daemon = proxy_with(&[&upstream], settings);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    peer.read_request();
    peer.respond("200 OK", "one");
    client.read_response();
    peer.expect_closed();
}

#[test]
fn no_more_connections_are_kept_than_wanted() {
    let upstream = Upstream::tcp();
    let daemon = proxy_with(&[&upstream], "keep_alive = { max_idle = 0 }");
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let mut peer = upstream.accept();
    let head = peer.read_request().head;
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    peer.respond("200 OK", "one");
    client.read_response();
    peer.expect_closed();
}

#[test]
fn a_health_check_takes_a_server_out_and_back() {
    let (steady, shaky) = (Upstream::tcp(), Upstream::tcp());
    let check = "health_check = { path = \"/up\", interval = \"50ms\", timeout = \"10s\", \
                 healthy_after = 1, unhealthy_after = 2 }\n";
    let servers = format!("\"{}\", \"{}\"", steady.address, shaky.address);
    let route = "[[route]]\npath = \"/ready\"\n\
                 health = { kind = \"readiness\", checks.app = { upstream = \"backend\" } }\n";
    let daemon = Daemon::start(&format!("{}{route}", config(&servers, check)));
    // The steady one is gone from the start: its checks fail.
    let steady = steady.stop();
    daemon.wait_log("endpoint is unhealthy");
    // Checks and requests both come to the shaky one; each is what it says.
    let answer = |peer: &mut Peer, status: &str| {
        let head = peer.read_request().head;
        let is_check = head.starts_with("GET /up ");
        peer.respond(if is_check { status } else { "200 OK" }, "shaky");
        is_check
    };
    let mut client = daemon.connect("web");
    for _ in 0..4 {
        get(&mut client, "/");
        while answer(&mut shaky.accept(), "200 OK") {}
        assert_eq!(client.read_response().text(), "shaky");
    }
    assert_eq!(daemon.get("web", "/ready").status(), 200);
    // Now its checks fail as well, and nobody is left.
    while daemon.log().count("endpoint is unhealthy") < 2 {
        answer(&mut shaky.accept(), "503 Busy");
    }
    let ready = daemon.get("web", "/ready");
    assert_eq!(ready.status(), 503);
    assert_eq!(
        ready.text(),
        "{\"status\":\"not ready\",\"reason\":\"Check 'app' failed: \
         upstream backend has no healthy server\"}"
    );
    assert_eq!(daemon.get("web", "/").status(), 503);
    daemon.wait_log("no_endpoint");
    // One comes back.
    let _shaky = shaky.stop();
    let steady = Upstream::at(steady);
    while daemon.log().count("endpoint is healthy again") < 1 {
        answer(&mut steady.accept(), "200 OK");
    }
    get(&mut client, "/");
    while answer(&mut steady.accept(), "200 OK") {}
    assert_eq!(client.read_response().text(), "shaky");
}
