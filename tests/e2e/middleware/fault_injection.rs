//! `fault_injection`: errors and delays where they were asked for.

use crate::support::daemon::Daemon;
use crate::support::{deadline, left};

const CONFIG: &str = r#"
[server]
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "{request.uri} {response.status} {response.why}"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.abort]
type = "fault_injection"
abort = 502
header = "X-Fault"

[middleware.half]
type = "fault_injection"
abort = 500
abort_share = "50%"
seed = 7

[middleware.hang]
type = "fault_injection"
delay = "10m"

[middleware.slow]
type = "fault_injection"
delay = "20ms"

[[route]]
path = "/abort"
middleware = "abort"
respond = { text = "well" }

[[route]]
path = "/half"
middleware = "half"
respond = { text = "well" }

[[route]]
path = "/hang"
middleware = "hang"
respond = { text = "well" }

[[route]]
path = "/chain"
middleware = ["cors", "slow", "abort", "headers"]
respond = { text = "well" }

[[route]]
path = "/metrics"
metrics = {}
"#;

#[test]
fn aborts_are_for_who_asks_and_counted() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    for (target, fields, status) in [
        ("/abort", "", 200),
        ("/abort", "X-Fault: 1\r\n", 502),
        ("/chain", "", 200),
        ("/chain", "X-Fault: 1\r\n", 502),
    ] {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let response = wire.read_response();
        assert_eq!(response.status(), status, "{target} {fields}");
        let allowed = response.field("Access-Control-Allow-Origin");
        assert_eq!(allowed.is_some(), target == "/chain");
    }
    let numbers = wire.get("/metrics").text();
    for (fault, name) in [("abort", "abort"), ("delay", "slow")] {
        assert_eq!(injected(&numbers, fault, name), 2, "{numbers}");
    }
}

/// How many faults of a kind a middleware has injected, as the metrics tell.
#[track_caller]
fn injected(numbers: &str, fault: &str, name: &str) -> u64 {
    let line = numbers.lines().find(|line| {
        line.starts_with("httpserverd_fault_injection_total{")
            && line.contains(&format!("fault=\"{fault}\""))
            && line.contains(&format!("name=\"{name}\""))
    });
    let count = line.and_then(|line| line.rsplit(' ').next());
    count
        .unwrap_or_else(|| panic!("{numbers}"))
        .parse()
        .unwrap()
}

#[test]
fn the_same_seed_gives_the_same_faults_after_a_restart() {
    let run = || {
        let daemon = Daemon::start(CONFIG);
        let mut wire = daemon.connect("web");
        let statuses = (0..40).map(|_| wire.get("/half").status());
        statuses.collect::<Vec<_>>()
    };
    let first = run();
    assert!(first.contains(&200) && first.contains(&500), "{first:?}");
    assert_eq!(first, run());
}

#[test]
fn a_client_that_leaves_while_it_is_delayed_is_let_go() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    wire.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    let deadline = deadline();
    while injected(&daemon.get("web", "/metrics").text(), "delay", "hang") == 0 {
        assert!(left(deadline).is_some(), "it was never delayed");
    }
    wire.reset();
    daemon.wait_log("/hang 499 client_abort");
}
