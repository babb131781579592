//! `concurrency_limit`: who waits, who is refused, and that no slot is lost.

use crate::e2e::metrics::{number, wait_number};
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

fn start(upstream: &Upstream, settings: &str) -> Daemon {
    Daemon::start(&format!(
        r#"
[server]
workers = 2
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "{{request.uri}} {{response.status}} {{response.why}}"

[middleware.few]
type = "concurrency_limit"
{settings}

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["{}"]

[[route]]
path = "/metrics"
metrics = {{}}

[[route]]
path = "/few/*"
middleware = ["cors", "few", "request_id"]
proxy = {{ upstream = "backend" }}
"#,
        upstream.address
    ))
}

const GET: &str = "GET /few/a HTTP/1.1\r\nHost: a\r\n\r\n";
const IN_FLIGHT: &str = "httpserverd_concurrency_in_flight{name=\"few\"}";

#[test]
fn who_waits_comes_in_when_another_ends_and_the_rest_is_refused() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream, "max = 1\nqueue = 1\nqueue_timeout = \"20s\"");
    let mut first = daemon.connect("web");
    first.send(GET);
    let mut peer = upstream.accept();
    peer.read_request_head();
    let mut second = daemon.connect("web");
    second.send(GET);
    // Who is queued has been counted; only then the third is one too many.
    let queued = "httpserverd_concurrency_queued_total{name=\"few\"}";
    wait_number(&daemon, queued, 1);
    let mut third = daemon.connect("web");
    third.send(GET);
    let refused = third.read_response();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("Retry-After"), Some("1"));
    daemon.wait_log("/few/a 503 queue_full");
    assert_eq!(number(&daemon, IN_FLIGHT), 1);
    peer.respond("200 OK", "first");
    assert_eq!(first.read_response().text(), "first");
    // The worker of the second one may have a connection of its own to the upstream.
    drop(peer);
    let mut peer = upstream.accept();
    peer.read_request_head();
    peer.respond("200 OK", "second");
    assert_eq!(second.read_response().text(), "second");
    wait_number(&daemon, IN_FLIGHT, 0);
}

#[test]
fn who_waits_too_long_is_refused_and_who_hangs_up_gives_its_place_back() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream, "max = 1\nqueue = 1\nqueue_timeout = \"100ms\"");
    let mut first = daemon.connect("web");
    first.send(GET);
    let mut peer = upstream.accept();
    peer.read_request_head();
    let mut second = daemon.connect("web");
    second.send(GET);
    assert_eq!(second.read_response().status(), 503);
    daemon.wait_log("/few/a 503 queue_timeout");
    // The one in flight hangs up: its slot is free, whatever the upstream does.
    first.reset();
    daemon.wait_log("/few/a 499 client_abort");
    wait_number(&daemon, IN_FLIGHT, 0);
    let served = upstream.serve(1, |_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    second.send(GET);
    assert_eq!(second.read_response().status(), 204);
    drop(peer);
    drop(daemon);
    assert_eq!(served.join().unwrap().len(), 1);
}

#[test]
fn a_limit_that_is_found_is_shown_and_kept_by_a_reload() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream, "adaptive = { min = 7, max = 9 }");
    let limit = "httpserverd_concurrency_limit{name=\"few\"}";
    assert_eq!(number(&daemon, limit), 7);
    let text = std::fs::read_to_string(daemon.folder().join("httpserver.toml")).unwrap();
    daemon.write_config(&text.replace("min = 7", "min = 8"));
    daemon.wait_log("serving generation 2");
    assert_eq!(number(&daemon, limit), 8);
}
