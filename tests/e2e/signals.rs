//! Signals, as an operator or a service manager sends them.

use rustix::process::Signal;

use crate::support::daemon::Daemon;
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/*"
static = { root = "site" }
"#;

/// More than any pair of socket buffers holds: who does not read it keeps the exchange open.
const LARGE: u64 = 64 << 20;

/// A daemon with one exchange that goes on until the rest of the body is read.
fn busy() -> (Daemon, Wire) {
    let setup = Daemon::setup().config(CONFIG).file("site/large", "");
    let file = std::fs::File::options()
        .write(true)
        .open(setup.folder().join("site/large"));
    file.unwrap().set_len(LARGE).unwrap();
    let daemon = setup.start();
    let mut wire = daemon.connect("web");
    wire.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    (daemon, wire)
}

#[test]
fn term_lets_what_is_open_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut daemon, mut wire) = busy();
        daemon.signal(signal);
        daemon.wait_log("draining, 1 connections open");
        let message = daemon.wait_notify("STOPPING=1");
        assert!(message.contains("STATUS=draining"), "{message}");
        assert_eq!(wire.read_to_end().len() as u64, LARGE);
        let log = daemon.wait_exit(0);
        assert!(log.contains("drained, every connection has ended"), "{log}");
    }
}

#[test]
fn nothing_new_is_taken_while_it_drains() {
    let (mut daemon, wire) = busy();
    let address = daemon.address("web").tcp();
    daemon.signal(Signal::TERM);
    daemon.wait_notify("STOPPING=1");
    // What came before the listeners closed is served; then connections are refused.
    let deadline = crate::support::deadline();
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(crate::support::left(deadline).is_some(), "it still listens");
    }
    drop(wire);
    daemon.wait_exit(0);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut daemon, mut wire) = busy();
    daemon.signal(Signal::TERM);
    daemon.wait_notify("STOPPING=1");
    daemon.signal(Signal::INT);
    let log = daemon.wait_exit(0);
    assert!(
        log.contains("ending at once, 1 connections are cut"),
        "{log}"
    );
    assert!((wire.read_to_end().len() as u64) < LARGE);
}

#[test]
fn hup_and_usr1_end_nothing() {
    let (daemon, mut wire) = busy();
    daemon.signal(Signal::HUP);
    daemon.wait_log("serving generation 2");
    daemon.signal(Signal::USR1);
    daemon.wait_log("opened the log files anew");
    assert_eq!(
        wire.read_bytes(usize::try_from(LARGE).unwrap()).len() as u64,
        LARGE
    );
}
