//! The load: wrk, h2load or this bench itself, on its own core.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cases::{Case, Face, Load, Work};
use crate::contenders::{Server, find};
use crate::probe::Answer;
use crate::{Outcome, process, wait};

/// Connections of the load, of one request at a time.
const CONNECTIONS: &str = "64";
/// Connections of the load over HTTP/2, and how many streams each has open: as many requests at
/// a time.
const HTTP2: [&str; 4] = ["-c", "8", "-m", "8"];

/// From here on a response counts by its bytes: when the time is up, what was half-way through
/// on 64 connections is too much to leave out.
const COUNTED_BY_BYTES: usize = 64 * 1024;

/// The load tools, found and set up.
#[derive(Debug)]
pub(crate) struct Loads {
    wrk: PathBuf,
    /// Not there, nothing is asked over HTTP/2.
    h2load: Option<PathBuf>,
    dir: PathBuf,
    core: usize,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time of the server for one request, in microseconds.
    pub(crate) cpu_us: f64,
    /// Whatever went wrong, counted by the load tool.
    pub(crate) errors: u64,
}

/// What a load tool counted.
#[derive(Debug, Clone, Copy)]
struct Totals {
    requests: u64,
    bytes: u64,
    errors: u64,
}

impl Loads {
    /// Finds the tools.
    pub(crate) fn find(dir: &Path, core: usize) -> Outcome<Self> {
        let wrk = find("wrk").ok_or("wrk is not installed")?;
        fs::write(dir.join("count.lua"), include_str!("conf/count.lua"))?;
        Ok(Self {
            wrk,
            h2load: find("h2load"),
            dir: dir.to_owned(),
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
        let command = self.command(server.ports.of(case), case, seconds)?;
        let said = self.dir.join("load.out");
        let before = server.process.cpu_ns();
        let mut child = process::pinned(self.core, &command)?
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(Stdio::inherit())
            .spawn()?;
        let limit = Duration::from_secs(seconds + 10);
        let step = Duration::from_millis(2);
        let status = wait::until("the load", limit, step, || Ok(child.try_wait()?));
        let used = server.process.cpu_ns().saturating_sub(before);
        if status.is_err() {
            // Killed or not, it is gone after this.
            drop(child.kill());
            drop(child.wait());
        }
        if !status?.success() {
            return Err("the load tool failed".into());
        }
        let said = fs::read_to_string(said)?;
        let totals = match case.load {
            Load::Http2 => of_h2load(&said)?,
            Load::KeepAlive | Load::Full | Load::Resumed => of_line(&said)?,
        };
        sample(totals, answer, used)
    }

    fn command(&self, port: u16, case: &Case, seconds: u64) -> Outcome<Command> {
        let scheme = match case.face {
            Face::Tls => "https",
            Face::Quiet | Face::Logged => "http",
        };
        // The name is in the certificate, and in the server name that is asked for.
        let url = format!("{scheme}://localhost:{port}{}", case.work.path());
        let mut command = match case.load {
            Load::KeepAlive => {
                let mut command = Command::new(&self.wrk);
                let duration = format!("{seconds}s");
                command.args(["-t1", "-c", CONNECTIONS, "-d", &duration, "-s"]);
                command.arg(self.dir.join("count.lua")).arg(&url);
                if matches!(case.work, Work::Gzip(_)) {
                    command.args(["-H", "Accept-Encoding: gzip"]);
                }
                command
            }
            Load::Http2 => {
                let program = self.h2load.as_ref().ok_or("h2load is not installed")?;
                let mut command = Command::new(program);
                command.args(HTTP2).args(["-D", &seconds.to_string(), &url]);
                command
            }
            Load::Full | Load::Resumed => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--handshakes").arg(&self.dir);
                command.args([&port.to_string(), &seconds.to_string()]);
                command.arg(if case.load == Load::Full {
                    "full"
                } else {
                    "resumed"
                });
                command
            }
        };
        command.env("LC_ALL", "C");
        Ok(command)
    }
}

/// `totals REQUESTS BYTES ERRORS`, as the script for wrk and this bench print.
fn of_line(said: &str) -> Outcome<Totals> {
    let totals = said
        .lines()
        .find_map(|line| line.strip_prefix("totals "))
        .ok_or("the load tool printed no totals")?;
    let totals: Vec<u64> = totals
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [requests, bytes, errors] = totals[..] else {
        return Err("the load tool printed other totals".into());
    };
    Ok(Totals {
        requests,
        bytes,
        errors,
    })
}

/// `requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout`.
fn of_h2load(said: &str) -> Outcome<Totals> {
    let counts = said
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))
        .ok_or("h2load printed no requests")?;
    let count = |what: &str| -> Outcome<u64> {
        let mut counts = counts.split(", ").filter_map(|one| one.split_once(' '));
        let (number, _) = counts.find(|(_, of)| *of == what).ok_or("no such count")?;
        Ok(number.parse()?)
    };
    Ok(Totals {
        requests: count("succeeded")?,
        bytes: 0,
        errors: count("failed")? + count("errored")? + count("timeout")?,
    })
}

fn sample(totals: Totals, answer: Answer, used: u64) -> Outcome<Sample> {
    let requests = if answer.body >= COUNTED_BY_BYTES {
        float(totals.bytes) / float((answer.head + answer.body) as u64)
    } else {
        float(totals.requests)
    };
    if requests < 1.0 {
        return Err("no request was answered".into());
    }
    Ok(Sample {
        cpu_us: float(used) / 1000.0 / requests,
        errors: totals.errors,
    })
}

/// Exact for all that is counted here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
