//! Telling the log of what others can cause at will: at a bounded rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;

/// How often the same is told: who reads along sees that it goes on, and can read what else there
/// is. Numbers have every one.
const INTERVAL: Duration = Duration::from_secs(10);

/// Something that is told now and then, of one worker or of all. Holds no settings.
#[derive(Debug, Default)]
pub struct Seldom {
    /// From when on it may be told again, in the milliseconds of the clock.
    due: AtomicU64,
}

impl Seldom {
    /// Whether to tell of it now; then not again for ten seconds. Of several workers that ask, one
    /// is told so.
    pub fn is_due(&self) -> bool {
        self.is_due_every(INTERVAL)
    }

    /// The same for what has an interval of its own.
    pub fn is_due_every(&self, interval: Duration) -> bool {
        self.is_due_at(clock::millis(), interval)
    }

    fn is_due_at(&self, now: u64, interval: Duration) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let next = now.saturating_add(interval);
        let order = Ordering::Relaxed;
        now >= due && self.due.compare_exchange(due, next, order, order).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_after_the_interval() {
        let seldom = Seldom::default();
        let times = [0, 0, 9_999, 10_000, 10_001, 19_999, 20_000, 50_000, 50_001];
        let told = times.map(|now| seldom.is_due_at(now, INTERVAL));
        let expected = [true, false, false, true, false, false, true, true, false];
        assert_eq!(told, expected);
    }
}
