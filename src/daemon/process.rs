//! The process itself: going to the background, and its limits.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

use daemonize::{Daemonize, Outcome, Stdio};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use tracing::warn;

/// The process that stayed behind after going to the background, or the one that went.
#[derive(Debug)]
pub(super) enum Side {
    /// The one that was started: it ends with this exit code, once the other is ready or failed.
    Front(u8),
    /// The daemon.
    Back(Background),
}

/// A daemon in the background, which someone may still be waiting for.
#[derive(Debug)]
pub(super) struct Background {
    waiting: Option<PipeWriter>,
    pid_file: Option<PathBuf>,
}

/// Whether this is the first process of the machine or of its container, with whose end all ends.
pub(super) fn is_first() -> bool {
    std::process::id() == 1
}

/// Goes to the background: a session of its own, the folder `/`, a locked pid file. Standard
/// error stays until the daemon is ready, so that who started it sees what is wrong.
///
/// Must come before any thread is started.
///
/// # Errors
/// It cannot, or the pid file is held by a daemon that runs.
pub(super) fn to_background(pid_file: Option<&Path>) -> io::Result<Side> {
    let (reader, writer) = io::pipe()?;
    let mut daemonize = Daemonize::new()
        .stdout(Stdio::keep())
        .stderr(Stdio::keep())
        // Log files can be read by the group.
        .umask(0o027);
    if let Some(path) = pid_file {
        daemonize = daemonize.pid_file(path);
    }
    match daemonize.execute() {
        Outcome::Parent(Ok(_)) => {
            drop(writer);
            Ok(Side::Front(wait(reader)))
        }
        Outcome::Child(Ok(_)) => {
            drop(reader);
            Ok(Side::Back(Background {
                waiting: Some(writer),
                pid_file: pid_file.map(Path::to_path_buf),
            }))
        }
        Outcome::Parent(Err(error)) | Outcome::Child(Err(error)) => Err(io::Error::other(error)),
    }
}

/// The exit code that the daemon sends; a daemon that ended without a word has failed.
fn wait(mut reader: PipeReader) -> u8 {
    let mut codes = Vec::new();
    // To the end: a daemon that failed has printed why by then.
    match reader.read_to_end(&mut codes) {
        Ok(_) => codes.last().copied().unwrap_or(1),
        Err(_) => 1,
    }
}

impl Background {
    /// In a process that replaces one in the background: it is there already.
    ///
    /// # Errors
    /// The pid file cannot be written.
    pub(super) fn taken_over(pid_file: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = pid_file {
            // Beside it, and moved over it: at every moment one of the two has its number there.
            let fresh = path.with_extension("new");
            fs::write(&fresh, format!("{}\n", std::process::id()))?;
            let locked = File::open(&fresh)?;
            locked.try_lock()?;
            fs::rename(&fresh, path)?;
            // Locked as long as the process lives.
            let _descriptor = locked.into_raw_fd();
        }
        Ok(Self {
            waiting: None,
            pid_file: pid_file.map(Path::to_path_buf),
        })
    }

    /// Another process has taken over, and with it the pid file.
    pub(super) fn leave(&mut self) {
        self.pid_file = None;
    }

    /// Lets who waits go, and closes the standard streams.
    pub(super) fn ready(&mut self) {
        if let Err(error) = close_streams() {
            warn!(%error, "cannot close the standard streams");
        }
        if let Some(mut waiting) = self.waiting.take() {
            // Whoever waited may have been interrupted.
            drop(waiting.write_all(&[0]));
        }
    }

    /// Tells who waits that it failed; they go when this process ends.
    pub(super) fn failed(&mut self, code: u8) {
        if let Some(mut waiting) = self.waiting.take() {
            drop(waiting.write_all(&[code]));
            // Open until the end of the process, which is near.
            let _descriptor = waiting.into_raw_fd();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(path) = &self.pid_file {
            // Still locked by this process, so it is this one's. In a folder that cannot be
            // written the file stays, unlocked: the next start takes it over.
            drop(fs::remove_file(path));
        }
    }
}

fn close_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Lets the process have as many descriptors as it may: the soft limit is low for the sake of
/// old programs that use `select`.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}
