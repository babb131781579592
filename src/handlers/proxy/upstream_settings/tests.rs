//! Settings of upstreams, read and built.

use super::*;
use crate::build::CarryOver;
use crate::handlers::address::ADDRESSES_MAX;
use crate::handlers::proxy::health::Verdicts;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext::default();
    let settings = parse(&section, &mut cx);
    let found: Vec<&str> = cx.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(found, expected, "{text}");
    assert_eq!(settings.is_none(), !expected.is_empty(), "{text}");
}

#[test]
fn settings_are_read_and_every_mistake_is_told() {
    check(UPSTREAM.example, &[]);
    check("servers = [\"127.0.0.1:9000\"]", &[]);
    check("servers = []", &["an upstream needs a server"]);
    check("", &["this table needs `servers`"]);
    check(
        "servers = [\"a:1\", { address = \"a:1\", weight = 2 }, \
         { address = \"b:1\", weight = 0 }]\n\
         connect_timeout = \"0s\"\n\
         health_check = { path = \"up\", healthy_after = 0 }",
        &[
            "the server a:1 stands twice",
            "a weight is a number from 1 to 1000",
            "no time at all",
            "\"up\" is not a path that starts with \"/\"",
            "must be 1 or more",
        ],
    );
    check(
        "servers = [\"ftp://a\", \"b\"]\nbalance = \"least_conn\"",
        &[
            "`balance` cannot be \"least_conn\"",
            "`servers`: `ftp://a` is not a host and a port",
            "`servers`: `b` has no port",
        ],
    );
    check(
        "servers = [{ address = \"a:1\", backup = true, max_connections = 0 }]\n\
         hash = { key = \"x\" }\nqueue = {}\nkeep_alive = { min_idle = 129 }\n\
         health_check = {}\nfailure_statuses = [99]",
        &["`failure_statuses`: `99` is no final status, nor a range"],
    );
    check(
        "servers = [{ address = \"a:1\", backup = true, max_connections = 0 }]\n\
         hash = {}\nkeep_alive = { min_idle = 129 }\nhealth_check = {}\n\
         circuit_breaker = { trial_requests = 0 }\n\
         outlier_detection = { ejection_time = \"10m\" }",
        &[
            "every server is a backup, and of none",
            "must be 1 or more",
            "`hash` says how to hash, but nothing does",
            "at most 128 connections are kept, and 129 are wanted",
            "a check of nothing",
            "the longest time out is shorter than the first",
            "must be 1 or more",
        ],
    );
    check(
        "servers = [\"a:1\"]\nbalance = \"hash\"\nhash = { key = \"x\" }\nqueue = {}\n\
         health_check = { tcp = true, path = \"/\" }",
        &[
            "every request has this key",
            "nothing ever waits in this queue",
            "either `path` or `tcp` is checked",
        ],
    );
    check(
        "servers = [\"a:1\"]\nhealth_check = { path = \"/\", port = 0, body = \"\", \
         headers = { \"A b\" = \"c\", C = \"d\\ne\", Host = \"own\" } }",
        &[
            "`A b` cannot be sent as a field",
            "`C` cannot be sent as a field",
            "a text of 1 to 256 bytes is looked for",
            "`0` is no port",
        ],
    );
}

fn build(text: &str, kept: &mut CarryOver) -> (Arc<Upstream>, usize) {
    let section = Section::from_text(text).unwrap();
    let settings = parse(&section, &mut ParseContext::default()).unwrap();
    let mut cx = BuildContext::new(kept, "/".into());
    cx.name = Arc::from("backend");
    let upstream = settings.build(&mut cx).unwrap();
    (upstream, cx.probes.len())
}

/// Whether each endpoint is in service.
fn in_service(upstream: &Upstream) -> Vec<bool> {
    let report = upstream.report();
    report.iter().map(|endpoint| endpoint.in_service).collect()
}

#[test]
fn health_is_kept_by_address_and_believed_only_while_checked() {
    let checked = "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nhealth_check.path = \"/\"";
    let mut kept = CarryOver::default();
    let (first, probes) = build(checked, &mut kept);
    assert_eq!((first.name(), probes), ("backend", 2));
    assert!(first.has_healthy_endpoint());
    for endpoint in &*first.roster.endpoints() {
        let standing = &endpoint.state.standing;
        standing.set(Verdicts::UNHEALTHY, "status 503".to_owned());
    }
    assert!(!first.has_healthy_endpoint());
    assert_eq!(first.report()[0].changes[0].cause, "status 503");

    let moved = "servers = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\nhealth_check.path = \"/x\"";
    let (second, _) = build(moved, &mut kept);
    assert_eq!(in_service(&second), [false, true]);
    assert_ne!(first.serial, second.serial);

    let (third, probes) = build("servers = [\"127.0.0.1:2\"]", &mut kept);
    assert_eq!(probes, 0);
    assert!(third.has_healthy_endpoint());
}

#[test]
fn an_endpoint_is_drained_by_hand_or_by_the_file() {
    let text = "servers = [\"127.0.0.1:1\", { address = \"127.0.0.1:2\", drain = true }]";
    let mut kept = CarryOver::default();
    let (upstream, _) = build(text, &mut kept);
    assert_eq!(in_service(&upstream), [true, false]);
    assert!(upstream.drain("127.0.0.1:1", true, "said so"));
    assert!(!upstream.drain("127.0.0.1:9", true, "said so"));
    assert!(!upstream.has_healthy_endpoint());
    // A reload takes nothing back that an operator has said.
    let (reloaded, _) = build(text, &mut kept);
    assert_eq!(in_service(&reloaded), [false, false]);
    assert!(reloaded.drain("127.0.0.1:1", false, "took it back"));
    assert_eq!(in_service(&upstream), [true, false]);
}

#[test]
fn a_name_that_does_not_resolve_is_down_and_stops_nothing() {
    // RFC 6761 §6.4: .invalid never resolves.
    let text = "servers = [\"nobody.invalid:80\"]\nhealth_check.path = \"/\"";
    let (upstream, probes) = build(text, &mut CarryOver::default());
    assert!(!upstream.has_healthy_endpoint());
    // One looks it up, the others check the addresses it may have.
    assert_eq!(probes, 1 + ADDRESSES_MAX);
}
