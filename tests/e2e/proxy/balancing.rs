//! Which server a request goes to, and what happens when none may be asked.

use super::{get, proxy_with};
use crate::support::upstream::Upstream;

#[test]
fn a_sticky_cookie_leads_back_to_the_same_server() {
    let servers = [Upstream::tcp(), Upstream::tcp()];
    let sticky = "sticky_cookie = { name = \"route\", secret = \"0123456789abcdef\", \
                  max_age = \"1h\" }\nkeep_alive.max_idle = 0";
    let daemon = proxy_with(&[&servers[0], &servers[1]], sticky);
    let mut client = daemon.connect("web");
    let mut cookies = Vec::new();
    for server in &servers {
        get(&mut client, "/");
        let mut peer = server.accept();
        peer.read_request();
        peer.respond("200 OK", "x");
        let response = client.read_response();
        let cookie = response.field("set-cookie").unwrap();
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"),
            "{cookie}"
        );
        cookies.push(cookie.split(';').next().unwrap().to_owned());
    }
    assert_ne!(cookies[0], cookies[1]);
    for _ in 0..3 {
        let cookie = &cookies[1];
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: site\r\nCookie: a=b; {cookie}\r\n\r\n"
        ));
        let mut peer = servers[1].accept();
        peer.read_request();
        peer.respond("200 OK", "x");
        assert_eq!(client.read_response().field("set-cookie"), None);
    }
    // A token that nobody gave: as if there was none.
    client.send("GET / HTTP/1.1\r\nHost: site\r\nCookie: route=00\r\n\r\n");
    let mut peer = servers[0].accept();
    peer.read_request();
    peer.respond("200 OK", "x");
    assert!(client.read_response().field("set-cookie").is_some());
}

#[test]
fn above_the_limit_requests_wait_in_line_and_those_behind_it_are_refused() {
    let upstream = Upstream::tcp();
    let limits = "max_connections = 1\nqueue = { size = 1, timeout = \"1h\" }";
    let daemon = proxy_with(&[&upstream], limits);
    let mut first = daemon.connect("web");
    get(&mut first, "/first");
    let mut peer = upstream.accept();
    peer.read_request();
    let mut others = [daemon.connect("web"), daemon.connect("web")];
    for other in &mut others {
        get(other, "/other");
    }
    // One of them waits, for the other there is no room.
    daemon.wait_log("/other 503 queue_full");
    upstream.expect_no_connection();
    peer.respond("200 OK", "one");
    assert_eq!(first.read_response().text(), "one");
    assert!(peer.read_request().head.starts_with("GET /other "));
    peer.respond("200 OK", "two");
    let mut found = others.map(|mut other| other.read_response().status());
    found.sort_unstable();
    assert_eq!(found, [200, 503]);
}

#[test]
fn who_waits_too_long_is_told_so() {
    let upstream = Upstream::tcp();
    let limits = "max_connections = 1\nqueue = { size = 1, timeout = \"100ms\" }";
    let daemon = proxy_with(&[&upstream], limits);
    let mut first = daemon.connect("web");
    get(&mut first, "/first");
    let mut peer = upstream.accept();
    peer.read_request();
    assert_eq!(daemon.get("web", "/second").status(), 503);
    daemon.wait_log("/second 503 queue_timeout");
    peer.respond("200 OK", "one");
    assert_eq!(first.read_response().text(), "one");
}

#[test]
fn an_open_circuit_refuses_without_asking() {
    let upstream = Upstream::tcp();
    let breaker = "circuit_breaker = { minimum_requests = 2, open_time = \"1h\" }";
    let daemon = proxy_with(&[&upstream], breaker);
    let mut client = daemon.connect("web");
    get(&mut client, "/1");
    let mut peer = upstream.accept();
    for target in ["/2", "/3"] {
        peer.read_request();
        peer.respond("503 Busy", "x");
        // What the server answers is the answer; it only counts.
        assert_eq!(client.read_response().text(), "x");
        get(&mut client, target);
    }
    assert_eq!(client.read_response().status(), 503);
    daemon.wait_log("/3 503 breaker_open");
    daemon.wait_log("2 of 2 requests failed");
    upstream.expect_no_connection();
}

#[test]
fn a_server_that_fails_in_a_row_is_left_out() {
    let (steady, shaky) = (Upstream::tcp(), Upstream::tcp());
    let outliers = "outlier_detection = { consecutive_failures = 2, ejection_time = \"1h\", \
                    ejection_time_max = \"2h\" }";
    let daemon = proxy_with(&[&steady, &shaky], outliers);
    let mut client = daemon.connect("web");
    get(&mut client, "/");
    let (mut good, mut bad) = (steady.accept(), None);
    for round in 0..2 {
        good.read_request();
        good.respond("200 OK", "good");
        assert_eq!(client.read_response().text(), "good");
        get(&mut client, "/");
        let bad = bad.get_or_insert_with(|| shaky.accept());
        bad.read_request();
        bad.respond("502 Bad", "bad");
        assert_eq!(client.read_response().text(), "bad", "round {round}");
        get(&mut client, "/");
    }
    daemon.wait_log("endpoint is ejected");
    for _ in 0..3 {
        good.read_request();
        good.respond("200 OK", "good");
        assert_eq!(client.read_response().text(), "good");
        get(&mut client, "/");
    }
}
