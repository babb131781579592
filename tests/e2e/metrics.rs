//! What a scraper reads of a running daemon.

use crate::support::daemon::Daemon;
use crate::support::{deadline, left};

const CONFIG: &str = r#"
[server]
workers = 2
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[[route]]
name = "hello"
path = "/hello"
respond = { text = "hello" }
[[route]]
name = "numbers"
path = "/metrics"
metrics = {}
"#;

/// The number on the line that starts with this; the sum of all such lines.
#[track_caller]
pub(super) fn number(daemon: &Daemon, series: &str) -> u64 {
    let text = daemon.get("web", "/metrics").text();
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(series))
        .map(|rest| rest.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(!numbers.is_empty(), "no `{series}` in\n{text}");
    numbers.iter().sum()
}

/// Waits until the numbers of these lines add up to so much.
#[track_caller]
pub(super) fn wait_number(daemon: &Daemon, series: &str, wanted: u64) {
    let deadline = deadline();
    loop {
        let found = number(daemon, series);
        if found == wanted {
            return;
        }
        assert!(
            left(deadline).is_some(),
            "waited in vain for `{series}` to be {wanted}: it is {found}"
        );
    }
}

#[test]
fn routes_reasons_workers_and_reloads_are_counted() {
    let daemon = Daemon::start(CONFIG);
    for _ in 0..3 {
        assert_eq!(daemon.get("web", "/hello").status(), 200);
    }
    assert_eq!(daemon.get("web", "/nowhere").status(), 404);
    let mut wire = daemon.connect("web");
    wire.send("GET /hello HTTP/1.1\r\nHost: a\r\nbad header: x\r\n\r\n");
    assert_eq!(wire.read_response().status(), 400);
    // Counted before its connection ends; another worker may tell the numbers.
    wire.expect_closed();
    let hello = "httpserverd_route_responses_total{route=\"hello\",class=\"2xx\"}";
    let took = "httpserverd_route_duration_seconds_count{route=\"hello\"}";
    assert_eq!(number(&daemon, hello), 3);
    assert_eq!(number(&daemon, took), 3);
    let failed = |why: &str| format!("httpserverd_exchanges_failed_total{{why=\"{why}\"}}");
    assert_eq!(number(&daemon, &failed("route_none")), 1);
    assert_eq!(number(&daemon, &failed("bad_head")), 1);
    assert_eq!(number(&daemon, "httpserverd_requests_refused_total{"), 1);
    // Five before and this one, and those that asked for numbers.
    assert_eq!(
        number(&daemon, "httpserverd_connections_accepted_total{"),
        11
    );
    assert_eq!(number(&daemon, "httpserverd_panics_total{"), 0);
    assert_eq!(number(&daemon, "httpserverd_generation"), 1);
    assert!(number(&daemon, "process_open_fds") > 5);

    daemon.write_config(&CONFIG.replace("\"hello\" }", "\"hallo\" }"));
    daemon.wait_log("serving generation 2");
    assert_eq!(number(&daemon, "httpserverd_generation"), 2);
    assert_eq!(daemon.get("web", "/hello").text(), "hallo");
    assert_eq!(number(&daemon, hello), 4);
    let published = "httpserverd_reloads_total{result=\"published\"}";
    assert_eq!(number(&daemon, published), 1);
    let refused = "httpserverd_reloads_total{result=\"refused\"}";
    assert_eq!(number(&daemon, refused), 0);
}

#[test]
fn open_metrics_is_given_to_whom_asks_for_it() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    wire.send(
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\
         Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n",
    );
    let response = wire.read_response();
    assert_eq!(
        response.field("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(response.text().ends_with("# EOF\n"), "{}", response.text());
}
