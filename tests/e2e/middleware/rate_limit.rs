//! `rate_limit`: what passes, what is refused, and what clients are told.

use crate::e2e::metrics::{number, wait_number};
use crate::support::daemon::Daemon;

const CONFIG: &str = r#"
[server]
workers = 2
trusted_proxies = ["127.0.0.1"]
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "json"
fields = ["uri", "status", "why", "policy", "would_refuse"]

[middleware.api]
type = "rate_limit"
rate = "60/h"
burst = 50

[middleware.keys]
type = "rate_limit"
rate = "1/h"
key = ["header.X-API-Key", "route"]
missing = "share"

[middleware.watched]
type = "rate_limit"
rate = "1/h"
enforce = false

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/metrics"
metrics = {}

[[route]]
path = "/api/*"
middleware = ["api"]
respond = { text = "ok" }

[[route]]
path = "/keys/*"
middleware = ["cors", "keys", "compression"]
respond = { text = "ok" }

[[route]]
path = "/watched/*"
middleware = ["watched"]
respond = { text = "ok" }
"#;

#[test]
fn two_workers_let_one_burst_through() {
    let daemon = Daemon::start(CONFIG);
    let mut passed = 0;
    for _ in 0..40 {
        // Each on a connection of its own, so that both workers are asked.
        let mut wire = daemon.connect("web");
        passed += [(); 2]
            .map(|()| wire.get("/api/a").status() == 200)
            .map(usize::from)
            .iter()
            .sum::<usize>();
    }
    assert_eq!(passed, 50);
    let refused = "httpserverd_policy_refused_total{kind=\"rate_limit\",name=\"api\"}";
    assert_eq!(number(&daemon, refused), 30);
    // Counted behind the answer, perhaps by another worker than the one that tells.
    let failed = "httpserverd_exchanges_failed_total{why=\"rate_limited\"}";
    wait_number(&daemon, failed, 30);
    assert_eq!(
        number(&daemon, "httpserverd_rate_limit_keys{name=\"api\"}"),
        1
    );
}

#[test]
fn a_refusal_says_why_and_when_to_come_back() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    let first = wire.get("/keys/a");
    assert_eq!(first.status(), 200);
    assert_eq!(first.field("X-RateLimit-Remaining"), Some("0"));
    assert_eq!(first.field("RateLimit"), Some("\"keys\";r=0;t=3600"));
    assert_eq!(
        first.field("RateLimit-Policy"),
        Some("\"keys\";q=1;w=3600;burst=1")
    );
    let refused = wire.get("/keys/a");
    assert_eq!(refused.status(), 429);
    let after: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!((3_590..=3_600).contains(&after), "{after}");
    assert_eq!(refused.field("X-RateLimit-Limit"), Some("1"));
    let json: serde_json::Value = serde_json::from_str(&refused.text()).unwrap();
    assert_eq!(json["error"], "Too Many Requests");
    assert_eq!(json["retry_after"], after);
    assert_eq!(
        json["message"],
        format!("Rate limit exceeded. Try again in {after} seconds.")
    );
    daemon.wait_log(r#""why":"rate_limited","policy":"keys""#);
    // The connection goes on, and others have buckets of their own.
    wire.send("GET /keys/a HTTP/1.1\r\nHost: a\r\nX-API-Key: mine\r\nOrigin: http://b\r\n\r\n");
    let other = wire.read_response();
    assert_eq!(other.status(), 200);
    assert_eq!(other.field("Access-Control-Allow-Origin"), Some("*"));
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart_and_a_network_of_64_bits_is_one() {
    let daemon = Daemon::start(&CONFIG.replace("burst = 50", "burst = 1"));
    let mut wire = daemon.connect("web");
    let mut ask = |client: &str| {
        wire.send(format!(
            "GET /api/a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n"
        ));
        wire.read_response().status()
    };
    for (client, expected) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:1:2::2", 429),
        ("2001:db8:0:2::1", 200),
    ] {
        assert_eq!(ask(client), expected, "{client}");
    }
}

#[test]
fn who_only_watches_refuses_nothing_and_says_so() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    for _ in 0..3 {
        let response = wire.get("/watched/a");
        assert_eq!(response.status(), 200);
        assert_eq!(response.field("RateLimit"), None);
    }
    let watched = "httpserverd_policy_would_refuse_total{kind=\"rate_limit\",name=\"watched\"}";
    assert_eq!(number(&daemon, watched), 2);
    daemon.log().wait(r#""would_refuse":["watched"]"#, 2);
    daemon.wait_log("would have refused a request");
}

#[test]
fn a_reload_keeps_the_buckets() {
    let daemon = Daemon::start(CONFIG);
    assert_eq!(daemon.get("web", "/keys/a").status(), 200);
    daemon.write_config(&CONFIG.replace("burst = 50", "burst = 40"));
    daemon.wait_log("serving generation 2");
    assert_eq!(daemon.get("web", "/keys/a").status(), 429);
}
