//! The arithmetic of pacing: who sends reserves its bytes, and learns when they may go.
//!
//! What is kept of a direction is one time: when all that was reserved is paid for, at the rate.
//! Who has sent less than it might is owed as much as a burst, and no more. Those who share a
//! direction are served in the order in which they reserve.

use std::time::Duration;

use crate::build::ByteRate;

/// How fast bytes may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Bytes a second; never 0.
    rate: u64,
    /// How many bytes may go at once.
    burst: u64,
}

/// What waits less than the worker's deadlines can tell is not cut smaller: this part of a second
/// goes at a time.
const PIECES_A_SECOND: u64 = 10;

/// The largest piece: as much as is read of a file at a time.
const PIECE_MAX: u64 = 64 << 10;

impl Pace {
    /// At this rate; without a burst, what it gives in a second may go at once. `None` if the
    /// burst is less than what goes while a deadline is late.
    pub(super) fn new(rate: ByteRate, burst: Option<u64>) -> Option<Self> {
        let burst = burst.unwrap_or(rate.0);
        (rate.0 > 0 && burst >= Self::burst_min(rate)).then_some(Self {
            rate: rate.0,
            burst,
        })
    }

    /// The smallest burst: a quarter of a second's. Deadlines are noticed up to a tenth of a
    /// second late, and what was missed by that must be made up for.
    pub(super) fn burst_min(rate: ByteRate) -> u64 {
        rate.0.div_ceil(4)
    }

    /// How many bytes are reserved at a time.
    pub(super) fn piece(&self) -> u64 {
        (self.rate / PIECES_A_SECOND).clamp(1, PIECE_MAX)
    }

    /// Reserves bytes at `now` of a direction whose bytes are paid for at `paid_at`. When all of
    /// them are paid for then: that is when they may go. All in nanoseconds from any moment that
    /// is further back than a burst takes.
    pub(super) fn reserve(&self, paid_at: u64, bytes: u64, now: u64) -> u64 {
        let owed = now.saturating_sub(self.nanoseconds(self.burst));
        paid_at.max(owed).saturating_add(self.nanoseconds(bytes))
    }

    /// The nanoseconds in which so many bytes go. Rounded up: never faster than the rate.
    pub(super) fn nanoseconds(&self, bytes: u64) -> u64 {
        let nanoseconds = u128::from(bytes) * 1_000_000_000;
        let nanoseconds = nanoseconds.div_ceil(u128::from(self.rate.max(1)));
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    /// How far back the moment must be from which times are counted.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds(self.burst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(rate: u64, burst: u64) -> Pace {
        Pace::new(ByteRate(rate), Some(burst)).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_what_follows_at_the_rate() {
        let pace = pace(1000, 500);
        let now = 100 * SECOND;
        let mut paid_at = 0;
        let mut wait = |bytes, now| {
            paid_at = pace.reserve(paid_at, bytes, now);
            paid_at.saturating_sub(now)
        };
        assert_eq!(wait(500, now), 0);
        assert_eq!(wait(100, now), SECOND / 10);
        assert_eq!(wait(100, now), SECOND / 5);
        // Late by a tenth: it is made up for.
        assert_eq!(wait(100, now + 3 * SECOND / 10), 0);
        assert_eq!(wait(100, now + 3 * SECOND / 10), SECOND / 10);
        // What was not sent for a minute is not owed.
        assert_eq!(wait(500, now + 60 * SECOND), 0);
        assert_eq!(wait(1, now + 60 * SECOND), SECOND / 1000);
    }

    #[test]
    fn a_burst_is_a_quarter_of_a_second_at_least() {
        assert_eq!(Pace::new(ByteRate(1000), Some(249)), None);
        assert!(Pace::new(ByteRate(1000), Some(250)).is_some());
        assert_eq!(Pace::new(ByteRate(1000), None), Some(pace(1000, 1000)));
        assert_eq!(Pace::new(ByteRate(0), None), None);
    }

    #[test]
    fn pieces_are_a_tenth_of_a_second_and_never_large() {
        for (rate, piece) in [(1, 1), (1000, 100), (1 << 30, 64 << 10)] {
            assert_eq!(Pace::new(ByteRate(rate), None).unwrap().piece(), piece);
        }
    }

    proptest! {
        /// Whatever is asked for when, what has gone by a time is at most a burst and what the
        /// rate gives until then.
        #[test]
        fn no_more_goes_than_the_rate_and_one_burst(
            rate in 1_u64..1_000_000_000,
            more in 0_u64..4_000_000_000,
            asked in prop::collection::vec((1_u64..100_000, 0_u64..2 * SECOND), 1..100),
        ) {
            let pace = pace(rate, rate.div_ceil(4) + more);
            // Far enough back.
            let start = 20_000_000 * SECOND;
            let (mut now, mut paid_at, mut total) = (start, 0, 0_u64);
            for (bytes, pause) in asked {
                now += pause;
                paid_at = pace.reserve(paid_at, bytes, now);
                total += bytes;
                let goes_at = paid_at.max(now);
                let given = u128::from(goes_at - start) * u128::from(rate) / u128::from(SECOND);
                prop_assert!(u128::from(total) <= given + u128::from(pace.burst) + 1);
                now = goes_at;
            }
        }
    }
}
