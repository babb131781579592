//! All that can ever wake the control plane.

use std::sync::mpsc::{SyncSender, sync_channel};

pub use crate::generation::DrainTimes;
use crate::server::mailbox::{Report, Reporter};

/// How many events may wait. A worker has at most three reports under way (a publication, a beat
/// and an end), the watcher one, and a sender of signals can wait; so with this many no worker of a
/// machine of up to a hundred cores ever blocks.
const EVENTS_MAX: usize = 256;

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Someone asked the daemon to end: SIGTERM or SIGINT.
    End(EndSignal),
    /// Someone asked for a reload: SIGHUP.
    Reload,
    /// Someone moved the log files away: SIGUSR1.
    Reopen,
    /// A file of the configuration may have changed.
    FilesTouched,
    /// A preparation succeeded: this generation can be published.
    Prepared {
        /// Its number.
        generation: u64,
        /// How the daemon drains under it.
        drain: DrainTimes,
    },
    /// A preparation failed, or found nothing new.
    NotPrepared,
    /// Someone asked for the daemon to be replaced by the program as it is on disk now: SIGUSR2.
    Upgrade,
    /// The process that shall replace this one serves.
    Upgraded,
    /// There is no process that could replace this one, or it failed.
    NotUpgraded,
    /// A worker says something.
    Report(Report),
    /// The time that [`super::control::Control::deadline`] named has come.
    Tick,
}

/// Which signal asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Where the threads of the control plane leave what happened.
#[derive(Debug, Clone)]
pub(super) struct Events(SyncSender<Event>);

/// Where the control loop takes it.
pub(super) type Inbox = std::sync::mpsc::Receiver<Event>;

impl Events {
    /// Both ends.
    pub(super) fn new() -> (Self, Inbox) {
        let (sender, inbox) = sync_channel(EVENTS_MAX);
        (Self(sender), inbox)
    }

    /// Leaves an event; whether anyone will ever take it.
    pub(super) fn send(&self, event: Event) -> bool {
        self.0.send(event).is_ok()
    }

    /// Where workers report to.
    pub(super) fn reporter(&self) -> Reporter {
        let events = self.clone();
        Reporter::new(move |report| {
            // After the control loop has ended, nobody wants to know.
            events.send(Event::Report(report));
        })
    }
}

impl std::fmt::Display for EndSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}
