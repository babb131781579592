//! The arithmetic of a token bucket, as the generic cell rate algorithm keeps it: one number.
//!
//! The state of a bucket is the time at which it will be full again (the *theoretical arrival
//! time* of ITU-T I.371). A request pushes it back by what it costs; it may not be pushed back
//! further than a whole burst from now. Nothing has to be refilled, and a bucket whose time has
//! passed is as good as none.

use std::time::Duration;

use crate::build::Rate;

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// The nanoseconds in which one token comes back. Rounded up: never more than the rate.
    pub(super) interval: u64,
    /// Tokens in a full bucket.
    pub(super) burst: u32,
    /// Tokens that a request takes.
    pub(super) cost: u32,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Nanoseconds until the same request would pass; 0 if it passes.
    pub(super) wait: u64,
    /// Whole tokens that are left.
    pub(super) remaining: u64,
    /// Nanoseconds until the bucket is full.
    pub(super) full_in: u64,
}

/// The longest that a bucket may take to fill: ten years. Beyond that, times since the start of
/// the process might not be told in nanoseconds.
pub(super) const FILL_MAX: Duration = Duration::from_hours(10 * 365 * 24);

impl Quota {
    /// At this rate, with buckets of this size; `None` if one takes longer than [`FILL_MAX`] to
    /// fill.
    pub(super) fn new(rate: Rate, burst: u32, cost: u32) -> Option<Self> {
        let interval = rate.per.as_nanos().div_ceil(u128::from(rate.count));
        let fill = interval.checked_mul(u128::from(burst))?;
        (fill <= FILL_MAX.as_nanos()).then_some(())?;
        Some(Self {
            interval: u64::try_from(interval).ok()?,
            burst,
            cost,
        })
    }

    /// The nanoseconds in which an empty bucket fills.
    pub(super) fn fill(&self) -> u64 {
        self.interval.saturating_mul(self.burst.into())
    }

    /// What becomes of a request at `now`, of a bucket that will be full at `full_at`; and when
    /// the bucket is full then. Both count from any fixed moment, in nanoseconds.
    pub(super) fn take(&self, full_at: u64, now: u64) -> (Verdict, u64) {
        let before = full_at.max(now);
        let after = before.saturating_add(self.interval.saturating_mul(self.cost.into()));
        let latest = now.saturating_add(self.fill());
        if after > latest {
            return (self.verdict(after - latest, before - now), full_at);
        }
        (self.verdict(0, after - now), after)
    }

    /// A verdict, of a bucket that is full in so many nanoseconds.
    pub(super) fn verdict(&self, wait: u64, full_in: u64) -> Verdict {
        let tokens = self.fill().saturating_sub(full_in) / self.interval.max(1);
        Verdict {
            wait,
            remaining: tokens,
            full_in,
        }
    }
}

impl Verdict {
    /// Whether the request passes.
    pub(super) const fn passes(&self) -> bool {
        self.wait == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn quota(rate: &str, burst: u32, cost: u32) -> Quota {
        Quota::new(rate.parse().unwrap(), burst, cost).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let quota = quota("10/s", 3, 1);
        let mut full_at = 0;
        let mut take = |now: u64| {
            let (verdict, after) = quota.take(full_at, now);
            full_at = after;
            (verdict.wait, verdict.remaining, verdict.full_in)
        };
        let start = 7 * SECOND;
        let tenth = SECOND / 10;
        assert_eq!(take(start), (0, 2, tenth));
        assert_eq!(take(start), (0, 1, 2 * tenth));
        assert_eq!(take(start), (0, 0, 3 * tenth));
        // Refused ones cost nothing: waiting as long as it was told is enough.
        assert_eq!(take(start), (tenth, 0, 3 * tenth));
        assert_eq!(take(start + tenth - 1), (1, 0, 2 * tenth + 1));
        assert_eq!(take(start + tenth), (0, 0, 3 * tenth));
        assert_eq!(take(start + 60 * SECOND), (0, 2, tenth));
    }

    #[test]
    fn a_request_may_cost_more_than_one() {
        let quota = quota("60/m", 10, 4);
        let (first, full_at) = quota.take(0, SECOND);
        assert_eq!((first.passes(), first.remaining), (true, 6));
        let (second, full_at) = quota.take(full_at, SECOND);
        assert_eq!((second.passes(), second.remaining), (true, 2));
        let (third, _) = quota.take(full_at, SECOND);
        assert_eq!((third.wait, third.remaining), (2 * SECOND, 2));
    }

    #[test]
    fn intervals_are_never_shorter_than_the_rate() {
        for (rate, interval) in [
            ("3/s", 333_333_334),
            ("1/d", 86_400 * SECOND),
            ("4000000000/s", 1),
        ] {
            assert_eq!(quota(rate, 1, 1).interval, interval, "{rate}");
        }
        assert_eq!(Quota::new("1/3650d".parse().unwrap(), 2, 1), None);
        assert!(Quota::new("1/3650d".parse().unwrap(), 1, 1).is_some());
    }
}
