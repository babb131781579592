//! Health, as orchestrators and operators ask for it.

use std::fs;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::Upstream;

/// Every kind of check, looked at often; what stands in braces is filled in.
const CONFIG: &str = r#"
[server]
workers = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["127.0.0.1:1"]

[[route]]
path = "/live"
health = { kind = "liveness" }

[[route]]
path = "/ready"
[route.health]
kind = "readiness"
checks.flag = { file = "flag", interval = "100ms" }

[[route]]
path = "/full"
[route.health]
kind = "full"
system = true
[route.health.checks]
database = { tcp = "TCP", interval = "100ms", timeout = "5s" }
search = { http = "http://HTTP/status?all", interval = "100ms", timeout = "5s" }
uploads = { file = "uploads", writable = true, interval = "100ms" }
space = { disk = ".", min_free = "1B", interval = "100ms" }
room = { disk = ".", min_free = "100%", interval = "100ms" }
backend = { upstream = "backend" }

[[route]]
path = "/brief"
health = { kind = "full", details = false }
"#;

fn json(response: &Response) -> Value {
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    serde_json::from_slice(&response.body).unwrap()
}

/// Asks until the answer is this one.
#[track_caller]
fn wait_body(daemon: &Daemon, target: &str, status: u16, body: &str) {
    let mut wire = daemon.connect("web");
    let response = wire.get_until(target, |response| response.text() == body);
    assert_eq!(response.status(), status);
    json(&response);
}

#[test]
fn every_kind_of_check_is_told_in_full() {
    let (database, search) = (Upstream::tcp(), Upstream::tcp());
    let (tcp, http) = (&database.address, &search.address);
    let config = CONFIG.replace("TCP", tcp).replace("HTTP", http);
    let daemon = Daemon::setup()
        .config(&config)
        .file("uploads/x", "")
        .start();
    let mut probe = search.accept();
    let asked = probe.read_request_head();
    assert!(asked.starts_with("GET /status?all HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nHost: {http}\r\n")), "{asked}");
    // Requests are answered while a check waits for its answer.
    let mut wire = daemon.connect("web");
    assert_eq!(wire.get("/live").text(), r#"{"status":"alive"}"#);
    let early = json(&wire.get("/full"));
    assert_eq!(early["checks"]["search"]["message"], "not checked yet");
    probe.respond("204 No Content", "");

    let full = wire.get_until("/full", |full| {
        json(full)["checks"]["search"]["status"] == "healthy"
    });
    assert_eq!(full.status(), 503, "one of them fails");
    let full = json(&full);
    assert_eq!(full["status"], "unhealthy");
    assert!(full["uptime_seconds"].is_u64(), "{full}");
    assert_eq!(full["system"]["version"], env!("CARGO_PKG_VERSION"));
    let checks = &full["checks"];
    for (name, status, message) in [
        ("database", "healthy", format!("{tcp} accepts connections")),
        (
            "search",
            "healthy",
            format!("http://{http}/status?all answers 204"),
        ),
        (
            "backend",
            "healthy",
            "upstream backend has a healthy server".to_owned(),
        ),
    ] {
        assert_eq!(checks[name]["status"], status, "{checks}");
        assert_eq!(checks[name]["message"], message, "{checks}");
    }
    assert_eq!(checks["uploads"]["status"], "healthy", "{checks}");
    assert_eq!(checks["space"]["status"], "healthy", "{checks}");
    assert_eq!(checks["room"]["status"], "unhealthy", "{checks}");
    assert!(checks["space"]["age_seconds"].is_u64(), "{checks}");
    daemon.wait_log("check fails check=\"room\"");
}

#[test]
fn a_full_answer_can_be_brief() {
    let daemon = Daemon::start(&CONFIG.replace("TCP", "127.0.0.1:1").replace("HTTP", "a"));
    let brief = daemon.get("web", "/brief");
    assert_eq!(brief.status(), 200);
    let brief = json(&brief);
    assert_eq!(brief["status"], "healthy");
    assert_eq!(brief.as_object().unwrap().len(), 2, "{brief}");
}

#[test]
fn readiness_follows_its_checks() {
    let daemon = Daemon::start(&CONFIG.replace("TCP", "127.0.0.1:1").replace("HTTP", "a"));
    let flag = daemon.folder().join("flag");
    let missing = concat!(
        r#"{"status":"not ready","reason":"#,
        r#""Check 'flag' failed: flag: No such file or directory (os error 2)"}"#
    );
    wait_body(&daemon, "/ready", 503, missing);
    fs::write(&flag, "").unwrap();
    wait_body(&daemon, "/ready", 200, r#"{"status":"ready"}"#);
    fs::remove_file(&flag).unwrap();
    wait_body(&daemon, "/ready", 503, missing);
    // A change is told once, not at every look.
    daemon.log().wait("check fails check=\"flag\"", 2);
    assert_eq!(daemon.log().count("check=\"flag\""), 3);
    // What only this process needs says nothing about whether it lives.
    assert_eq!(daemon.get("web", "/live").status(), 200);
}

#[test]
fn only_get_and_head_ask_for_health() {
    let daemon = Daemon::start(&CONFIG.replace("TCP", "127.0.0.1:1").replace("HTTP", "a"));
    let mut wire = daemon.connect("web");
    wire.send("HEAD /live HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = wire.read_head();
    assert_eq!(
        (head.status, head.field("Content-Length")),
        (200, Some("18"))
    );
    wire.send("POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let refused = wire.read_response();
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.field("Allow"), Some("GET, HEAD"));
}
