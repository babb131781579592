//! Clients that are slow, and too many of them: each limit, on the wire and in the access log.

use rustix::process::Signal;

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

/// Limits, and what is behind `/up/*`: a log line is the path, the status and why.
fn daemon(limits: &str, upstream: &str) -> Daemon {
    Daemon::setup()
        .file("site/large", vec![b'x'; 32 << 20])
        .config(&format!(
            r#"
[server]
workers = 1
limits = {{ {limits} }}

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
format = "{{request.path}} {{response.status}} {{response.why}}"

[upstream.backend]
servers = ["{upstream}"]

[[route]]
path = "/ok"
respond = {{ text = "ok" }}

[[route]]
path = "/up"
proxy = {{ upstream = "backend" }}

[[route]]
path = "/large"
static = {{ root = "site" }}
"#
        ))
        .start()
}

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn a_head_must_come_in_time() {
    let daemon = daemon("header_timeout = \"100ms\"", NOWHERE);
    let mut slow = daemon.connect("web");
    slow.send("GET /ok HTTP/1.1\r\nHost: a\r\n");
    let refused = slow.read_response();
    assert_eq!(refused.status(), 408);
    assert_eq!(refused.field("Connection"), Some("close"));
    slow.expect_closed();
    daemon.stdout().wait("- 408 header_timeout\n", 1);
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn empty_lines_that_no_request_follows_are_not_answered() {
    let daemon = daemon("header_timeout = \"100ms\"", NOWHERE);
    let mut client = daemon.connect("web");
    assert_eq!(client.get("/ok").text(), "ok");
    client.send("\r\n");
    client.expect_closed();
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn the_time_of_a_head_is_for_all_of_it_and_not_for_each_byte() {
    let daemon = daemon("header_timeout = \"100ms\"", NOWHERE);
    let mut slow = daemon.connect("web");
    slow.send("GET /ok HTTP/1.1\r\nHost: a\r\nX: ");
    // It would go on for as long as 30,000 bytes last.
    slow.send_until_answered("x");
    assert_eq!(slow.read_response().status(), 408);
    daemon.stdout().wait("- 408 header_timeout\n", 1);
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    // Long enough for a busy machine to ask within it.
    let daemon = daemon("keep_alive_timeout = \"1s\"", NOWHERE);
    daemon.connect("web").expect_closed();
    let mut used = daemon.connect("web");
    assert_eq!(used.get("/ok").text(), "ok");
    used.expect_closed();
    // Whoever sends nothing asks for nothing: no exchange, no line.
    daemon.stdout().wait("/ok 200", 1);
    assert_eq!(daemon.stdout().text(), "/ok 200 -\n");
}

#[test]
fn content_must_not_stall() {
    let upstream = Upstream::tcp();
    let daemon = daemon("body_idle_timeout = \"100ms\"", &upstream.address);
    let mut slow = daemon.connect("web");
    slow.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst");
    let refused = slow.read_response();
    assert_eq!(refused.status(), 408);
    assert_eq!(refused.field("Connection"), Some("close"));
    slow.expect_closed();
    daemon.stdout().wait("/up 408 body_timeout\n", 1);
    // Half a request is not left lying with an upstream.
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_to_end(), b"first");
}

#[test]
fn content_nobody_reads_does_not_hold_its_connection() {
    let daemon = daemon("body_idle_timeout = \"100ms\"", NOWHERE);
    let mut slow = daemon.connect("web");
    slow.send("POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst");
    assert_eq!(slow.read_response().text(), "ok");
    slow.expect_closed();
}

#[test]
fn content_must_not_drip() {
    let upstream = Upstream::tcp();
    let daemon = daemon(
        "body = \"1GiB\", body_min_rate = \"1GiB/s\", body_rate_grace = \"100ms\"",
        &upstream.address,
    );
    let mut slow = daemon.connect("web");
    slow.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
    let mut peer = upstream.accept();
    peer.read_request_head();
    slow.send_until_answered("x");
    assert_eq!(slow.read_response().status(), 408);
    daemon.stdout().wait("/up 408 body_too_slow\n", 1);
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let daemon = daemon("write_idle_timeout = \"100ms\"", NOWHERE);
    let mut slow = daemon.connect("web");
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    daemon.stdout().wait("/large 200 write_timeout\n", 1);
    slow.expect_head("HTTP/1.1 200 OK\r\n");
    let taken = slow.read_to_end().len();
    assert!(taken < 32 << 20, "{taken} bytes is all of it");
}

#[test]
fn connections_above_their_number_are_told_to_come_again() {
    let daemon = daemon("connections = 2", NOWHERE);
    let mut held = [daemon.connect("web"), daemon.connect("web")];
    for wire in &mut held {
        assert_eq!(wire.get("/ok").text(), "ok");
    }
    for _ in 0..3 {
        let mut refused = daemon.connect("web");
        let answer = refused.read_response();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.field("Retry-After"), Some("1"));
        assert_eq!(answer.field("Connection"), Some("close"));
        refused.expect_closed();
    }
    daemon.wait_log("refused a connection why=\"too_many_connections\" most=2");
    assert_eq!(
        daemon.log().count("refused a connection"),
        1,
        "in ten seconds"
    );
    assert_eq!(held[0].get("/ok").text(), "ok", "who was here stays");
    // Room again as soon as one is gone, which the daemon may notice after the next has come.
    drop(held);
    daemon.get_until("web", "/ok", |answer| answer.status() == 200);
}

#[test]
fn more_blocking_work_than_threads_and_queue_take_is_refused() {
    let mut setup = Daemon::setup();
    for n in 0..2_000 {
        setup = setup.file(&format!("many/{n}"), "");
    }
    let daemon = setup
        .config(
            r#"
[server]
workers = 1
blocking_threads = 1
blocking_queue = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
format = "{response.status} {response.why}"

[[route]]
path = "/*"
static = { root = "many", listing = true }
"#,
        )
        .start();
    let mut wires: Vec<_> = (0..8).map(|_| daemon.connect("web")).collect();
    // While it stands still all of them arrive: it finds them in one go.
    daemon.signal(Signal::STOP);
    for wire in &mut wires {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    daemon.signal(Signal::CONT);
    let answers: Vec<_> = wires.iter_mut().map(|wire| wire.read_response()).collect();
    let (listed, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status() == 200);
    assert!(
        !listed.is_empty() && !refused.is_empty(),
        "{}",
        listed.len()
    );
    for answer in &refused {
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.field("Retry-After"), Some("1"));
    }
    daemon.stdout().wait("503 overloaded\n", refused.len());
    // A refusal costs no connection, and once there is room it is served.
    for wire in &mut wires {
        wire.get_until("/", |answer| answer.status() == 200);
    }
}
