//! `rate_limit` with a store: many daemons, one limit; and what becomes of it when the store
//! is away, wrong or slow. Against a real server.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::process::Signal;

use crate::e2e::metrics::number;
use crate::support::daemon::Daemon;
use crate::support::redis::Redis;

/// What a busy machine needs.
const PATIENT: &str = "10s";

/// A daemon with two workers, and a policy for each way to go on without the store.
fn config(store: &str, timeout: &str) -> String {
    let policies = ["allow", "deny", "local"].map(|on_error| {
        format!(
            r#"
[middleware.{on_error}]
type = "rate_limit"
rate = "50/h"
store = "{store}"
store_timeout = "{timeout}"
on_error = "{on_error}"

[[route]]
path = "/{on_error}"
middleware = ["{on_error}"]
respond = {{ text = "ok" }}
"#
        )
    });
    COMMON.to_owned() + &policies.concat()
}

const COMMON: &str = r#"
[server]
workers = 2
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "json"
fields = ["uri", "status", "why", "policy"]

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/metrics"
metrics = {}
"#;

fn failures(daemon: &Daemon, name: &str) -> u64 {
    let of = |why| {
        format!("httpserverd_rate_limit_store_failures_total{{name=\"{name}\",why=\"{why}\"}}")
    };
    ["unreachable", "timeout", "refused"]
        .map(|why| number(daemon, &of(why)))
        .iter()
        .sum()
}

#[test]
fn two_daemons_share_one_limit() {
    let Some(redis) = Redis::start(&["--requirepass", "s3"]) else {
        return;
    };
    let config = config(&format!("{}?db=3&pass=s3", redis.url()), PATIENT);
    let daemons = [Daemon::start(&config), Daemon::start(&config)];
    let mut passed = 0;
    for turn in 0..80 {
        // Each on a connection of its own, so that all four workers are asked.
        let daemon = &daemons[turn % 2];
        let response = daemon.get("web", "/deny");
        if response.status() == 200 {
            passed += 1;
            let left = response.field("X-RateLimit-Remaining").unwrap();
            assert_eq!(left, (50 - passed).to_string());
            continue;
        }
        assert_eq!((response.status(), passed), (429, 50));
        let after: u64 = response.field("Retry-After").unwrap().parse().unwrap();
        assert!((1..=72).contains(&after), "{after}");
        daemon.wait_log(r#""why":"rate_limited","policy":"deny""#);
    }
    assert_eq!(passed, 50);
    for daemon in &daemons {
        assert_eq!(failures(daemon, "deny"), 0);
        assert!(!daemon.log().text().contains("s3"));
    }
}

#[test]
fn a_script_that_the_server_forgot_is_sent_again() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let daemon = Daemon::start(&config(&redis.url(), PATIENT));
    for left in ["49", "48", "47"] {
        let response = daemon.get("web", "/deny");
        assert_eq!(response.field("X-RateLimit-Remaining"), Some(left));
        assert_eq!(redis.ask("SCRIPT FLUSH"), "+OK");
    }
    // One bucket, which is gone when it is full.
    assert_eq!(redis.ask("DBSIZE"), ":1");
    assert_eq!(failures(&daemon, "deny"), 0);
}

#[test]
fn a_store_that_was_killed_is_found_again_when_it_is_back() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let daemon = Daemon::start(&config(&redis.url(), PATIENT));
    for path in ["/allow", "/deny", "/local"] {
        let response = daemon.get("web", path);
        assert_eq!(response.field("X-RateLimit-Remaining"), Some("49"));
    }
    redis.kill();
    for _ in 0..60 {
        let response = daemon.get("web", "/allow");
        assert_eq!(response.status(), 200);
        assert_eq!(response.field("RateLimit"), None);
    }
    assert_eq!(failures(&daemon, "allow"), 60);
    let denied = daemon.get("web", "/deny");
    assert_eq!(denied.status(), 503);
    assert_eq!(denied.field("Retry-After"), Some("1"));
    daemon.wait_log(r#""why":"limiter_unavailable","policy":"deny""#);
    daemon.wait_log("the store of rate limits fails");
    // This process lets its own burst pass, and no more.
    let passed = (0..60).filter(|_| daemon.get("web", "/local").status() == 200);
    assert_eq!(passed.count(), 50);
    redis.restart();
    for path in ["/allow", "/deny", "/local"] {
        daemon.get_until("web", path, |response| {
            response.field("X-RateLimit-Remaining") == Some("40")
        });
    }
    daemon.wait_log("the store of rate limits answers again");
}

#[test]
fn a_store_that_stands_still_is_not_waited_for() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let daemon = Daemon::start(&config(&redis.url(), "50ms"));
    daemon.get_until("web", "/deny", |response| response.status() == 200);
    redis.signal(Signal::STOP);
    let timeouts = "httpserverd_rate_limit_store_failures_total{name=\"deny\",why=\"timeout\"}";
    let unreachable =
        "httpserverd_rate_limit_store_failures_total{name=\"deny\",why=\"unreachable\"}";
    daemon.get_until("web", "/deny", |response| {
        assert_eq!(response.status(), 503);
        // At last the connection is given up, and nobody waits any more.
        number(&daemon, timeouts) > 0 && number(&daemon, unreachable) > 0
    });
    redis.signal(Signal::CONT);
    daemon.get_until("web", "/deny", |response| response.status() == 200);
}

#[test]
fn whom_the_store_does_not_know_it_does_not_serve() {
    let Some(redis) = Redis::start(&["--requirepass", "s3"]) else {
        return;
    };
    let daemon = Daemon::start(&config(&format!("{}?pass=wr0ng", redis.url()), PATIENT));
    for (path, status) in [("/allow", 200), ("/deny", 503), ("/local", 200)] {
        assert_eq!(daemon.get("web", path).status(), status, "{path}");
    }
    daemon.wait_log("the store of rate limits fails");
    assert!(!daemon.log().text().contains("wr0ng"));
}

#[test]
fn a_name_is_looked_up_and_a_server_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let daemon = Daemon::start(&config(&format!("redis://localhost:{port}"), "50ms"));
    assert_eq!(daemon.get("web", "/deny").status(), 503);
    assert_eq!(daemon.get("web", "/allow").status(), 200);
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    // The same address, now with a server behind it.
    let socket = redis.socket();
    on_thread(move || {
        for client in silent.incoming() {
            let server = UnixStream::connect(&socket).unwrap();
            pass_on(client.unwrap(), server);
        }
    });
    daemon.get_until("web", "/deny", |response| {
        response.field("X-RateLimit-Remaining").is_some()
    });
}

/// Carries bytes both ways until both ends are closed.
fn pass_on(client: std::net::TcpStream, server: UnixStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    on_thread(move || io::copy(&mut from, &mut to));
    let (mut from, mut to) = (server, client);
    on_thread(move || io::copy(&mut from, &mut to));
}

fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) {
    thread::Builder::new().spawn(work).unwrap();
}

#[test]
fn what_would_tell_who_we_are_is_not_printed() {
    let setup = Daemon::setup().config(&config("redis://me:s3@127.0.0.1:1", PATIENT));
    let setup = setup.arg("check").arg("--effective").arg("httpserver.toml");
    let printed = setup.run();
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.contains("store = \"(secret)\""));
    assert!(!printed.stdout.contains("s3"), "{}", printed.stdout);
}
