//! Replacing this process by the program as it is on disk now, without refusing anyone.
//!
//! ```text
//!  old:     SIGUSR2 ─▶ starts between ─▶ sends its listening sockets ─▶ waits ─▶ drains, ends
//!  between:            starts new, ends                                  ▲ ▲
//!  new:                takes the sockets ── its number ──────────────────┘ │
//!                      serves ── "ready", or "refused" and an exit code ───┘
//! ```
//!
//! Both listen until the old one hears that the new one serves. If the new one ends or says
//! nothing in time, nothing has happened. The process between makes the new one a child of the
//! service manager, as the old one is: one that is not, systemd does not wait for when it stops it.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{self, Child, Command};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, Signal, kill_process};
use rustix::stdio::{dup2_stdin, stdin};
use tracing::{error, info, warn};

use super::event::{Event, Events};
use super::inherited::UPGRADE;
use super::listening::Listening;
use crate::sys::handover;

/// How long the new process may take to serve: long enough for a large configuration on a busy
/// machine, short enough that who waits for it still waits.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the new process may take to read what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What the new process says: its number, that it serves, or why not.
const PROCESS: &str = "process ";
const READY: &str = "ready";
const REFUSED: &str = "refused ";

/// What [`UPGRADE`] says to the process between, and to the new one.
const BETWEEN: &str = "between";
const REPLACE: &str = "replace";

/// How this process was started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

/// A process that was started to replace this one.
#[derive(Debug)]
pub(super) struct Successor {
    /// Its number, once it has said so.
    process: Arc<OnceLock<u32>>,
}

/// The process that this one replaces, and that waits to hear that it serves.
#[derive(Debug, Clone)]
pub(super) struct Predecessor {
    link: Arc<OwnedFd>,
}

impl Program {
    /// Must be asked early: the file may be replaced, and the folder changed.
    ///
    /// # Errors
    /// The system cannot tell.
    pub(super) fn of_process() -> io::Result<Self> {
        Ok(Self {
            path: env::current_exe()?,
            arguments: env::args_os().skip(1).collect(),
            folder: env::current_dir()?,
        })
    }
}

/// If this process stands between two: starts the new one, and says so.
///
/// # Errors
/// It cannot be started.
pub(super) fn start_if_between(program: &Program) -> io::Result<bool> {
    if env::var_os(UPGRADE).is_none_or(|role| role != BETWEEN) {
        return Ok(false);
    }
    program.command(REPLACE).spawn()?;
    Ok(true)
}

impl Program {
    /// To start it once more, in this role, with the same standard input.
    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env(UPGRADE, role);
        // They name this process; for the new one they would be wrong.
        for name in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        command
    }
}

impl Successor {
    /// Starts one. The event says what becomes of it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        program: &Program,
        listening: &Listening,
        events: Events,
    ) -> io::Result<Self> {
        let (ours, theirs) = handover::pair()?;
        set_socket_timeout(&ours, Timeout::Send, Some(SEND_TIMEOUT))?;
        set_socket_timeout(&ours, Timeout::Recv, Some(READY_TIMEOUT))?;
        let mut command = program.command(BETWEEN);
        let between = command.stdin(theirs).spawn()?;
        // The descriptor of the other end that the command holds would hide the new one's end.
        drop(command);
        let sent = listening.hand_over(&ours);
        let process = Arc::<OnceLock<u32>>::default();
        let heard = Arc::clone(&process);
        thread::Builder::new()
            .name("upgrade".into())
            .spawn(move || {
                let ended = sent.and_then(|()| wait(between, &ours, &heard));
                events.send(match ended {
                    Ok(()) => Event::Upgraded,
                    Err(error) => {
                        error!("the new process did not take over: {error}");
                        Event::NotUpgraded
                    }
                });
            })?;
        Ok(Self { process })
    }

    /// Its process id, which is known once it serves.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.get().copied()
    }

    /// Ends it, if it has not ended by itself.
    pub(super) fn abandon(self) {
        let process = self
            .process()
            .and_then(|process| i32::try_from(process).ok());
        let Some(process) = process.and_then(Pid::from_raw) else {
            return;
        };
        // It is most likely gone already.
        match kill_process(process, Signal::KILL) {
            Ok(()) => warn!("ended process {process}, which did not take over"),
            Err(Errno::SRCH) => {}
            Err(error) => warn!(%error, "cannot end process {process}, which did not take over"),
        }
    }
}

/// Waits for the new process to serve.
///
/// # Errors
/// It does not, and why.
fn wait(mut between: Child, ours: &OwnedFd, process: &OnceLock<u32>) -> io::Result<()> {
    let status = between.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("it cannot be started ({status})")));
    }
    loop {
        let word = match handover::receive(ours) {
            Ok(Some((word, _))) => word,
            Ok(None) => return Err(io::Error::other("it ended before it served")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let message = format!("it did not serve within {} s", READY_TIMEOUT.as_secs());
                return Err(io::Error::other(message));
            }
            Err(error) => return Err(error),
        };
        if let Some(number) = word
            .strip_prefix(PROCESS)
            .and_then(|word| word.parse().ok())
        {
            // Said once; a second time changes nothing.
            process.get_or_init(|| number);
        } else if let Some(code) = word.strip_prefix(REFUSED) {
            return Err(io::Error::other(format!("it ends with {code}")));
        } else {
            return match word.as_str() {
                READY if process.get().is_some() => Ok(()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }
}

impl Predecessor {
    /// The one at the other end of standard input, once its sockets are taken over.
    ///
    /// # Errors
    /// The kernel's; the other one may have gone.
    pub(super) fn on_stdin() -> io::Result<Self> {
        let link = Arc::new(fcntl_dupfd_cloexec(stdin(), 0)?);
        dup2_stdin(&File::open("/dev/null")?)?;
        handover::send(&link, &format!("{PROCESS}{}", process::id()), &[])?;
        Ok(Self { link })
    }

    /// This process serves: the other one may go. Whether it was still waiting; if it was not,
    /// it goes on, and this one is one too many.
    #[must_use]
    pub(super) fn dismiss(self) -> bool {
        match handover::send(&self.link, READY, &[]) {
            Ok(()) => info!("took over from another process"),
            Err(error) => {
                error!(%error, "the process that was to be replaced waits no longer: ending");
                return false;
            }
        }
        true
    }

    /// This process does not start, and ends with this code.
    pub(super) fn refuse(self, code: u8) {
        // Whoever waits no longer need not know.
        drop(handover::send(&self.link, &format!("{REFUSED}{code}"), &[]));
    }
}
