//! What a server costs while it does nothing: memory at the start, memory an idle connection
//! holds, time from its start to its first answer.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Outcome;
use crate::cases::Load;
use crate::contenders::{self, Contender, Server, Stage};
use crate::load::float;
use crate::{probe, tls};

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
    /// The same over TLS; NaN if that could not be had.
    pub(crate) idle_tls_bytes: f64,
    /// The same over HTTP/2 and TLS.
    pub(crate) idle_http2_bytes: f64,
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
    let idle_bytes = idle(&server, connections, || {
        let stream = contenders::connect(port)?;
        probe::ask(&stream, "/fixed")?;
        Ok(stream)
    })?;
    drop(server);
    let secure = |load| {
        let client = tls::client(&stage.dir, load)?;
        let server = stage.start(contender)?;
        idle(&server, connections, || {
            let mut stream = tls::connect(server.ports.tls(), &client)?;
            match load {
                Load::Http2 => probe::ask_http2(&mut stream, "/fixed")?,
                _ => drop(probe::ask(&mut stream, "/fixed")?),
            }
            Ok(stream)
        })
    };
    Ok(Footprint {
        ready_ms: crate::table::median(&mut times),
        start_bytes,
        idle_bytes,
        idle_tls_bytes: secure(Load::KeepAlive).unwrap_or(f64::NAN),
        idle_http2_bytes: secure(Load::Http2).unwrap_or(f64::NAN),
    })
}

/// How much each of these connections holds.
fn idle<T>(server: &Server, connections: usize, open: impl Fn() -> Outcome<T>) -> Outcome<f64> {
    let some = |count: usize| (0..count).map(|_| open()).collect::<Outcome<Vec<T>>>();
    drop(some(WARM_UP)?);
    // Stays open: whatever is allocated once, for the first connection of many, is there.
    let first = some(WARM_UP)?;
    let before = server.process.resident();
    let idle = some(connections)?;
    let after = server.process.resident();
    drop((first, idle));
    Ok(float(after.saturating_sub(before)) / float(connections as u64))
}

/// Lets this process open as many connections as it may.
pub(crate) fn raise_limit() -> Outcome<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
