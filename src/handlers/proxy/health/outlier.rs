//! Outliers: endpoints that fail too often are taken out of service for a while, by what
//! requests tell of them.
//!
//! Two things count: failures in a row, noticed at once; and a failure rate well above that of
//! all peers together, looked at once an interval. Each time out is twice as long as the one
//! before, and an interval in service takes one such step back. When everything fails nobody is
//! an outlier: never more than the stated share is out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Standing, Verdicts};
use crate::build::{Percent, Probe};
use crate::clock;
use crate::handlers::proxy::endpoint::Endpoint;
use crate::handlers::proxy::roster::Roster;

/// When an endpoint is an outlier, and for how long it is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::handlers::proxy) struct Outliers {
    /// Failures in a row; 0 for any number.
    pub(in crate::handlers::proxy) consecutive_failures: u32,
    /// How far above that of its peers its failure rate may be.
    pub(in crate::handlers::proxy) failure_rate_margin: Option<Percent>,
    /// How many requests an interval must have had for its rate to say something.
    pub(in crate::handlers::proxy) minimum_requests: u32,
    /// How often rates are compared.
    pub(in crate::handlers::proxy) interval: Duration,
    /// How long the first time out is.
    pub(in crate::handlers::proxy) ejection_time: Duration,
    /// How long it gets at most.
    pub(in crate::handlers::proxy) ejection_time_max: Duration,
    /// Which share of the endpoints may be out.
    pub(in crate::handlers::proxy) max_ejected: Percent,
}

/// What requests tell of an endpoint.
#[derive(Debug, Default)]
pub(in crate::handlers::proxy) struct Passive {
    in_a_row: AtomicU32,
    /// Of this interval: how many went well in the low half, how many failed in the high.
    interval: AtomicU64,
    /// How often it was ejected, less the intervals it was in service since.
    ejections: AtomicU32,
}

/// A failure, in the high half of an interval's counts.
const FAILURE: u64 = 1 << 32;

impl Passive {
    /// Takes in how a request went; whether the endpoint has now failed too often in a row.
    pub(in crate::handlers::proxy) fn take(&self, well: bool, outliers: &Outliers) -> bool {
        let one = if well { 1 } else { FAILURE };
        self.interval.fetch_add(one, Ordering::Relaxed);
        if well {
            // Read first: a store would take the line from the other workers each time.
            if self.in_a_row.load(Ordering::Relaxed) != 0 {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
            return false;
        }
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        outliers.consecutive_failures != 0 && in_a_row >= outliers.consecutive_failures
    }

    /// What went well and what failed since it was last asked.
    fn take_interval(&self) -> (u64, u64) {
        let counts = self.interval.swap(0, Ordering::Relaxed);
        (counts & (FAILURE - 1), counts >> 32)
    }

    /// How long the next time out is.
    fn next_ejection(&self, outliers: &Outliers) -> Duration {
        let before = self.ejections.fetch_add(1, Ordering::Relaxed);
        // Beyond 2^16 times anything is longer than the maximum.
        let factor = 1 << before.min(16);
        let time = outliers.ejection_time.saturating_mul(factor);
        time.min(outliers.ejection_time_max)
    }

    /// An interval in service: the next time out will be shorter again.
    fn forgive(&self) {
        let less = |ejections: u32| ejections.checked_sub(1);
        // Nothing to forgive is no error.
        let _ = self
            .ejections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Takes an endpoint out of service, unless too many are out already. `now` is milliseconds of
/// the process's life.
pub(in crate::handlers::proxy) fn eject(
    endpoint: &Endpoint,
    roster: &Roster,
    outliers: &Outliers,
    cause: &str,
    now: u64,
) -> bool {
    let _one_at_a_time = roster.ejecting();
    let endpoints = roster.endpoints();
    let is_out = |own: &Standing| own.is(Verdicts::EJECTED) && !own.ends_ejection(now);
    let out = endpoints
        .iter()
        .filter(|own| is_out(&own.state.standing))
        .count() as u64;
    let standing = &endpoint.state.standing;
    let passive = &endpoint.state.passive;
    passive.in_a_row.store(0, Ordering::Relaxed);
    if out >= outliers.max_ejected.of(endpoints.len() as u64) || is_out(standing) {
        return false;
    }
    let time = passive.next_ejection(outliers);
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let cause = format!("{cause}; out for {time:?}");
    standing.eject(now.saturating_add(millis), cause)
}

/// Compares the endpoints of an upstream with each other now and then, and ends ejections that
/// no request asks about.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Comparison {
    upstream: Arc<str>,
    roster: Arc<Roster>,
    outliers: Arc<Outliers>,
}

impl Comparison {
    pub(in crate::handlers::proxy) const fn new(
        upstream: Arc<str>,
        roster: Arc<Roster>,
        outliers: Arc<Outliers>,
    ) -> Self {
        Self {
            upstream,
            roster,
            outliers,
        }
    }

    fn compare(&self, now: u64) {
        let endpoints = self.roster.endpoints();
        let counts: Vec<(u64, u64)> = endpoints
            .iter()
            .map(|own| own.state.passive.take_interval())
            .collect();
        let all = counts
            .iter()
            .fold((0, 0), |all, own| (all.0 + own.0, all.1 + own.1));
        for (endpoint, own) in endpoints.iter().zip(&counts) {
            let standing = &endpoint.state.standing;
            if standing.is(Verdicts::EJECTED) {
                standing.ends_ejection(now);
                continue;
            }
            let peers = (all.0 - own.0, all.1 - own.1);
            match self.excess(*own, peers) {
                Some(cause) => {
                    eject(endpoint, &self.roster, &self.outliers, &cause, now);
                }
                None => endpoint.state.passive.forgive(),
            }
        }
    }

    /// Why these counts are those of an outlier, if they are.
    fn excess(&self, own: (u64, u64), peers: (u64, u64)) -> Option<String> {
        let margin = self.outliers.failure_rate_margin?;
        let enough = |(well, failed): (u64, u64)| {
            well + failed >= u64::from(self.outliers.minimum_requests.max(1))
        };
        if !enough(own) || !enough(peers) {
            return None;
        }
        let (own, peers) = (hundredths(own), hundredths(peers));
        (own >= peers + margin.of(10_000)).then(|| {
            format!(
                "{} % of its requests failed, against {} % of its peers'",
                own / 100,
                peers / 100
            )
        })
    }
}

/// The failure rate in hundredths of a percent.
const fn hundredths((well, failed): (u64, u64)) -> u64 {
    failed * 10_000 / (well + failed)
}

impl Probe for Comparison {
    fn name(&self) -> String {
        format!("comparison of the endpoints of upstream {}", self.upstream)
    }

    fn interval(&self) -> Duration {
        self.outliers.interval
    }

    fn run(&self) {
        self.compare(clock::millis());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::proxy::roster::testing::roster;

    fn outliers() -> Outliers {
        Outliers {
            consecutive_failures: 3,
            failure_rate_margin: Some(Percent::whole(30)),
            minimum_requests: 10,
            interval: Duration::from_secs(10),
            ejection_time: Duration::from_secs(30),
            ejection_time_max: Duration::from_mins(5),
            max_ejected: Percent::whole(50),
        }
    }

    fn is_out(roster: &Roster, index: usize, now: u64) -> bool {
        let standing = &roster.endpoints()[index].state.standing;
        !standing.is_in_service(Verdicts::EJECTED, now)
    }

    #[test]
    fn failures_in_a_row_are_counted_and_a_success_forgets_them() {
        let passive = Passive::default();
        let told = [false, false, true, false, false, false, false];
        let found: Vec<bool> = told
            .iter()
            .map(|well| passive.take(*well, &outliers()))
            .collect();
        assert_eq!(found, [false, false, false, false, false, true, true]);
        let never = Outliers {
            consecutive_failures: 0,
            ..outliers()
        };
        assert!(!passive.take(false, &never));
    }

    #[test]
    fn times_out_double_up_to_a_bound_and_are_forgiven() {
        let roster = roster(4);
        let endpoint = &roster.endpoints()[0];
        let mut now = 0;
        for seconds in [30, 60, 120, 240, 300, 300] {
            assert!(eject(endpoint, &roster, &outliers(), "", now));
            now += seconds * 1_000;
            assert!(is_out(&roster, 0, now - 1), "{seconds}");
            assert!(!is_out(&roster, 0, now), "{seconds}");
        }
        for _ in 0..5 {
            endpoint.state.passive.forgive();
        }
        assert!(eject(endpoint, &roster, &outliers(), "", now));
        assert!(!is_out(&roster, 0, now + 60_000));
    }

    #[test]
    fn never_more_than_the_stated_share_is_out() {
        for (count, expected) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            let roster = roster(count);
            let ejected = roster
                .endpoints()
                .iter()
                .filter(|own| eject(own, &roster, &outliers(), "", 0))
                .count();
            assert_eq!(ejected, expected, "of {count}");
        }
    }

    type Case = (&'static [(u32, u32)], &'static [usize]);

    #[test]
    fn who_fails_more_than_its_peers_is_out_and_a_common_failure_is_nobodys() {
        // Of each endpoint: how many went well, and how many failed; and who is out then.
        let cases: [Case; 5] = [
            (&[(100, 0), (100, 0), (60, 40)], &[2]),
            (&[(100, 0), (100, 0), (75, 25)], &[]),
            (&[(10, 90), (10, 90), (10, 90)], &[]),
            (&[(100, 0), (0, 9), (100, 0)], &[]),
            (&[(0, 50), (50, 0)], &[0]),
        ];
        for (counts, expected) in cases {
            let roster = Arc::new(roster(counts.len()));
            let unlimited = Outliers {
                consecutive_failures: 0,
                ..outliers()
            };
            for (endpoint, (well, failed)) in roster.endpoints().iter().zip(counts) {
                for request in 0..well + failed {
                    assert!(!endpoint.state.passive.take(request < *well, &unlimited));
                }
            }
            let outliers = Arc::new(unlimited);
            let comparison = Comparison::new("backend".into(), Arc::clone(&roster), outliers);
            comparison.compare(0);
            let out: Vec<usize> = (0..counts.len())
                .filter(|index| is_out(&roster, *index, 0))
                .collect();
            assert_eq!(out, expected, "{counts:?}");
            // The next interval begins anew, and the time out ends without a request.
            comparison.compare(29_999);
            assert_eq!(
                is_out(&roster, expected.first().copied().unwrap_or(0), 0),
                !expected.is_empty()
            );
            comparison.compare(30_000);
            assert!((0..counts.len()).all(|index| !is_out(&roster, index, 0)));
        }
    }
}
