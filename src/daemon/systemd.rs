//! What the service manager is told. Without one (no `NOTIFY_SOCKET`), nothing is said.
//!
//! Nothing here waits for a service manager that does not listen: what its queue has no room for
//! is said before the next word, in its order. Only what cannot be said later (the descriptors of
//! sockets, and that another process is the daemon) waits, and not for long.

use std::collections::VecDeque;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sd_notify::NotifyState;
use tracing::warn;

use crate::sys::handover;

/// How much may wait to be said; then the oldest is forgotten. What is said in a minute by who is
/// told to reload ten times a second fits.
const UNSAID_MAX: usize = 1024;

/// How long is waited for room for what cannot be said later. A service manager that is well
/// needs a thousandth.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

static LINE: LazyLock<Mutex<Line>> =
    LazyLock::new(|| Mutex::new(Line::new(env::var_os("NOTIFY_SOCKET"))));

/// After how long without a word the service manager replaces the daemon. `None` if it does not
/// watch.
pub(super) fn watchdog_time() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The daemon is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Ready: at the start, and again after every reload, refused or not.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // systemd would kill who reloads without saying since when.
        Err(error) => warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// The daemon ends.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Another process is the daemon from now on.
pub(super) fn replaced_by(process: u32) {
    warn_of(on_line(|line| {
        line.say_now(&text(&[NotifyState::MainPid(process)]), &[])
    }));
}

/// The end will take this long, and no longer.
pub(super) fn ending_within(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Keep these listening sockets for the next process, under this name.
pub(super) fn keep(name: &str, sockets: &[BorrowedFd<'_>]) {
    let message = text(&[NotifyState::FdStore, NotifyState::FdName(name)]);
    // As many as a message may carry.
    for sockets in sockets.chunks(handover::DESCRIPTORS_MAX) {
        if let Err(error) = on_line(|line| line.say_now(&message, sockets)) {
            warn!(%error, "cannot hand sockets to the service manager for keeping");
        }
    }
}

/// Do not keep the sockets of this name any longer.
pub(super) fn let_go(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

fn tell(states: &[NotifyState<'_>]) {
    warn_of(on_line(|line| line.say(text(states))));
}

fn warn_of(told: io::Result<()>) {
    if let Err(error) = told {
        warn!(%error, "cannot tell the service manager");
    }
}

fn on_line<T>(speak: impl FnOnce(&mut Line) -> T) -> T {
    speak(&mut LINE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn text(states: &[NotifyState<'_>]) -> String {
    let lines = states
        .iter()
        .map(|state| [state.to_string(), "\n".to_owned()]);
    lines.flatten().collect()
}

/// The way to the service manager.
#[derive(Debug)]
struct Line {
    socket: Option<OsString>,
    unsaid: VecDeque<String>,
}

impl Line {
    const fn new(socket: Option<OsString>) -> Self {
        Self {
            socket,
            unsaid: VecDeque::new(),
        }
    }

    /// Says this after what is still to be said, as far as there is room.
    fn say(&mut self, message: String) -> io::Result<()> {
        let Some(name) = &self.socket else {
            return Ok(());
        };
        if self.unsaid.len() == UNSAID_MAX {
            self.unsaid.pop_front();
        }
        self.unsaid.push_back(message);
        let socket = connect(name)?;
        while let Some(message) = self.unsaid.front() {
            match socket.send(message.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                sent => {
                    // What fails for another reason would fail again.
                    self.unsaid.pop_front();
                    sent?;
                }
            }
        }
        Ok(())
    }

    /// Says this, with descriptors, and waits a little for room.
    fn say_now(&self, message: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some(name) = &self.socket else {
            return Ok(());
        };
        let socket = connect(name)?;
        match handover::send(&socket, message, sockets) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&PATIENCE))?;
                handover::send(&socket, message, sockets)
            }
            sent => sent,
        }
    }
}

/// A socket that never waits, connected to a path or, behind an `@`, to an abstract name.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    fn line(path: &std::path::Path) -> (Line, UnixDatagram) {
        let manager = UnixDatagram::bind(path).unwrap();
        manager.set_nonblocking(true).unwrap();
        (Line::new(Some(path.into())), manager)
    }

    /// The next message, if there is one.
    fn heard(manager: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 100];
        let length = manager.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for_and_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut line, manager) = line(&folder.path().join("notify"));
        // Far more than any kernel queues for one socket.
        for n in 0..UNSAID_MAX {
            line.say(format!("STATUS={n}\n")).unwrap();
        }
        assert!(!line.unsaid.is_empty());
        let mut next = 0;
        while next < UNSAID_MAX {
            match heard(&manager) {
                Some(message) => {
                    assert_eq!(message, format!("STATUS={next}\n"));
                    next += 1;
                }
                None => line.say("WATCHDOG=1\n".to_owned()).unwrap(),
            }
        }
    }

    #[test]
    fn what_is_never_read_is_bounded_and_the_latest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut line, manager) = line(&folder.path().join("notify"));
        for n in 0..3 * UNSAID_MAX {
            line.say(format!("STATUS={n}\n")).unwrap();
        }
        assert_eq!(line.unsaid.len(), UNSAID_MAX);
        let last = format!("STATUS={}\n", 3 * UNSAID_MAX - 1);
        assert_eq!(line.unsaid.back(), Some(&last));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = line.say_now("FDSTORE=1\n", &[socket.as_fd()]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        assert!(heard(&manager).is_some());
        line.say_now("FDSTORE=1\n", &[socket.as_fd()]).unwrap();
    }

    #[test]
    fn a_name_behind_an_at_is_abstract() {
        let name = format!("httpserverd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let mut line = Line::new(Some(format!("@{name}").into()));
        line.say("READY=1\n".to_owned()).unwrap();
        assert_eq!(heard(&manager).as_deref(), Some("READY=1\n"));
    }

    #[test]
    fn without_a_manager_nothing_is_kept() {
        let mut line = Line::new(None);
        line.say("READY=1\n".to_owned()).unwrap();
        assert!(line.unsaid.is_empty());
    }
}
