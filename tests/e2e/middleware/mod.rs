//! Each kind of middleware on the wire, alone and in a chain.

mod access_log;
mod access_log_forms;
mod api_key;
mod bandwidth_limit;
mod basic_auth;
mod cache;
mod compression;
mod concurrency_limit;
mod cors;
mod error_pages;
mod fault_injection;
mod filters;
mod forward_auth;
mod hang_up;
mod headers;
mod jwt;
mod limits;
mod maintenance;
mod rate_limit;
mod rate_limit_store;
mod redirects;
mod request_id;
mod rewrite;
mod security_headers;
mod trace_context;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::wire::Wire;

/// The lines of the access log on standard output, once there are so many.
#[track_caller]
fn lines(daemon: &Daemon, count: usize) -> Vec<Value> {
    daemon.stdout().wait("\n", count);
    let text = daemon.stdout().text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

/// The answer to a request with these fields.
#[track_caller]
fn ask(wire: &mut Wire, method: &str, target: &str, fields: &[&str]) -> Response {
    let line = format!("{method} {target} HTTP/1.1");
    let head = [&[&*line, "Host: a"], fields].concat();
    wire.send(head.join("\r\n") + "\r\n\r\n");
    wire.read_response()
}

/// Checks fields: their value, or that they are not there.
#[track_caller]
fn check_fields(response: &Response, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        let text = &response.head.text;
        assert_eq!(response.field(name), *value, "{name} of\n{text}");
    }
}
