//! What a server costs while it does nothing: memory at the start, memory an idle connection
//! holds, time from its start to its first answer.

use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Outcome;
use crate::contenders::{Contender, Stage};
use crate::load::float;
use crate::probe;

/// Connections that are opened before the first look, so that what is allocated once is there.
const WARM_UP: usize = 200;

/// The footprint of a contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    /// Median time from start to first answer, in milliseconds.
    pub(crate) ready_ms: f64,
    /// Resident memory after the first answer, in bytes.
    pub(crate) start_bytes: u64,
    /// Growth of resident memory for each idle connection that has had one request, in bytes.
    pub(crate) idle_bytes: f64,
}

/// Measures a contender with `connections` idle ones, on fresh processes.
pub(crate) fn measure(
    stage: &Stage,
    contender: Contender,
    starts: usize,
    connections: usize,
) -> Outcome<Footprint> {
    let mut times = Vec::new();
    for _ in 1..starts {
        times.push(stage.start(contender)?.ready.as_secs_f64() * 1e3);
    }
    let server = stage.start(contender)?;
    times.push(server.ready.as_secs_f64() * 1e3);
    let start_bytes = server.process.resident();

    let port = server.ports.quiet();
    drop(open(port, WARM_UP)?);
    // Stays open: whatever is allocated once, for the first connection of many, is there.
    let first = open(port, WARM_UP)?;
    let before = server.process.resident();
    let idle = open(port, connections)?;
    let after = server.process.resident();
    drop((first, idle));
    Ok(Footprint {
        ready_ms: crate::table::median(&mut times),
        start_bytes,
        idle_bytes: float(after.saturating_sub(before)) / float(connections as u64),
    })
}

/// Lets this process open as many connections as it may.
pub(crate) fn raise_limit() -> Outcome<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

fn open(port: u16, connections: usize) -> Outcome<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        let answer = probe::ask(&stream, "/fixed")?;
        if answer.status != 200 {
            return Err(format!("connection {}: status {}", open.len(), answer.status).into());
        }
        open.push(stream);
    }
    Ok(open)
}
