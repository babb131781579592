//! Each kind of middleware on the wire, alone and in a chain.

mod access_log;
mod headers;
mod limits;
mod trace_context;

use serde_json::Value;

use crate::support::daemon::Daemon;

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
