//! Processes under measurement: started pinned, watched through `/proc`, always ended.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Outcome;
use crate::wait;

/// Asked to end, a process gets this long before it is killed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A process and the ones it started. Dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

/// `--launch CORE COMMAND…`: becomes the command, on that core, bound to end with its parent.
///
/// A process cannot be pinned from outside before it has started threads; so the bench starts
/// itself, pins itself and turns into the command.
pub(crate) fn launch(mut args: impl Iterator<Item = String>) -> Outcome<()> {
    let core: usize = args.next().ok_or("--launch wants a core")?.parse()?;
    let program = args.next().ok_or("--launch wants a command")?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)?;
    Err(Command::new(program).args(args).exec().into())
}

impl Running {
    /// Starts the command on a core.
    pub(crate) fn start(core: usize, command: &Command, log: &fs::File) -> Outcome<Self> {
        let child = pinned(core, command)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()?;
        Ok(Self { child })
    }

    /// Whether the first process is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time that the process and all its descendants have used, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.family()
            .into_iter()
            .flat_map(threads)
            .filter_map(|task| fs::read_to_string(format!("{task}/schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Resident memory of the process and its descendants, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.family()
            .into_iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
            .filter_map(|text| {
                let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
                line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
            })
            .sum::<u64>()
            * 1024
    }

    /// The process and its descendants.
    fn family(&self) -> Vec<u32> {
        let parents = parents();
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            next += 1;
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|p| p.0));
        }
        family
    }

    fn end(&mut self) {
        let family = self.family();
        signal(self.child.id(), Signal::TERM);
        let gone = wait::until("end", END_LIMIT, Duration::from_millis(5), || {
            Ok(self.child.try_wait()?.map(drop))
        });
        if gone.is_err() {
            // Only while the first has not been waited for are these still its children.
            for pid in family {
                signal(pid, Signal::KILL);
            }
        }
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The command, to be started on a core and to end with this process.
pub(crate) fn pinned(core: usize, command: &Command) -> io::Result<Command> {
    let mut launcher = Command::new(std::env::current_exe()?);
    launcher.args(["--launch", &core.to_string()]);
    launcher.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => launcher.env(name, value),
            None => launcher.env_remove(name),
        };
    }
    Ok(launcher)
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile; that is what was wanted.
        kill_process(pid, signal).unwrap_or_default();
    }
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything, also spaces and parentheses.
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

fn threads(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned()))
        .collect()
}
