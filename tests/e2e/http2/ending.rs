//! Goodbyes: drains and reloads under way lose nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;

use super::{NOWHERE, daemon};
use crate::support::h2::Client;
use crate::support::upstream::Upstream;

#[test]
fn a_drain_answers_what_was_asked_and_says_goodbye() {
    let upstream = Upstream::tcp();
    let mut daemon = daemon("", &upstream.address);
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    daemon.signal(Signal::TERM);
    assert_eq!(client.goodbye(), ((1 << 31) - 1, "NO_ERROR"));
    // It was on its way when the goodbye was said.
    client.request(3, "HEAD", "/large", &[]);
    assert_eq!(client.answer(3).status(), 200);
    assert_eq!(client.goodbye(), (3, "NO_ERROR"));
    peer.respond("200 OK", "late");
    assert_eq!(client.answer(1).text(), "late");
    assert!(client.frame().is_none());
    daemon.wait_exit(0);
}

#[test]
fn a_drain_ends_connections_without_streams() {
    let mut daemon = daemon("", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    assert_eq!(client.get(1, "/ok").text(), "ok");
    let mut mute = Client::connect(&daemon, "web");
    assert_eq!(mute.get(1, "/ok").text(), "ok");
    daemon.signal(Signal::TERM);
    assert_eq!(client.goodbye(), ((1 << 31) - 1, "NO_ERROR"));
    assert_eq!(client.goodbye(), (1, "NO_ERROR"));
    assert!(client.frame().is_none());
    // This one answers no ping, and is not waited for.
    mute.wire.read_to_end();
    daemon.wait_exit(0);
}

#[test]
fn a_drain_that_takes_too_long_cuts_streams() {
    let upstream = Upstream::tcp();
    let mut daemon = daemon("", &upstream.address);
    daemon.write_config(&super::config(
        "",
        &upstream.address,
        "drain_timeout = \"100ms\"",
    ));
    daemon.signal(Signal::HUP);
    daemon.wait_log("serving generation 2");
    let mut client = Client::connect(&daemon, "web");
    client.request(1, "GET", "/up/x", &[]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    daemon.signal(Signal::TERM);
    while client.frame().is_some() {}
    peer.expect_closed();
    daemon.stdout().wait("/up/x 499 0 drain_timeout\n", 1);
    daemon.wait_exit(0);
}

#[test]
fn reloads_under_load_fail_no_request() {
    let daemon = daemon("", NOWHERE);
    let over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let clients = [(); 3].map(|()| Client::connect(&daemon, "web"));
        let over = &over;
        let clients = clients.map(|client| scope.spawn(move || ask_until(over, client)));
        for generation in 2..12 {
            daemon.signal(Signal::HUP);
            daemon.wait_log(&format!("serving generation {generation}"));
        }
        over.store(true, Ordering::Relaxed);
        let asked = clients.map(|client| client.join().unwrap());
        asked.iter().sum::<u32>()
    });
    assert!(asked > 100, "only {asked} requests");
}

/// Asks, eight requests at a time, until it is over; how many.
fn ask_until(over: &AtomicBool, mut client: Client) -> u32 {
    let mut stream = 1;
    while !over.load(Ordering::Relaxed) {
        let streams = [0, 2, 4, 6, 8, 10, 12, 14].map(|more| stream + more);
        for stream in streams {
            client.request(stream, "GET", "/ok", &[]);
        }
        for stream in streams {
            assert_eq!(client.answer(stream).text(), "ok");
        }
        stream += 16;
    }
    assert!(client.goodbyes().is_empty(), "a reload ends no connection");
    stream / 2
}
