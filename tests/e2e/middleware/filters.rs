//! `ip_filter`, `user_agent_filter`, `referrer_filter`: who may come.

use crate::support::daemon::Daemon;
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
trusted_proxies = ["127.0.0.1"]

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.office]
type = "ip_filter"
allow = ["10.0.0.0/8"]
deny_files = ["blocked.txt"]

[middleware.robots]
type = "user_agent_filter"
deny = ["^curl/", "bot"]
empty = "deny"

[middleware.images]
type = "referrer_filter"
allow = ["*.example.com"]
status = 404

[middleware.watch]
type = "ip_filter"
deny = ["0.0.0.0/0"]
enforce = false

[[route]]
path = "/office/*"
middleware = "office"
respond = { text = "in" }

[[route]]
path = "/robots/*"
middleware = "robots"
respond = { text = "in" }

[[route]]
path = "/images/*"
middleware = "images"
respond = { text = "in" }

[[route]]
path = "/chain/*"
middleware = ["cors", "watch", "office", "robots", "images"]
respond = { text = "in" }

[[route]]
path = "/metrics"
metrics = {}
"#;

fn start() -> Daemon {
    Daemon::setup()
        .config(CONFIG)
        .file("blocked.txt", "# nobody yet\n")
        .start()
}

#[track_caller]
fn status(wire: &mut Wire, target: &str, fields: &str) -> u16 {
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: own\r\n{fields}\r\n"
    ));
    wire.read_response().status()
}

/// A request that a trusted proxy forwards for this client.
fn from(client: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n")
}

#[test]
fn each_alone() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    assert_eq!(status(&mut wire, "/office/", &from("10.1.1.1")), 200);
    assert_eq!(status(&mut wire, "/office/", &from("192.0.2.1")), 403);
    assert_eq!(status(&mut wire, "/office/", ""), 403);
    assert_eq!(
        status(&mut wire, "/robots/", "User-Agent: Mozilla\r\n"),
        200
    );
    assert_eq!(status(&mut wire, "/robots/", "User-Agent: Robot\r\n"), 403);
    assert_eq!(status(&mut wire, "/robots/", ""), 403);
    assert_eq!(
        status(&mut wire, "/images/", "Referer: http://own/\r\n"),
        200
    );
    assert_eq!(
        status(&mut wire, "/images/", "Referer: http://a.example.com/x\r\n"),
        200
    );
    assert_eq!(
        status(&mut wire, "/images/", "Referer: http://other/\r\n"),
        404
    );
}

#[test]
fn in_a_chain_the_first_that_refuses_is_counted_by_its_name() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let good = format!("{}User-Agent: a\r\n", from("10.0.0.1"));
    assert_eq!(status(&mut wire, "/chain/", &good), 200);
    let robot = format!("{}User-Agent: bot\r\nReferer: x\r\n", from("10.0.0.1"));
    assert_eq!(status(&mut wire, "/chain/", &robot), 403);
    assert_eq!(status(&mut wire, "/chain/", &from("192.0.2.1")), 403);
    let numbers = wire.get("/metrics").text();
    for (kind, name, count) in [
        ("ip_filter", "office", 1),
        ("user_agent_filter", "robots", 1),
        ("referrer_filter", "images", 0),
    ] {
        let line = format!(
            "httpserverd_policy_refused_total{{kind=\"{kind}\",name=\"{name}\"}} {count}\n"
        );
        assert!(numbers.contains(&line), "{line}{numbers}");
    }
    let watched = "would_refuse_total{kind=\"ip_filter\",name=\"watch\"} 3\n";
    assert!(numbers.contains(watched), "{numbers}");
}

#[test]
fn lists_are_read_again_when_they_change() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    assert_eq!(status(&mut wire, "/office/", &from("10.0.0.1")), 200);
    daemon.write_file("blocked.txt", "10.0.0.1 # one\n");
    daemon.wait_log("serving generation 2");
    daemon.wait_log("read ");
    assert_eq!(status(&mut wire, "/office/", &from("10.0.0.1")), 403);
    assert_eq!(status(&mut wire, "/office/", &from("10.0.0.2")), 200);
    // A list that is none changes nothing, and is heard of again when it is mended.
    daemon.write_file("blocked.txt", "10.0.0.1\nsomeone\n");
    daemon.wait_log("blocked.txt, line 2: `someone` is neither an address nor a network");
    assert_eq!(status(&mut wire, "/office/", &from("10.0.0.1")), 403);
    daemon.write_file("blocked.txt", "");
    daemon.wait_log("serving generation 3");
    assert_eq!(status(&mut wire, "/office/", &from("10.0.0.1")), 200);
}
