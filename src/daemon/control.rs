//! What the control plane decides: state and event in, actions out. Pure: no I/O, no clock.
//!
//! ```text
//!              all workers report                      Reload, FilesTouched + quiet
//!  Publishing ───────────────────▶ Serving ───────────────────────────▶ Preparing
//!      ▲                              ▲                                   │   │
//!      │                              └──────── NotPrepared ──────────────┘   │
//!      └────────────────────────────── Prepared ──────────────────────────────┘
//!
//!  Serving ── Upgrade ──▶ Upgrading ── NotUpgraded ──▶ Serving
//!                             └─────── Upgraded ─────▶ Draining
//!
//!  any of them ── End ──▶ Leaving ── the delay is up ──▶ Draining
//!  any of them ── a worker died ──▶ Draining ── all gone, End again, time up ──▶ Ended
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::action::{Action, Because, Cause, DrainCause};
use super::event::{DrainTimes, EndSignal, Event};
use crate::server::mailbox::Report;

/// How long files must have been left alone before they are read: an editor that writes in two
/// steps, or a tool that replaces several files, is done within this.
pub const QUIET: Duration = Duration::from_millis(100);

/// Files that never come to rest are read after this all the same.
pub const QUIET_MAX: Duration = Duration::from_secs(2);

/// How long workers may take to report a publication before the log says so. They do it between
/// two requests: milliseconds.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after the drain time workers may take to cut what is left.
pub const CUT_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of the control plane.
#[derive(Debug)]
pub struct Control {
    workers: usize,
    phase: Phase,
    times: DrainTimes,
    /// A reload that was asked for while something else was under way.
    wanted: Option<Cause>,
    /// An upgrade that was asked for while a reload was under way.
    upgrade_wanted: bool,
    touched: Option<Touched>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Preparing,
    Publishing {
        generation: u64,
        silent: BTreeSet<usize>,
        due: Option<Instant>,
    },
    Upgrading,
    Leaving {
        signal: EndSignal,
        due: Instant,
    },
    Draining {
        left: BTreeSet<usize>,
        due: Instant,
        failed: bool,
    },
    Ended,
}

/// Files that were touched and have not been read yet.
#[derive(Debug)]
struct Touched {
    first: Instant,
    last: Instant,
}

impl Control {
    /// The state at the start: so many workers were started with generation 1.
    pub fn new(workers: usize, times: DrainTimes, now: Instant) -> Self {
        Self {
            workers,
            phase: Phase::Publishing {
                generation: 1,
                silent: (0..workers).collect(),
                due: now.checked_add(REPORT_TIMEOUT),
            },
            times,
            wanted: None,
            upgrade_wanted: false,
            touched: None,
        }
    }

    /// When [`Event::Tick`] is due, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Publishing { due, .. } => *due,
            Phase::Leaving { due, .. } | Phase::Draining { due, .. } => Some(*due),
            Phase::Serving | Phase::Preparing | Phase::Upgrading | Phase::Ended => None,
        };
        // While a reload is under way, the files wait.
        let files = match self.phase {
            Phase::Serving => self.touched.as_ref().and_then(Touched::due),
            _ => None,
        };
        [phase, files].into_iter().flatten().min()
    }

    /// Whether the daemon has ended: nothing is done any more.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Decides.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if self.has_ended() {
            return Vec::new();
        }
        match event {
            Event::End(signal) => self.end(signal, now),
            Event::Reload => self.reload(Cause::Asked),
            Event::Reopen => vec![Action::ReopenLogs],
            Event::FilesTouched => {
                let first = self.touched.as_ref().map_or(now, |touched| touched.first);
                self.touched = Some(Touched { first, last: now });
                Vec::new()
            }
            Event::Prepared { generation, drain } => self.prepared(generation, drain, now),
            Event::NotPrepared if self.phase == Phase::Preparing => self.back_to_serving(),
            Event::Upgrade => self.upgrade(),
            Event::Upgraded => self.upgraded(now),
            Event::NotUpgraded => self.not_upgraded(),
            // Ended meanwhile; and the watchdog's, not ours.
            Event::NotPrepared | Event::Report(Report::Alive { .. }) => Vec::new(),
            Event::Report(Report::Published { worker, generation }) => {
                self.published(worker, generation)
            }
            Event::Report(Report::Drained { worker, cut }) => self.gone(worker, cut),
            Event::Report(Report::Died { worker }) => self.died(worker, now),
            Event::Tick => self.tick(now),
        }
    }

    fn reload(&mut self, cause: Cause) -> Vec<Action> {
        match self.phase {
            Phase::Serving => {
                self.phase = Phase::Preparing;
                self.wanted = None;
                self.touched = None;
                vec![Action::Prepare(cause)]
            }
            Phase::Preparing | Phase::Publishing { .. } | Phase::Upgrading => {
                if self.wanted != Some(Cause::Asked) {
                    self.wanted = Some(cause);
                }
                Vec::new()
            }
            Phase::Leaving { .. } | Phase::Draining { .. } | Phase::Ended => Vec::new(),
        }
    }

    fn upgrade(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Serving => {
                self.phase = Phase::Upgrading;
                self.upgrade_wanted = false;
                vec![Action::Upgrade]
            }
            Phase::Preparing | Phase::Publishing { .. } => {
                self.upgrade_wanted = true;
                Vec::new()
            }
            Phase::Upgrading | Phase::Leaving { .. } | Phase::Draining { .. } | Phase::Ended => {
                Vec::new()
            }
        }
    }

    fn not_upgraded(&mut self) -> Vec<Action> {
        if self.phase != Phase::Upgrading {
            return Vec::new();
        }
        let mut actions = vec![Action::AbandonUpgrade];
        actions.extend(self.back_to_serving());
        actions
    }

    fn upgraded(&mut self, now: Instant) -> Vec<Action> {
        if self.phase != Phase::Upgrading {
            return Vec::new();
        }
        self.drain(None, now);
        vec![Action::Drain(DrainCause::Replaced)]
    }

    fn prepared(&mut self, generation: u64, drain: DrainTimes, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Preparing => {
                self.times = drain;
                self.phase = Phase::Publishing {
                    generation,
                    silent: (0..self.workers).collect(),
                    due: now.checked_add(REPORT_TIMEOUT),
                };
                vec![Action::Publish { generation }]
            }
            Phase::Leaving { .. } | Phase::Draining { .. } => vec![Action::Discard],
            Phase::Serving | Phase::Publishing { .. } | Phase::Upgrading | Phase::Ended => {
                debug_assert!(false, "nothing was to be prepared");
                vec![Action::Discard]
            }
        }
    }

    /// What was tried came to nothing.
    fn back_to_serving(&mut self) -> Vec<Action> {
        self.phase = Phase::Serving;
        self.again()
    }

    fn published(&mut self, worker: usize, published: u64) -> Vec<Action> {
        let Phase::Publishing {
            generation, silent, ..
        } = &mut self.phase
        else {
            return Vec::new();
        };
        if published != *generation || !silent.remove(&worker) || !silent.is_empty() {
            return Vec::new();
        }
        let generation = *generation;
        self.phase = Phase::Serving;
        let mut actions = vec![Action::Announce { generation }];
        actions.extend(self.again());
        actions
    }

    /// The reload or the upgrade that had to wait, if any.
    fn again(&mut self) -> Vec<Action> {
        match self.wanted.take() {
            Some(cause) => self.reload(cause),
            None if self.upgrade_wanted => self.upgrade(),
            None => Vec::new(),
        }
    }

    fn end(&mut self, signal: EndSignal, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Leaving { .. } => return self.finish(Because::AskedAgain, false),
            Phase::Draining { failed, .. } => return self.finish(Because::AskedAgain, failed),
            Phase::Ended => return actions,
            Phase::Upgrading => actions.push(Action::AbandonUpgrade),
            Phase::Serving | Phase::Preparing | Phase::Publishing { .. } => {}
        }
        let delay = self.times.delay;
        if delay.is_zero() {
            self.drain(None, now);
            actions.push(Action::Drain(DrainCause::Signal(signal)));
        } else {
            let due = later(now, delay);
            self.phase = Phase::Leaving { signal, due };
            actions.push(Action::Leave { signal, delay });
        }
        actions
    }

    fn died(&mut self, worker: usize, now: Instant) -> Vec<Action> {
        let mut actions = vec![Action::Mourn { worker }];
        if let Phase::Draining { left, failed, .. } = &mut self.phase {
            *failed = true;
            left.remove(&worker);
        } else {
            if self.phase == Phase::Upgrading {
                actions.push(Action::AbandonUpgrade);
            }
            self.drain(Some(worker), now);
            actions.push(Action::Drain(DrainCause::WorkerDied));
        }
        actions.extend(self.finish_if_gone());
        actions
    }

    fn drain(&mut self, dead: Option<usize>, now: Instant) {
        self.phase = Phase::Draining {
            left: (0..self.workers)
                .filter(|&worker| dead != Some(worker))
                .collect(),
            due: later(now, self.times.timeout.saturating_add(CUT_TIMEOUT)),
            failed: dead.is_some(),
        };
        self.wanted = None;
        self.upgrade_wanted = false;
        self.touched = None;
    }

    fn gone(&mut self, worker: usize, cut: u64) -> Vec<Action> {
        let Phase::Draining { left, .. } = &mut self.phase else {
            return Vec::new();
        };
        if !left.remove(&worker) {
            return Vec::new();
        }
        let mut actions = vec![Action::Drained { worker, cut }];
        actions.extend(self.finish_if_gone());
        actions
    }

    fn finish_if_gone(&mut self) -> Vec<Action> {
        match &self.phase {
            Phase::Draining { left, failed, .. } if left.is_empty() => {
                let failed = *failed;
                self.finish(Because::Drained, failed)
            }
            _ => Vec::new(),
        }
    }

    fn finish(&mut self, because: Because, failed: bool) -> Vec<Action> {
        self.phase = Phase::Ended;
        vec![Action::End { because, failed }]
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        match &mut self.phase {
            Phase::Serving => {
                let due = self.touched.as_ref().and_then(Touched::due);
                if due.is_some_and(|due| due <= now) {
                    return self.reload(Cause::Files);
                }
                Vec::new()
            }
            Phase::Publishing {
                generation,
                silent,
                due,
            } => {
                if due.is_none_or(|due| due > now) {
                    return Vec::new();
                }
                // Once is enough: they can only answer.
                *due = None;
                vec![Action::Complain {
                    generation: *generation,
                    silent: silent.iter().copied().collect(),
                }]
            }
            Phase::Leaving { signal, due } if *due <= now => {
                let why = DrainCause::Signal(*signal);
                self.drain(None, now);
                vec![Action::Drain(why)]
            }
            Phase::Draining { left, due, .. } if *due <= now => {
                let stuck = left.iter().copied().collect();
                self.finish(Because::Stuck(stuck), true)
            }
            Phase::Leaving { .. }
            | Phase::Draining { .. }
            | Phase::Preparing
            | Phase::Upgrading
            | Phase::Ended => Vec::new(),
        }
    }
}

/// A time too far to be named is as good as a day.
fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time)
        .unwrap_or_else(|| now + Duration::from_hours(24))
}

impl Touched {
    fn due(&self) -> Option<Instant> {
        let quiet = self.last.checked_add(QUIET)?;
        Some(quiet.min(self.first.checked_add(QUIET_MAX)?))
    }
}

#[cfg(test)]
mod tests;
