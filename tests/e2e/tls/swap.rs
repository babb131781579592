//! Certificates change while they are in use.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use super::{Certificates as _, ONE, ROUTES, config, served};
use crate::support::daemon::{Address, Daemon};
use crate::support::tls::{Authority, Client, Issued, Wanted};
use crate::support::{deadline, left};

const ANY: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Asks over and over, on connections that are kept and on new ones, until `done`; how many
/// requests were answered.
fn ask_until(done: &AtomicBool, address: &Address, authority: &Authority, asked: &AtomicUsize) {
    let client = Client::of(authority);
    let mut kept = client.connect(address, "a.example");
    while !done.load(Ordering::Relaxed) {
        kept.send(ANY);
        assert_eq!(kept.read_response().status(), 200);
        let mut fresh = client.connect(address, "a.example");
        fresh.send(ANY);
        assert_eq!(fresh.read_response().status(), 200);
        asked.fetch_add(2, Ordering::Relaxed);
    }
}

fn write(daemon: &Daemon, issued: &Issued) {
    daemon.write_file("a.key", issued.key());
    daemon.write_file("a.pem", issued.cert());
}

#[test]
fn a_certificate_is_swapped_under_load_and_nothing_fails() {
    let authority = Authority::new("ca");
    let first = authority.issue(&["a.example"]);
    let mut daemon = Daemon::setup()
        .certificate("a", &first)
        .config(&config(ONE, ROUTES))
        .start();
    let address = daemon.address("web").clone();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = Client::of(&authority);
    assert!(served(&daemon, &client, "a.example") == *first.chain[0]);
    thread::scope(|scope| {
        scope.spawn(|| ask_until(&done, &address, &authority, &asked));
        for _ in 0..3 {
            let before = asked.load(Ordering::Relaxed);
            let next = authority.issue(&["a.example"]);
            write(&daemon, &next);
            // Between the two files the pair may have been seen, and was refused.
            let deadline = deadline();
            while served(&daemon, &client, "a.example") != *next.chain[0]
                || asked.load(Ordering::Relaxed) < before + 4
            {
                assert!(left(deadline).is_some(), "{}", daemon.log().text());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
}

#[test]
fn a_pair_that_does_not_fit_is_refused_and_the_one_before_stays() {
    let authority = Authority::new("ca");
    let [first, other] = [(); 2].map(|()| authority.issue(&["a.example"]));
    let daemon = Daemon::setup()
        .certificate("a", &first)
        .config(&config(ONE, ROUTES))
        .start();
    let client = Client::of(&authority);
    daemon.write_file("a.pem", other.cert());
    daemon.wait_log("a.key is not the key of the certificate of CN=test");
    assert!(served(&daemon, &client, "a.example") == *first.chain[0]);
    daemon.write_file("a.key", other.key());
    daemon.wait_log("generation 2");
    assert!(served(&daemon, &client, "a.example") == *other.chain[0]);
}

#[test]
fn a_certificate_that_ends_soon_is_warned_of() {
    let authority = Authority::new("ca");
    let expired = authority.issue_as(&Wanted {
        names: &["a.example"],
        ends: 2020,
        ..Wanted::default()
    });
    let daemon = Daemon::setup()
        .certificate("a", &expired)
        .config(&config(ONE, ROUTES))
        .start();
    daemon.wait_log("a certificate has expired");
    daemon.wait_log("W0204");
}

#[test]
fn a_drain_lets_encrypted_exchanges_end() {
    let authority = Authority::new("ca");
    // One worker: what one connection shows of it holds for the other one.
    let one_worker = format!("[server]\nworkers = 1\n{}", config(ONE, ROUTES));
    let mut daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .config(&one_worker)
        .start();
    let client = Client::of(&authority);
    let mut idle = client.connect(daemon.address("web"), "a.example");
    idle.send(ANY);
    assert_eq!(idle.read_response().status(), 200);
    let mut busy = client.connect(daemon.address("web"), "a.example");
    busy.send(&ANY[..20]);
    // Its first bytes have been read once another one's, sent later, were answered.
    idle.send(ANY);
    assert_eq!(idle.read_response().status(), 200);
    daemon.signal(Signal::TERM);
    idle.expect_closed();
    assert!(!idle.was_cut());
    busy.send(&ANY[20..]);
    let response = busy.read_response();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
    busy.expect_closed();
    assert!(!busy.was_cut());
    daemon.wait_exit(0);
}

#[test]
fn a_self_signed_certificate_stays_across_reloads() {
    let mut daemon = Daemon::start(&config("\"self_signed\"", ROUTES));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let client = Client::of_anyone();
        let mut wire = client.connect(daemon.address("web"), "localhost");
        wire.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(wire.read_response().text(), "https TLSv1.3 localhost");
        seen.push(wire.session().peer_certificates().unwrap()[0].to_vec());
        daemon.signal(Signal::HUP);
        daemon.wait_notify("READY=1");
    }
    assert!(seen[0] == seen[1]);
}
