//! The load: wrk, on its own core, with 64 connections that stay open.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cases::{Case, Work};
use crate::contenders::{Server, find};
use crate::probe::Answer;
use crate::{Outcome, process, wait};

/// Connections of the load.
const CONNECTIONS: &str = "64";

/// From here on a response counts by its bytes: when the time is up, what was half-way through
/// on 64 connections is too much to leave out.
const COUNTED_BY_BYTES: usize = 64 * 1024;

/// The load tool, found and set up.
#[derive(Debug)]
pub(crate) struct Wrk {
    program: PathBuf,
    script: PathBuf,
    core: usize,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time of the server for one request, in microseconds.
    pub(crate) cpu_us: f64,
    /// Whatever went wrong, counted by wrk.
    pub(crate) errors: u64,
}

impl Wrk {
    /// Finds wrk.
    pub(crate) fn find(dir: &Path, core: usize) -> Outcome<Self> {
        let program = find("wrk").ok_or("wrk is not installed")?;
        let script = dir.join("count.lua");
        fs::write(&script, include_str!("conf/count.lua"))?;
        Ok(Self {
            program,
            script,
            core,
        })
    }

    /// Drives a server for some seconds.
    pub(crate) fn drive(
        &self,
        server: &Server,
        case: &Case,
        answer: Answer,
        seconds: u64,
    ) -> Outcome<Sample> {
        let url = format!(
            "http://127.0.0.1:{}{}",
            server.ports.of(case),
            case.work.path()
        );
        let duration = format!("{seconds}s");
        let mut command = Command::new(&self.program);
        command.args(["-t1", "-c", CONNECTIONS, "-d", &duration, "-s"]);
        command.arg(&self.script).arg(&url);
        if matches!(case.work, Work::Gzip(_)) {
            command.args(["-H", "Accept-Encoding: gzip"]);
        }
        let said = self.script.with_extension("out");
        let before = server.process.cpu_ns();
        let mut child = process::pinned(self.core, &command)?
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(Stdio::inherit())
            .spawn()?;
        let limit = Duration::from_secs(seconds + 10);
        let step = Duration::from_millis(2);
        let status = wait::until("wrk", limit, step, || Ok(child.try_wait()?));
        let used = server.process.cpu_ns().saturating_sub(before);
        if status.is_err() {
            // Killed or not, it is gone after this.
            drop(child.kill());
            drop(child.wait());
        }
        if !status?.success() {
            return Err("wrk failed".into());
        }
        sample(&fs::read_to_string(said)?, answer, used)
    }
}

fn sample(said: &str, answer: Answer, used: u64) -> Outcome<Sample> {
    let totals = said
        .lines()
        .find_map(|line| line.strip_prefix("totals "))
        .ok_or("wrk printed no totals")?;
    let totals: Vec<u64> = totals
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [requests, bytes, errors] = totals[..] else {
        return Err("wrk printed other totals".into());
    };
    let requests = if answer.body >= COUNTED_BY_BYTES {
        float(bytes) / float((answer.head + answer.body) as u64)
    } else {
        float(requests)
    };
    if requests < 1.0 {
        return Err("no request was answered".into());
    }
    Ok(Sample {
        cpu_us: float(used) / 1000.0 / requests,
        errors,
    })
}

/// Exact for all that is counted here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
