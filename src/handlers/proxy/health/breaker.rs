//! The circuit breaker of an upstream: when most requests fail, the next are refused at once for
//! a while, instead of waiting for what will fail too.
//!
//! ```text
//!              the failure rate is reached
//!   ┌────────┐ ──────────────────────────▶ ┌──────┐
//!   │ Closed │                             │ Open │ ◀──┐
//!   └────────┘                             └──────┘    │
//!        ▲        its time is over: some      │        │ one of them fails
//!        │        requests try it out         ▼        │
//!        │                               ┌──────────┐  │
//!        └────────────────────────────── │ HalfOpen │ ─┘
//!              as many as are asked for  └──────────┘
//!              have gone well
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use super::history::{Change, History};
use crate::build::Percent;

/// When the circuit opens, and how it closes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::handlers::proxy) struct BreakerRules {
    /// Which share of the requests of a window must fail.
    pub(in crate::handlers::proxy) failure_rate: Percent,
    /// How many requests a window must have had.
    pub(in crate::handlers::proxy) minimum_requests: u32,
    /// How long requests are counted together.
    pub(in crate::handlers::proxy) window: Duration,
    /// How long it stays open.
    pub(in crate::handlers::proxy) open_time: Duration,
    /// How many requests must go well, one after the other or at a time, for it to close.
    pub(in crate::handlers::proxy) trial_requests: u16,
}

/// The state of a circuit. Times are milliseconds of the process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open { until: u64 },
    /// Some requests pass, to try it out.
    HalfOpen { under_way: u16, gone_well: u16 },
}

/// What happens to a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A request wants to pass.
    Asked { now: u64 },
    /// Too many failed while it was closed.
    Tripped { now: u64 },
    /// A request on trial went well.
    TrialWell,
    /// A request on trial failed.
    TrialFailed { now: u64 },
    /// A request on trial is over, however it went.
    TrialOver,
}

/// How a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers::proxy) enum Pass {
    /// As always.
    Freely,
    /// To try the upstream out. Its end must be told with [`Breaker::trial_over`].
    OnTrial,
    /// Not at all.
    Refused,
}

impl State {
    /// The one place where states change.
    fn on(self, event: Event, rules: &BreakerRules) -> Self {
        let open = |now: u64| {
            let millis = u64::try_from(rules.open_time.as_millis()).unwrap_or(UNTIL_MAX);
            Self::Open {
                until: now.saturating_add(millis).min(UNTIL_MAX),
            }
        };
        match (self, event) {
            (Self::Closed, Event::Tripped { now })
            | (Self::HalfOpen { .. }, Event::TrialFailed { now }) => open(now),
            (Self::Open { until }, Event::Asked { now }) if now >= until => Self::HalfOpen {
                under_way: 1,
                gone_well: 0,
            },
            (
                Self::HalfOpen {
                    under_way,
                    gone_well,
                },
                Event::Asked { .. },
            ) if under_way.saturating_add(gone_well) < rules.trial_requests => Self::HalfOpen {
                under_way: under_way + 1,
                gone_well,
            },
            (
                Self::HalfOpen {
                    under_way,
                    gone_well,
                },
                Event::TrialWell,
            ) => {
                if gone_well + 1 >= rules.trial_requests {
                    Self::Closed
                } else {
                    Self::HalfOpen {
                        under_way,
                        gone_well: gone_well + 1,
                    }
                }
            }
            (
                Self::HalfOpen {
                    under_way,
                    gone_well,
                },
                Event::TrialOver,
            ) => Self::HalfOpen {
                under_way: under_way.saturating_sub(1),
                gone_well,
            },
            // A trial that ends after the circuit has changed, a second trip, a request that is
            // let pass or refused without a change.
            (
                Self::Closed,
                Event::Asked { .. }
                | Event::TrialWell
                | Event::TrialFailed { .. }
                | Event::TrialOver,
            )
            | (
                Self::Open { .. },
                Event::Asked { .. }
                | Event::Tripped { .. }
                | Event::TrialWell
                | Event::TrialFailed { .. }
                | Event::TrialOver,
            )
            | (Self::HalfOpen { .. }, Event::Asked { .. } | Event::Tripped { .. }) => self,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// The latest time that is told apart: the two upper bits hold the state.
const UNTIL_MAX: u64 = (1 << 62) - 1;

impl From<State> for u64 {
    fn from(state: State) -> Self {
        match state {
            State::Closed => 0,
            State::Open { until } => 1 << 62 | until,
            State::HalfOpen {
                under_way,
                gone_well,
            } => 2 << 62 | Self::from(under_way) << 16 | Self::from(gone_well),
        }
    }
}

impl From<u64> for State {
    fn from(packed: u64) -> Self {
        let low = |shift: u32| u16::try_from(packed >> shift & 0xFFFF).unwrap_or_default();
        match packed >> 62 {
            0 => Self::Closed,
            1 => Self::Open {
                until: packed & UNTIL_MAX,
            },
            _ => Self::HalfOpen {
                under_way: low(16),
                gone_well: low(0),
            },
        }
    }
}

/// The circuit of an upstream, shared by all workers.
#[derive(Debug, Default)]
pub(in crate::handlers::proxy) struct Breaker {
    state: AtomicU64,
    /// When the window began.
    window: AtomicU64,
    /// Of this window: how many went well in the low half, how many failed in the high.
    counts: AtomicU64,
    history: History,
}

/// A failure, in the high half of a window's counts.
const FAILURE: u64 = 1 << 32;

impl Breaker {
    /// Whether a request may pass, and how.
    pub(in crate::handlers::proxy) fn ask(
        &self,
        upstream: &str,
        rules: &BreakerRules,
        now: u64,
    ) -> Pass {
        if State::from(self.state.load(Ordering::Relaxed)) == State::Closed {
            return Pass::Freely;
        }
        let (before, after) = self.on(upstream, Event::Asked { now }, rules, "its time is over");
        match (before, after) {
            (State::Closed, _) => Pass::Freely,
            (before, after) if before == after => Pass::Refused,
            _ => Pass::OnTrial,
        }
    }

    /// Takes in how a request went.
    pub(in crate::handlers::proxy) fn take(
        &self,
        upstream: &str,
        well: bool,
        on_trial: bool,
        rules: &BreakerRules,
        now: u64,
    ) {
        if on_trial {
            let (event, cause) = if well {
                (Event::TrialWell, "the trial went well")
            } else {
                (Event::TrialFailed { now }, "the trial failed")
            };
            self.on(upstream, event, rules, cause);
            return;
        }
        let began = self.window.load(Ordering::Relaxed);
        let length = u64::try_from(rules.window.as_millis()).unwrap_or(u64::MAX);
        let over = now.saturating_sub(began) >= length;
        if over
            && self
                .window
                .compare_exchange(began, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.counts.store(0, Ordering::Relaxed);
        }
        let one = if well { 1 } else { FAILURE };
        let counts = self.counts.fetch_add(one, Ordering::Relaxed) + one;
        let (succeeded, failed) = (counts & (FAILURE - 1), counts >> 32);
        let all = succeeded + failed;
        let enough = all >= u64::from(rules.minimum_requests.max(1));
        if !well && enough && failed * 10_000 >= all * rules.failure_rate.of(10_000) {
            let cause = format!("{failed} of {all} requests failed");
            self.on(upstream, Event::Tripped { now }, rules, &cause);
        }
    }

    /// A request on trial is over.
    pub(in crate::handlers::proxy) fn trial_over(&self, upstream: &str, rules: &BreakerRules) {
        self.on(upstream, Event::TrialOver, rules, "");
    }

    /// What lately changed.
    pub(in crate::handlers::proxy) fn changes(&self) -> Vec<Change> {
        self.history.changes()
    }

    fn on(
        &self,
        upstream: &str,
        event: Event,
        rules: &BreakerRules,
        cause: &str,
    ) -> (State, State) {
        let change = |packed| Some(State::from(packed).on(event, rules).into());
        let before = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, change);
        let before = before.map_or(State::Closed, State::from);
        let after = before.on(event, rules);
        if before.name() != after.name() {
            // What was counted led here, and says nothing of what comes.
            self.counts.store(0, Ordering::Relaxed);
            let to = after.name();
            if let State::Open { .. } = after {
                warn!(upstream, to, cause, "circuit breaker");
            } else {
                info!(upstream, to, cause, "circuit breaker");
            }
            self.history.note(to, cause.to_owned());
        }
        (before, after)
    }
}

#[cfg(test)]
mod tests;
