//! Draining: who is told what, and when it is over.

use rustix::process::Signal;

use crate::support::daemon::Daemon;

const CONFIG: &str = r#"
[server]
drain_timeout = "DRAIN"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/ready"
health = { kind = "readiness" }

[[route]]
path = "/*"
static = { root = "site" }
"#;

/// More than any pair of socket buffers holds: who does not read it keeps the exchange open.
const LARGE: u64 = 64 << 20;

fn start(drain_timeout: &str) -> Daemon {
    let setup = Daemon::setup()
        .config(&CONFIG.replace("DRAIN", drain_timeout))
        .file("site/large", "");
    let file = std::fs::File::options()
        .write(true)
        .open(setup.folder().join("site/large"));
    file.unwrap().set_len(LARGE).unwrap();
    setup.start()
}

#[test]
fn idle_connections_are_closed_at_once() {
    let mut daemon = start("1h");
    let mut idle = daemon.connect("web");
    assert_eq!(idle.get("/ready").status(), 200);
    let mut unused = daemon.connect("web");
    // Both have been accepted: a third one's answer comes after.
    assert_eq!(daemon.get("web", "/ready").status(), 200);
    daemon.signal(Signal::TERM);
    idle.expect_closed();
    unused.expect_closed();
    daemon.wait_exit(0);
}

#[test]
fn requests_that_still_come_hear_that_it_ends() {
    let mut daemon = start("1h");
    let mut wire = daemon.connect("web");
    let ready = wire.get("/ready");
    assert_eq!((ready.status(), ready.field("connection")), (200, None));
    wire.send(
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /ready HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /ready HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    daemon.signal(Signal::TERM);
    daemon.wait_notify("STOPPING=1");
    wire.read_bytes(usize::try_from(LARGE).unwrap());
    let ready = wire.read_response();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().contains("not ready"), "{}", ready.text());
    assert_eq!(ready.field("connection"), Some("close"));
    wire.expect_closed();
    daemon.wait_exit(0);
}

#[test]
fn what_takes_too_long_is_cut() {
    let mut daemon = start("100ms");
    let mut wire = daemon.connect("web");
    wire.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    daemon.signal(Signal::TERM);
    let log = daemon.wait_exit(0);
    assert!(log.contains("1 connections were cut"), "{log}");
    assert!((wire.read_to_end().len() as u64) < LARGE);
}

#[test]
fn with_a_delay_all_is_served_while_readiness_says_no() {
    let config = CONFIG
        .replace("DRAIN", "30s")
        .replace("drain_timeout", "drain_delay = \"1h\"\ndrain_timeout");
    let mut daemon = Daemon::setup().config(&config).file("site/a", "a").start();
    let mut kept = daemon.connect("web");
    assert_eq!(kept.get("/ready").status(), 200);
    daemon.signal(Signal::TERM);
    daemon.wait_notify("STOPPING=1");
    // The workers hear of it one by one; each request may ask another one.
    while daemon.get("web", "/ready").status() == 200 {}
    while kept.get("/ready").status() == 200 {}
    let served = kept.get("/a");
    assert_eq!(
        (served.text().as_str(), served.field("connection")),
        ("a", None)
    );
    assert_eq!(daemon.get("web", "/a").text(), "a");
    daemon.signal(Signal::TERM);
    let log = daemon.wait_exit(0);
    assert!(log.contains("asked again: ending at once"), "{log}");
}
