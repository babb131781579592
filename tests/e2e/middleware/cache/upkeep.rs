//! What happens behind the answers: refreshing, purging, making room, reloading.

use super::{cached, config};
use crate::support::daemon::Daemon;
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

const STALE: &str =
    "200 OK\r\nCache-Control: max-age=60, stale-while-revalidate=60\r\nAge: 70\r\nETag: \"a\"";

/// Asks for the page, which the origin answers so for the first time.
#[track_caller]
fn fetched(origin: &Upstream, client: &mut Wire, head: &str, page: &str) -> Peer {
    client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = origin.accept();
    peer.read_request_head();
    peer.respond(head, page);
    assert_eq!(client.read_response().text(), page);
    peer
}

/// Asks until the answer is fresh.
#[track_caller]
fn wait_fresh(client: &mut Wire, body: &str) {
    let deadline = crate::support::deadline();
    while crate::support::left(deadline).is_some() {
        let response = client.get("/page");
        let told = response.field("Cache-Status").unwrap();
        if !told.contains("ttl=-") {
            assert!(told.starts_with("pages; hit; ttl="), "{told}");
            assert_eq!(response.text(), body);
            return;
        }
    }
    panic!("it was never refreshed");
}

#[test]
fn stale_answers_come_at_once_and_are_refreshed_behind() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut client = daemon.connect("web");
    let mut peer = fetched(&origin, &mut client, STALE, "old");
    // The origin is asked, and does not answer yet: nobody waits for it.
    for _ in 0..3 {
        let response = client.get("/page");
        assert_eq!(response.text(), "old");
        assert_eq!(response.field("Cache-Status"), Some("pages; hit; ttl=-10"));
    }
    let head = peer.read_request_head();
    assert!(head.contains("\r\nIf-None-Match: \"a\"\r\n"), "{head}");
    assert!(head.starts_with("GET /page HTTP/1.1\r\n"), "{head}");
    peer.send("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n");
    wait_fresh(&mut client, "old");
    origin.expect_no_connection();
}

#[test]
fn a_refresh_brings_new_content_and_outlives_who_caused_it() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut client = daemon.connect("web");
    let mut peer = fetched(&origin, &mut client, STALE, "old");
    client.send("HEAD /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.read_head();
    client.expect_closed();
    let head = peer.read_request_head();
    assert!(head.starts_with("GET /page HTTP/1.1\r\n"), "{head}");
    peer.send(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nnew\r\n",
    );
    peer.send("0\r\n\r\n");
    wait_fresh(&mut daemon.connect("web"), "new");
}

#[test]
fn a_refresh_that_fails_is_tried_again() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut client = daemon.connect("web");
    let mut peer = fetched(&origin, &mut client, STALE, "old");
    assert_eq!(client.get("/page").text(), "old");
    peer.read_request_head();
    peer.respond("500 Broken", "broken");
    // Until the failure has been noticed, one refresh is enough.
    let deadline = crate::support::deadline();
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .spawn(move || {
            peer.read_request_head();
            peer.respond("200 OK\r\nCache-Control: max-age=60", "new");
            sender.send(()).unwrap();
        })
        .unwrap();
    while crate::support::left(deadline).is_some() && asked.try_recv().is_err() {
        assert_eq!(client.get("/page").status(), 200);
    }
    wait_fresh(&mut client, "new");
}

/// Puts a page there; the origin answers it.
fn put(client: &mut Wire, peer: &mut Peer, target: &str, tags: &str) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    peer.read_request_head();
    peer.respond(
        &format!("200 OK\r\nCache-Control: max-age=60\r\n{tags}"),
        target,
    );
    assert_eq!(client.read_response().text(), target);
}

/// Purges; how many went.
fn purge(client: &mut Wire, target: &str, fields: &str) -> String {
    client.send(format!(
        "PURGE {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
    ));
    client.read_response().text()
}

#[test]
fn pages_are_purged_by_url_prefix_and_tag() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "purge_from = ['127.0.0.1']");
    let mut client = daemon.connect("web");
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = origin.accept();
    peer.read_request_head();
    peer.respond("200 OK", "");
    client.read_response();
    let pages = [
        ("/one", "Cache-Tag: x, y"),
        ("/two/a", "Surrogate-Key: y z"),
        ("/two/b?c", "X: y"),
        ("/three", "Cache-Tag: z"),
    ];
    for (target, tags) in pages {
        put(&mut client, &mut peer, target, tags);
    }
    assert_eq!(purge(&mut client, "/none", ""), r#"{"purged":0}"#);
    assert_eq!(purge(&mut client, "/two/b", ""), r#"{"purged":0}"#);
    assert_eq!(purge(&mut client, "/two/b?c", ""), r#"{"purged":1}"#);
    put(&mut client, &mut peer, "/two/b?c", "X: y");
    assert_eq!(purge(&mut client, "/two/*", ""), r#"{"purged":2}"#);
    put(&mut client, &mut peer, "/two/a", "Surrogate-Key: y z");
    assert_eq!(
        purge(&mut client, "/", "Cache-Tag: x\r\n"),
        r#"{"purged":1}"#
    );
    assert_eq!(
        purge(&mut client, "/", "Surrogate-Key: q z\r\n"),
        r#"{"purged":2}"#
    );
    for (target, tags) in pages.iter().filter(|(target, _)| *target != "/two/b?c") {
        put(&mut client, &mut peer, target, tags);
    }
}

#[test]
fn only_who_may_purges() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "purge_from = ['192.0.2.0/24']");
    let mut client = daemon.connect("web");
    client.send("PURGE /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status(), 403);
    origin.expect_no_connection();
}

#[test]
fn without_a_word_of_it_purge_is_the_origins() {
    let origin = Upstream::tcp();
    let daemon = cached(&origin, "");
    let mut client = daemon.connect("web");
    client.send("PURGE /page HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = origin.accept();
    assert!(peer.read_request_head().starts_with("PURGE /page "));
    peer.respond("200 OK", "done");
    assert_eq!(client.read_response().text(), "done");
}

#[test]
fn what_is_kept_outlives_a_reload_and_the_new_settings_hold() {
    let origin = Upstream::tcp();
    let mut daemon = cached(&origin, "");
    let mut client = daemon.connect("web");
    let head = "200 OK\r\nCache-Control: max-age=60";
    let _peer = fetched(&origin, &mut client, head, "kept");
    daemon.write_config(&config(
        &origin,
        "purge_from = ['127.0.0.1']\nsize = '1MiB'",
    ));
    daemon.wait_notify("READY=1");
    assert_eq!(client.get("/page").text(), "kept");
    assert_eq!(purge(&mut client, "/page", ""), r#"{"purged":1}"#);
}

#[test]
fn in_a_chain_each_does_its_part() {
    let origin = Upstream::tcp();
    let text = config(&origin, "").replace(
        "middleware = [\"pages\"]",
        "middleware = [\"cors\", \"compression\", \"pages\"]",
    );
    let daemon = Daemon::start(&text);
    let mut client = daemon.connect("web");
    let ask = "GET /page HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nOrigin: http://b\r\n\r\n";
    client.send(ask);
    let mut peer = origin.accept();
    peer.read_request_head();
    let page = "a page of text ".repeat(200);
    let fields = "200 OK\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"a\"";
    peer.respond(fields, &page);
    let first = client.read_response();
    client.send(ask);
    let second = client.read_response();
    for response in [&first, &second] {
        assert_eq!(response.field("Content-Encoding"), Some("gzip"));
        assert_eq!(response.field("ETag"), Some("W/\"a\""));
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
    }
    assert_eq!(first.body, second.body);
    let told = second.field("Cache-Status").unwrap();
    assert!(told.starts_with("pages; hit"), "{told}");
    assert_eq!(client.get("/page").text(), page);
    origin.expect_no_connection();
}
