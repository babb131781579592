//! Replacing this process by the program as it is on disk now, without refusing anyone.
//!
//! ```text
//!  old: SIGUSR2 ─▶ starts new ─▶ sends its listening sockets ─▶ waits ─▶ drains, ends
//!  new:                          listens on them, serves ─▶ "ready" ──┘
//! ```
//!
//! Both listen until the old one hears that the new one serves. If the new one ends or says
//! nothing in time, nothing has happened.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
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

/// How long a new process that gave up may take to end.
const END_TIME: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What the new process says when it serves.
const READY: &str = "ready";

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
    process: Child,
}

/// The process that this one replaces, and that waits to hear that it serves.
#[derive(Debug)]
pub(super) struct Predecessor {
    link: OwnedFd,
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
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .current_dir(&program.folder)
            .env(UPGRADE, "1")
            .stdin(theirs);
        // They name this process; for the new one they would be wrong.
        for name in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        let successor = Self {
            process: command.spawn()?,
        };
        // The descriptor of the other end that the command holds would hide the new one's end.
        drop(command);
        let sent = listening.hand_over(&ours);
        thread::Builder::new()
            .name("upgrade".into())
            .spawn(move || events.send(wait(sent, &ours)))?;
        Ok(successor)
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, if it has not ended by itself.
    pub(super) fn abandon(mut self) {
        let ended = self.end_by_itself().and_then(|()| self.process.kill());
        match ended.and_then(|()| self.process.wait()) {
            Ok(status) => error!("the new process did not take over ({status}): going on"),
            Err(error) => error!(%error, "cannot end the new process; going on beside it"),
        }
    }
}

impl Successor {
    /// Lets one that has given up say how: it may have closed its end and not be gone yet.
    fn end_by_itself(&self) -> io::Result<()> {
        let pidfd = pidfd_open(Pid::from_child(&self.process), PidfdFlags::empty())?;
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&END_TIME))?;
        Ok(())
    }
}

fn wait(sent: io::Result<()>, ours: &OwnedFd) -> Event {
    let heard = sent.and_then(|()| handover::receive(ours));
    match heard {
        Ok(Some((word, _))) if word == READY => return Event::Upgraded,
        Ok(_) => warn!("the new process ended before it served"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            warn!("the new process did not serve within {READY_TIMEOUT:?}");
        }
        Err(error) => warn!(%error, "cannot talk to the new process"),
    }
    Event::NotUpgraded
}

impl Predecessor {
    /// The one at the other end of standard input, once its sockets are taken over.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn on_stdin() -> io::Result<Self> {
        let link = fcntl_dupfd_cloexec(stdin(), 0)?;
        dup2_stdin(&File::open("/dev/null")?)?;
        Ok(Self { link })
    }

    /// This process serves: the other one may go.
    pub(super) fn dismiss(self) {
        match handover::send(&self.link, READY, &[]) {
            Ok(()) => info!("took over from another process"),
            Err(error) => warn!(%error, "the process that was to be replaced is gone"),
        }
    }
}
