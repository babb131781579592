//! How many may be in flight, found from how long they take.
//!
//! The gradient of latency: as long as exchanges take about as long as they do when few are in
//! flight, the limit grows by the square root of itself; when they take longer, because they
//! wait for each other, it shrinks in that proportion. How long they take when few are in flight
//! is measured anew now and then, with half the limit, as otherwise a server that is always busy
//! would be taken for one that is slow. What counts is the time from the slot to the head of the
//! response, so that slow clients do not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the limit may go, and what latency is borne.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) min: usize,
    pub(super) max: usize,
}

/// So many exchanges make a window, at least: fewer say little of the next ones.
const WINDOW_COUNT: u32 = 10;

/// And so long it lasts, at least: the limit shall not follow every hiccup.
const WINDOW: Duration = Duration::from_millis(100);

/// A window may be so much slower than the fastest before the limit shrinks.
const TOLERANCE: f64 = 1.5;

/// After so many windows, half a minute of a busy server, it is measured anew how fast it is.
const EPOCH: u32 = 300;

/// For so many windows: the first one still has those that came before.
const PROBED: u32 = 3;

/// How much of a new limit is taken over in a window.
const SMOOTHING: f64 = 0.2;

/// What is left of the limit when an exchange failed for want of time.
const BACKOFF: f64 = 0.9;

/// What was learnt so far. Holds no settings.
#[derive(Debug, Default)]
pub(super) struct Learnt(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None` until the first window.
    limit: Option<f64>,
    /// The fastest window of this epoch, in seconds, and that of the one before.
    fastest: [Option<f64>; 2],
    /// How many windows this epoch has had.
    windows: u32,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    count: u32,
    total: Duration,
    in_flight: usize,
    failed: bool,
}

impl Learnt {
    /// The limit as it was learnt, within its range; the smallest if nothing was learnt yet.
    pub(super) fn limit(&self, range: Range) -> usize {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.limit.map_or(range.min, |limit| rounded(limit, range))
    }

    /// An exchange took so long while so many were in flight; `failed` if it ended for want of
    /// time. The new limit, if a window is full.
    pub(super) fn observe(
        &self,
        range: Range,
        now: Instant,
        took: Duration,
        in_flight: usize,
        failed: bool,
    ) -> Option<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = state.window.get_or_insert(Window {
            since: now,
            count: 0,
            total: Duration::ZERO,
            in_flight: 0,
            failed: false,
        });
        window.count += 1;
        window.total += took;
        window.in_flight = window.in_flight.max(in_flight);
        window.failed |= failed;
        let lasted = now.saturating_duration_since(window.since);
        if window.count < WINDOW_COUNT || lasted < WINDOW {
            return None;
        }
        let window = state.window.take()?;
        Some(state.learn(range, &window))
    }
}

impl State {
    fn learn(&mut self, range: Range, window: &Window) -> usize {
        let took = window.total.as_secs_f64() / f64::from(window.count);
        self.windows += 1;
        if self.windows > EPOCH {
            self.windows = 0;
            self.fastest = [None, self.fastest[0]];
        }
        self.fastest[0] = Some(self.fastest[0].map_or(took, |known| known.min(took)));
        let limit = self.limit.unwrap_or_else(|| float(range.min));
        if self.windows < PROBED && self.fastest[1].is_some() {
            self.limit = Some(limit);
            return rounded(limit / 2.0, range);
        }
        let fastest = self.fastest.into_iter().flatten().fold(took, f64::min);
        let wanted = if window.failed {
            limit * BACKOFF
        } else if float(window.in_flight) < limit / 2.0 {
            // Nobody needs it: nothing was learnt of what would happen.
            limit
        } else {
            let gradient = (TOLERANCE * fastest / took.max(1e-9)).clamp(0.5, 1.0);
            limit * gradient + limit.sqrt()
        };
        let next = limit + (wanted - limit) * if window.failed { 1.0 } else { SMOOTHING };
        let next = next.clamp(float(range.min), float(range.max));
        self.limit = Some(next);
        rounded(next, range)
    }
}

#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within a range of whole positive numbers"
)]
fn rounded(limit: f64, range: Range) -> usize {
    (limit.round() as usize).clamp(range.min, range.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const RANGE: Range = Range { min: 4, max: 500 };

    /// What was learnt, and virtual time.
    struct Timed {
        learnt: Learnt,
        now: Instant,
    }

    impl Timed {
        fn new() -> Self {
            Self {
                learnt: Learnt::default(),
                now: clock::now(),
            }
        }

        /// An exchange, a tenth of a window after the last.
        fn observe(&mut self, took: Duration, in_flight: usize, failed: bool) -> Option<usize> {
            self.now += WINDOW / WINDOW_COUNT + Duration::from_micros(100);
            self.learnt
                .observe(RANGE, self.now, took, in_flight, failed)
        }

        /// A server that does so many things at a time in 10 ms each, and lets others wait, is
        /// asked by as many as may. The limit after so many windows.
        fn settle(&mut self, capacity: usize, windows: u32) -> usize {
            let mut limit = self.learnt.limit(RANGE);
            for _ in 0..windows * WINDOW_COUNT {
                let rounds = float(limit) / float(capacity);
                let took = Duration::from_secs_f64(0.01 * rounds.max(1.0));
                limit = self.observe(took, limit, false).unwrap_or(limit);
            }
            self.learnt.limit(RANGE)
        }
    }

    #[test]
    fn the_limit_settles_near_what_the_server_can_do() {
        for capacity in [20, 60, 150] {
            let found = Timed::new().settle(capacity, 250);
            let (low, high) = (capacity * 3 / 4, capacity * 3);
            assert!((low..=high).contains(&found), "{capacity}: {found}");
        }
    }

    #[test]
    fn a_server_that_is_always_busy_is_not_taken_for_a_slow_one() {
        let mut timed = Timed::new();
        let before = timed.settle(50, 1_000);
        let after = timed.settle(50, 5_000);
        assert!(after < before * 3 / 2, "{before} {after}");
    }

    #[test]
    fn the_limit_follows_a_server_that_becomes_slower() {
        let mut timed = Timed::new();
        let before = timed.settle(100, 200);
        let after = timed.settle(20, 60);
        assert!(after * 2 < before, "{before} {after}");
    }

    #[test]
    fn exchanges_that_fail_for_want_of_time_shrink_it() {
        let mut timed = Timed::new();
        let before = timed.settle(100, 200);
        for _ in 0..10 * WINDOW_COUNT {
            timed.observe(Duration::from_millis(10), before, true);
        }
        let after = timed.learnt.limit(RANGE);
        assert!(after * 2 < before, "{before} {after}");
        assert!(after >= RANGE.min);
    }

    #[test]
    fn a_limit_that_nobody_needs_stays() {
        let mut timed = Timed::new();
        timed.settle(100, 200);
        for _ in 0..2 * WINDOW_COUNT {
            timed.observe(Duration::from_millis(1), 2, false);
        }
        let before = timed.learnt.limit(RANGE);
        for _ in 0..400 * WINDOW_COUNT {
            timed.observe(Duration::from_millis(1), 2, false);
        }
        assert_eq!(timed.learnt.limit(RANGE), before);
        let changed = Range { min: 1, max: 5 };
        assert_eq!(timed.learnt.limit(changed), 5, "a changed range holds");
    }
}
