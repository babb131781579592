//! Traces: begun here or kept, told to the upstream, found in the log.

use serde_json::Value;

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

const INBOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn config(address: &str, more: &str) -> String {
    format!(
        r#"
[server]
middleware = ["trace_context", "access_log"]
{more}
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[upstream.backend]
servers = ["{address}"]
[[route]]
path = "/*"
proxy = {{ upstream = "backend" }}
"#
    )
}

/// What the upstream is told for a request that brings a trace along, and the line of the log.
fn run(more: &str) -> (String, Value) {
    let upstream = Upstream::tcp();
    let daemon = Daemon::start(&config(&upstream.address, more));
    let served = upstream.serve(1, |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let mut wire = daemon.connect("web");
    wire.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {INBOUND}\r\ntracestate: a=b\r\n\
         Connection: close\r\n\r\n"
    ));
    assert_eq!(wire.read_response().head.status, 200);
    let line = lines(&daemon, 1).remove(0);
    drop(daemon);
    let requests = served.join().unwrap();
    (requests[0].head.clone(), line)
}

#[test]
fn a_stranger_s_trace_is_replaced() {
    let (head, line) = run("");
    let id = line["trace_id"].as_str().unwrap();
    let span = line["span_id"].as_str().unwrap();
    assert!(
        head.contains(&format!("traceparent: 00-{id}-{span}-03\r\n")),
        "{head}"
    );
    assert!(!head.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{head}");
    assert!(!head.contains("tracestate"), "{head}");
}

#[test]
fn a_trusted_proxy_s_trace_goes_on() {
    let (head, line) = run("trusted_proxies = [\"127.0.0.0/8\"]");
    assert!(
        head.contains(&format!("traceparent: {INBOUND}\r\n")),
        "{head}"
    );
    assert!(head.contains("tracestate: a=b\r\n"), "{head}");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["parent_id"], "00f067aa0ba902b7");
}
