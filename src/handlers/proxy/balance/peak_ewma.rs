//! Peak-EWMA: the endpoint that would answer soonest, by how long its answers took lately and
//! how many are under way.
//!
//! A latency above the average takes effect at once (the peak), one below it slowly (the
//! average). What was measured fades while nothing new is, so that an endpoint that was slow is
//! tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::round_robin::Rotation;
use super::{Candidates, by_weight};

/// In this time what was measured loses most of its say (a factor of e). Long against an answer,
/// short against an outage.
const DECAY_MS: u64 = 10_000;

/// What an endpoint of unknown latency is taken to need while its first answer is awaited, in
/// microseconds: more than any healthy one, so that it gets one request and not a flood.
const UNKNOWN_US: u64 = 1_000_000;

/// What a failure counts as, at least: an endpoint that fails fast is not a fast one.
pub(in crate::handlers::proxy) const FAILURE: Duration = Duration::from_secs(1);

/// How long an endpoint's answers take: shared by all workers.
///
/// When it was measured (in milliseconds, 32 bits: they wrap after 49 days, and a measurement
/// that old has long faded) stands in the high half, the average in microseconds in the low.
#[derive(Debug, Default)]
pub(in crate::handlers::proxy) struct Latency(AtomicU64);

impl Latency {
    /// Takes in one measurement.
    pub(in crate::handlers::proxy) fn observe(&self, latency: Duration, now_ms: u64) {
        let latency = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let take = |packed| {
            let faded = faded(packed, now_ms);
            let average = if latency >= faded {
                latency
            } else {
                // Its weight is the time it stands for, as far as that is known.
                average(faded, latency, left(packed, now_ms).min(0.9))
            };
            Some(now_ms << 32 | average.min(u64::from(u32::MAX)))
        };
        // It always gives a value, so nothing fails here.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }

    /// The average as it is now, in microseconds; 0 if nothing was measured yet.
    pub(in crate::handlers::proxy) fn at(&self, now_ms: u64) -> u64 {
        faded(self.0.load(Ordering::Relaxed), now_ms)
    }
}

/// Which part of what was measured is left: 1.0 at once, less and less later.
fn left(packed: u64, now_ms: u64) -> f64 {
    let age = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or_default();
    let age = age.wrapping_sub(u32::try_from(packed >> 32).unwrap_or_default());
    // Another worker's coarse clock may be a little ahead.
    let age = if age > u32::MAX - 1_000 { 0 } else { age };
    (-f64::from(age) / f64::from(u32::try_from(DECAY_MS).unwrap_or(u32::MAX))).exp()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "microseconds of 32 bits"
)]
fn faded(packed: u64, now_ms: u64) -> u64 {
    let measured = packed & u64::from(u32::MAX);
    if measured == 0 {
        return 0;
    }
    ((measured as f64 * left(packed, now_ms)) as u64).max(1)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "microseconds of 32 bits"
)]
fn average(old: u64, new: u64, weight: f64) -> u64 {
    ((old as f64 * weight) + (new as f64 * (1.0 - weight))) as u64
}

pub(super) fn next(of: &impl Candidates, rotation: &Rotation) -> Option<usize> {
    let cost = |index: usize| {
        let active = u64::from(of.active(index));
        let latency = match of.latency(index) {
            0 if active == 0 => 0,
            0 => UNKNOWN_US,
            known => known,
        };
        (latency.saturating_mul(active + 1), of.weight(index))
    };
    let least = (0..of.count())
        .filter(|&index| of.may(index))
        .map(cost)
        .min_by(|&left, &right| by_weight(left, right))?;
    rotation.next(of, |index| by_weight(cost(index), least).is_le())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Endpoints;
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn peaks_count_at_once_and_fade() {
        let latency = Latency::default();
        assert_eq!(latency.at(0), 0);
        latency.observe(ms(10), 1_000);
        assert_eq!(latency.at(1_000), 10_000);
        latency.observe(ms(100), 1_000);
        assert_eq!(latency.at(1_000), 100_000);
        // A fast answer right after it does not hide the peak.
        latency.observe(ms(10), 1_001);
        assert!(latency.at(1_001) > 80_000, "{}", latency.at(1_001));
        // After one decay time a third is left, after ten nothing that matters.
        let third = latency.at(1_001 + DECAY_MS);
        assert!((30_000..40_000).contains(&third), "{third}");
        assert!(latency.at(1_001 + 10 * DECAY_MS) < 10);
        // Milliseconds wrap.
        latency.observe(ms(5), u64::from(u32::MAX));
        assert_eq!(latency.at(u64::from(u32::MAX) + 2) / 100, 49);
    }

    #[test]
    fn the_soonest_is_taken_and_the_unknown_is_tried_once() {
        let mut endpoints = Endpoints::weighted(&[1, 1, 1]);
        let rotation = Rotation::new(3, 0);
        (endpoints.0[0].latency, endpoints.0[1].latency) = (10_000, 50_000);
        assert_eq!(next(&endpoints, &rotation), Some(2));
        endpoints.0[2].active = 1;
        assert_eq!(next(&endpoints, &rotation), Some(0));
        endpoints.0[0].active = 4;
        // 5 × 10 ms against 1 × 50 ms: equal, so turns decide; one more, and the slow one goes.
        endpoints.0[0].active = 5;
        assert_eq!(next(&endpoints, &rotation), Some(1));
        endpoints.0.iter_mut().for_each(|own| own.may = false);
        assert_eq!(next(&endpoints, &rotation), None);
    }
}
