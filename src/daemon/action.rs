//! What the control plane can decide to do.

use std::time::Duration;

use super::event::EndSignal;

/// Why there is a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Files were touched; perhaps nothing changed.
    Files,
    /// Someone asked.
    Asked,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load, compile and bind. Answered with `Event::Prepared` or `Event::NotPrepared`.
    Prepare(Cause),
    /// Send what was prepared to every worker.
    Publish {
        /// Its number.
        generation: u64,
    },
    /// Drop what was prepared: the daemon ends.
    Discard,
    /// Every worker serves this generation: say so.
    Announce {
        /// Its number.
        generation: u64,
    },
    /// Say that these workers do not answer.
    Complain {
        /// Which generation they were sent.
        generation: u64,
        /// Their numbers.
        silent: Vec<usize>,
    },
    /// Open the log files anew.
    ReopenLogs,
    /// Say that this worker ended by itself.
    Mourn {
        /// Its number.
        worker: usize,
    },
    /// Start the process that shall replace this one. Answered with `Event::Upgraded` or
    /// `Event::NotUpgraded`.
    Upgrade,
    /// End the process that should have replaced this one.
    AbandonUpgrade,
    /// Say that the daemon is about to end, and have readiness say so; go on serving.
    Leave {
        /// Who asked for it.
        signal: EndSignal,
        /// For how long.
        delay: Duration,
    },
    /// Say that the daemon ends, and send every worker a drain.
    Drain(DrainCause),
    /// Say how many connections a worker had to cut.
    Drained {
        /// Its number.
        worker: usize,
        /// How many.
        cut: u64,
    },
    /// End the process.
    End {
        /// Why now.
        because: Because,
        /// Whether anything went wrong.
        failed: bool,
    },
}

/// Why there is a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainCause {
    /// Someone asked for the end.
    Signal(EndSignal),
    /// A worker ended by itself.
    WorkerDied,
    /// Another process has taken over.
    Replaced,
}

/// Why the process ends now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The last worker is gone.
    Drained,
    /// Someone asked a second time.
    AskedAgain,
    /// These workers did not end in time.
    Stuck(Vec<usize>),
}
