//! `maintenance`: a file switches it on and off, and so does a command.

use std::fs;
use std::process::Command;

use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::{deadline, left};

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.maintenance]
type = "maintenance"
file = "switch"
retry_after = "90s"
allow_paths = ["/health"]

[[route]]
path = "/*"
middleware = "maintenance"
respond = { text = "open" }

[[route]]
path = "/chain/*"
middleware = ["cors", "maintenance", "headers"]
respond = { text = "open" }

[[route]]
path = "/metrics"
metrics = {}
"#;

/// Asks until the answer has this status.
#[track_caller]
fn until(daemon: &Daemon, target: &str, status: u16) -> Response {
    let deadline = deadline();
    loop {
        let response = daemon.get("web", target);
        if response.status() == status {
            return response;
        }
        assert!(left(deadline).is_some(), "{}", response.head.text);
    }
}

#[test]
fn a_file_switches_it_on_and_off() {
    let daemon = Daemon::start(CONFIG);
    assert_eq!(daemon.get("web", "/").text(), "open");
    let switch = daemon.folder().join("switch");
    fs::write(&switch, "").unwrap();
    let closed = until(&daemon, "/", 503);
    assert_eq!(closed.field("Retry-After"), Some("90"));
    assert_eq!(closed.field("Cache-Control"), Some("no-store"));
    assert_eq!(closed.text(), r#"{"error":"Service Unavailable"}"#);
    daemon.wait_log("maintenance is on");
    let chained = daemon.get("web", "/chain/x");
    assert_eq!(chained.status(), 503);
    assert_eq!(chained.field("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(daemon.get("web", "/health").status(), 200);
    let numbers = daemon.get("web", "/metrics").text();
    let count = "httpserverd_maintenance_refused_total{name=\"maintenance\"} 2\n";
    assert!(numbers.contains(count), "{numbers}");
    fs::remove_file(&switch).unwrap();
    assert_eq!(until(&daemon, "/", 200).text(), "open");
}

#[test]
fn it_is_on_from_the_start_where_the_file_is_there() {
    let daemon = Daemon::setup().config(CONFIG).file("switch", "").start();
    assert_eq!(daemon.get("web", "/").status(), 503);
}

/// Runs `httpserverd maintenance …`; its exit code and what it said.
#[track_caller]
fn turn(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_httpserverd"))
        .arg("maintenance")
        .args(arguments)
        .args(["--socket", "control"])
        .current_dir(daemon.folder())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_command_turns_it_on_and_off_across_reloads() {
    let config = format!("[server]\ncontrol_socket = \"control\"\n{CONFIG}");
    let daemon = Daemon::start(&config);
    let on = turn(&daemon, &["on", "maintenance"]);
    assert_eq!(
        on,
        (Some(0), "maintenance `maintenance` is on\n".to_owned())
    );
    assert_eq!(daemon.get("web", "/").status(), 503);
    daemon.wait_log("maintenance is on");
    daemon.write_config(&config.replace("90s", "91s"));
    daemon.wait_log("serving generation 2");
    let closed = daemon.get("web", "/");
    assert_eq!(
        (closed.status(), closed.field("Retry-After")),
        (503, Some("91"))
    );
    assert_eq!(turn(&daemon, &["off"]).0, Some(0));
    assert_eq!(daemon.get("web", "/").status(), 200);

    fs::write(daemon.folder().join("switch"), "").unwrap();
    until(&daemon, "/", 503);
    let (code, said) = turn(&daemon, &["off"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("stays on") && said.contains("switch is there"),
        "{said}"
    );
    let (code, said) = turn(&daemon, &["on", "other"]);
    assert_eq!(
        (code, said.contains("no maintenance `other`")),
        (Some(2), true)
    );
    assert_eq!(turn(&daemon, &["sideways"]).0, Some(2));
}
