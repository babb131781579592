//! Whether everything goes round: the control loop, and the loop of every worker.

use std::time::{Duration, Instant};

use tracing::{error, info};

use super::systemd;
use super::workers::Workers;

/// How often workers are asked when no service manager wants to know: for the log alone.
const INTERVAL: Duration = Duration::from_secs(10);

/// Asks every worker whether it goes round, and tells the service manager only when all do: a
/// worker that hangs gets the daemon replaced, as a control loop that hangs does.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Whether the service manager wants to hear.
    told: bool,
    interval: Duration,
    due: Instant,
    /// Which workers have not answered yet.
    silent: Vec<bool>,
    complained: bool,
    /// Workers that drain answer no more; the drain has its own time limit.
    draining: bool,
}

impl Watchdog {
    /// Watches so many workers from now on.
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        let time = systemd::watchdog_time();
        Self {
            told: time.is_some(),
            // Four times within the time after which the service manager acts: one late answer
            // is not the end.
            interval: time.map_or(INTERVAL, |time| time / 4),
            due: now,
            silent: vec![false; workers],
            complained: false,
            draining: false,
        }
    }

    /// When to be fed next.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The workers drain from here on.
    pub(super) const fn drain(&mut self) {
        self.draining = true;
    }

    /// This worker answered.
    pub(super) fn heard(&mut self, worker: usize) {
        if let Some(silent) = self.silent.get_mut(worker) {
            *silent = false;
        }
        if self.complained && !self.silent.contains(&true) {
            self.complained = false;
            info!("every worker answers again");
        }
    }

    /// The control loop goes round.
    pub(super) fn feed(&mut self, now: Instant, workers: &Workers) {
        if self.due > now {
            return;
        }
        self.due = now.checked_add(self.interval).unwrap_or(now);
        if self.draining {
            self.tell();
        } else if !self.silent.contains(&true) {
            self.tell();
            self.silent.fill(true);
            workers.beat();
        } else if !self.complained {
            self.complained = true;
            let silent = self.silent.iter().enumerate();
            let silent: Vec<_> = silent
                .filter_map(|(worker, silent)| silent.then_some(worker))
                .collect();
            error!(workers = ?silent, "workers do not answer: something in them does not return");
        }
    }

    fn tell(&self) {
        if self.told {
            systemd::alive();
        }
    }
}
