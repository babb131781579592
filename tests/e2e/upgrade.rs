//! Sockets that are older than the process: an upgrade, and a service manager's.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::support::daemon::{Address, Daemon, Setup};
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
workers = 2

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[listener]]
name = "local"
bind = "unix:FOLDER/socket"

[[route]]
path = "/hello"
respond = { text = "hello" }

[[route]]
path = "/*"
static = { root = "site" }
"#;

/// More than any pair of socket buffers holds: who does not read it keeps the exchange open.
const LARGE: u64 = 64 << 20;

/// A machine that never gets to the end of an upgrade shall not run for ever.
const REQUESTS_MAX: usize = 100_000;

fn start() -> Daemon {
    let setup = Daemon::setup().file("site/large", "");
    let config = CONFIG.replace("FOLDER", setup.folder().to_str().unwrap());
    let setup = setup.config(&config);
    let file = std::fs::File::options()
        .write(true)
        .open(setup.folder().join("site/large"));
    file.unwrap().set_len(LARGE).unwrap();
    setup.start()
}

/// Asks on one connection after the other; how often.
fn ask_until(address: &Address, over: &AtomicBool) -> usize {
    for asked in 0..REQUESTS_MAX {
        if over.load(Ordering::Relaxed) {
            return asked;
        }
        let mut wire = Wire::connect(address);
        wire.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(wire.read_response().text(), "hello");
    }
    panic!("no end after {REQUESTS_MAX} requests");
}

#[test]
fn an_upgrade_refuses_nobody_and_lets_open_exchanges_end() {
    let mut daemon = start();
    let first = daemon.pid();
    let (web, local) = (
        daemon.address("web").clone(),
        daemon.address("local").clone(),
    );
    let mut idle = daemon.connect("web");
    assert_eq!(idle.get("/hello").text(), "hello");
    let mut open = daemon.connect("local");
    open.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    open.expect_head("HTTP/1.1 200 OK\r\n");

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let askers = [&web, &local].map(|address| scope.spawn(|| ask_until(address, &over)));
        daemon.upgrade();
        assert_ne!(daemon.pid(), first);
        // Not the first one's: a service manager waits for its own children only.
        assert_ne!(parent(daemon.pid()), first.as_raw_nonzero().get());
        idle.expect_closed();
        open.read_bytes(usize::try_from(LARGE).unwrap());
        open.expect_closed();
        let log = daemon.wait_exit(0);
        assert!(log.contains("has taken over: draining"), "{log}");
        assert!(log.contains("took over from another process"), "{log}");
        over.store(true, Ordering::Relaxed);
        for asker in askers {
            assert!(asker.join().unwrap() > 0);
        }
    });
    assert_eq!(daemon.get("web", "/hello").text(), "hello");
    assert_eq!(daemon.get("local", "/hello").text(), "hello");
    let file = daemon.folder().join("socket");
    assert!(file.exists());
    daemon.end_successor();
    assert!(!file.exists(), "the last one removes the socket file");
}

fn parent(process: rustix::process::Pid) -> i32 {
    let status = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.unwrap().trim().parse().unwrap()
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let daemon = start();
    let first = daemon.pid();
    daemon.write_config(&CONFIG.replace("FOLDER", "/proc/none"));
    daemon.wait_log("kept generation 1");
    daemon.signal(Signal::USR2);
    daemon.wait_log("did not take over: it ends with 1");
    assert_eq!(daemon.pid(), first);
    assert_eq!(daemon.get("web", "/hello").text(), "hello");
    assert_eq!(daemon.get("local", "/hello").text(), "hello");
    // And the next one is tried.
    daemon.write_config("workers = 1");
    daemon.signal(Signal::USR2);
    daemon.wait_log("did not take over: it ends with 78");
    assert_eq!(daemon.get("local", "/hello").text(), "hello");
}

#[test]
fn a_service_managers_socket_is_listened_on_by_its_name() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Asked before anyone is there to answer: it waits.
    let early = std::net::TcpStream::connect(address).unwrap();
    let mut daemon = Setup::activated("web", std::os::fd::OwnedFd::from(socket))
        .config(
            r#"
            [server]
            workers = 2
            [[listener]]
            name = "here"
            bind = "systemd:web"
            [[route]]
            path = "/*"
            respond = { text = "hello" }
            "#,
        )
        .start();
    assert_eq!(daemon.address("here").tcp(), address);
    assert_eq!(Wire::tcp(early).get("/").text(), "hello");
    let mut kept = daemon.connect("here");
    assert_eq!(kept.get("/").text(), "hello");
    daemon.signal(Signal::HUP);
    daemon.wait_log("reloaded: serving generation 2");
    assert_eq!(kept.get("/").text(), "hello");
    daemon.upgrade();
    daemon.wait_exit(0);
    assert_eq!(daemon.get("here", "/").text(), "hello");
    daemon.end_successor();
}

#[test]
fn a_name_that_the_service_manager_does_not_know_is_an_error() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = "[[listener]]\nbind = \"systemd:wbe\"\n[[route]]\npath = \"/\"\n\
                  respond = { text = \"a\" }";
    let refused = Setup::activated("web", std::os::fd::OwnedFd::from(socket))
        .config(config)
        .run();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("no socket of that name, but web"),
        "{}",
        refused.stderr
    );
    let none = Daemon::setup().config(config).run();
    assert!(
        none.stderr.contains("is the socket unit started?"),
        "{}",
        none.stderr
    );
}
