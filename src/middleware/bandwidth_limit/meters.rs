//! What has gone in a direction, for each that is counted apart.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::middleware::request_key;

/// Up to so many keys nobody looks for those that are done with. Arbitrary: they take some 10 KiB.
const SWEPT_FROM: usize = 128;

/// One direction of one exchange, or of all exchanges that share it. Holds no settings.
#[derive(Debug)]
pub(super) struct Meter {
    /// When all that was reserved is paid for, in nanoseconds from `epoch`.
    paid_at: AtomicU64,
    epoch: Instant,
}

/// The meters that are shared, by key. Kept across reloads.
pub(super) struct Meters {
    kept: Mutex<Kept>,
    hash: RandomState,
}

struct Kept {
    meters: HashMap<u64, Arc<Meter>>,
    /// At how many those are looked for that are done with.
    swept_at: usize,
}

impl Meter {
    /// A direction that has been still for as long as anyone is owed for.
    pub(super) fn new(pace: &Pace, now: Instant) -> Self {
        let epoch = now.checked_sub(pace.longest()).unwrap_or(now);
        Self {
            paid_at: AtomicU64::new(0),
            epoch,
        }
    }

    /// Reserves bytes; how long they must wait.
    pub(super) fn reserve(&self, pace: &Pace, bytes: u64, now: Instant) -> Duration {
        let now = self.since_epoch(now);
        let paid_at = |paid_at| Some(pace.reserve(paid_at, bytes, now));
        let order = Ordering::Relaxed;
        let before = self.paid_at.fetch_update(order, order, paid_at);
        // The closure always gives a value.
        let before = before.unwrap_or_else(|before| before);
        let goes_at = pace.reserve(before, bytes, now);
        Duration::from_nanos(goes_at.saturating_sub(now))
    }

    /// Reserves bytes if they need not wait; whether it did.
    pub(super) fn reserve_now(&self, pace: &Pace, bytes: u64, now: Instant) -> bool {
        let now = self.since_epoch(now);
        let paid_at = |paid_at| Some(pace.reserve(paid_at, bytes, now)).filter(|at| *at <= now);
        let order = Ordering::Relaxed;
        self.paid_at.fetch_update(order, order, paid_at).is_ok()
    }

    /// Whether it owes a whole burst again, and so is as good as a new one.
    fn is_still(&self, pace: &Pace, now: Instant) -> bool {
        let now = self.since_epoch(now);
        pace.reserve(self.paid_at.load(Ordering::Relaxed), 0, now) == pace.reserve(0, 0, now)
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                meters: HashMap::new(),
                swept_at: SWEPT_FROM,
            }),
            hash: RandomState::new(),
        }
    }

    /// The meter of a key. There are never many more than are in use or were a burst ago: what
    /// nobody uses, and is as good as new, goes when there are twice as many as after the last
    /// look.
    pub(super) fn of(&self, key: &[u8], pace: &Pace, now: Instant) -> Arc<Meter> {
        let key = request_key::hash(key, self.hash.build_hasher());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = kept.meters.get(&key) {
            return Arc::clone(meter);
        }
        if kept.meters.len() >= kept.swept_at {
            kept.meters
                .retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.is_still(pace, now));
            kept.meters.shrink_to(SWEPT_FROM);
            kept.swept_at = SWEPT_FROM.max(kept.meters.len() * 2);
        }
        let meter = Arc::new(Meter::new(pace, now));
        kept.meters.insert(key, Arc::clone(&meter));
        meter
    }

    fn len(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.meters.len()
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meters({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::ByteRate;
    use crate::clock;

    #[test]
    fn who_shares_a_meter_shares_the_rate() {
        let pace = Pace::new(ByteRate(1000), None).unwrap();
        let meters = Meters::new();
        let now = clock::now();
        let (first, again) = (meters.of(b"a", &pace, now), meters.of(b"a", &pace, now));
        assert_eq!(first.reserve(&pace, 1000, now), Duration::ZERO);
        assert_eq!(again.reserve(&pace, 500, now), Duration::from_millis(500));
        assert_eq!(first.reserve(&pace, 500, now), Duration::from_secs(1));
        let other = meters.of(b"b", &pace, now);
        assert_eq!(other.reserve(&pace, 1000, now), Duration::ZERO);
        // Who comes back soon finds what is left; who comes back late, all of it.
        drop((first, again));
        let soon = now + Duration::from_secs(2);
        let back = meters.of(b"a", &pace, soon);
        assert_eq!(back.reserve(&pace, 1000, soon), Duration::ZERO);
    }

    #[test]
    fn meters_that_are_as_good_as_new_go() {
        let pace = Pace::new(ByteRate(1000), None).unwrap();
        let meters = Meters::new();
        let now = clock::now();
        let used = meters.of(b"used", &pace, now);
        for key in 0..1000_u32 {
            let meter = meters.of(&key.to_ne_bytes(), &pace, now);
            let spent = u64::from(key < 100) * 1000;
            meter.reserve(&pace, spent, now);
        }
        // Those that were spent are kept, and the one in use.
        let count = meters.len();
        assert!((101..=400).contains(&count), "{count}");
        let later = now + Duration::from_secs(10);
        for key in 0..1000_u32 {
            meters.of(
                &[1, 1, key.to_ne_bytes()[0], key.to_ne_bytes()[1], 9],
                &pace,
                later,
            );
        }
        let count = meters.len();
        assert!((1..=2 * SWEPT_FROM).contains(&count), "{count}");
        assert!(Arc::ptr_eq(&used, &meters.of(b"used", &pace, later)));
    }
}
