//! Buckets that many daemons share: kept by a Redis or Valkey server, which runs `take.lua` for
//! each request. One round trip, by the clock of the server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::gcra::{Quota, Verdict};
use super::link::{Failure, Link};
use super::remote::Server;
use crate::exchange::WorkerLocals;
use crate::telemetry::{Count, metrics::Metrics};

/// What the server runs.
const SCRIPT: &str = include_str!("take.lua");

/// Where buckets are shared, and what is done when they cannot be asked.
#[derive(Debug)]
pub(super) struct Shared {
    server: Arc<Server>,
    /// What every key of this policy begins with.
    prefix: Box<str>,
    quota: Ticks,
    timeout: Duration,
    pub(super) on_error: OnError,
    failures: Failures,
}

/// What becomes of a request when the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnError {
    /// It passes.
    Allow,
    /// It is answered with 503.
    Deny,
    /// The buckets of this process decide.
    #[default]
    Local,
}

/// A question within a data centre takes less than a millisecond: a server that takes fifty hangs.
/// And a request that is late by as much is hardly noticed.
pub(super) const TIMEOUT: Duration = Duration::from_millis(50);

/// The longest that a shared bucket may take to fill: a year, so that its times stay exact.
pub(super) const FILL_MAX: Duration = Duration::from_hours(365 * 24);

/// A quota in the script's ticks.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    interval: u64,
    cost: u64,
    holds: u64,
}

/// Questions without an answer, by what was missing.
#[derive(Debug)]
struct Failures {
    unreachable: Count,
    timeout: Count,
    refused: Count,
}

impl Shared {
    pub(super) fn new(
        server: Arc<Server>,
        name: &str,
        quota: &Quota,
        timeout: Duration,
        on_error: OnError,
        metrics: &Metrics,
    ) -> Self {
        let count = |why: &str| {
            metrics.count(
                "httpserverd_rate_limit_store_failures_total",
                "Requests for which the store of a rate limit gave no answer.",
                vec![("name", name.into()), ("why", why.into())],
            )
        };
        Self {
            server,
            prefix: format!("httpserverd:rate_limit:{name}:").into(),
            quota: Ticks::new(quota),
            timeout,
            on_error,
            failures: Failures {
                unreachable: count("unreachable"),
                timeout: count("timeout"),
                refused: count("refused"),
            },
        }
    }

    /// This worker's way to the server.
    pub(super) fn link(&self, locals: &WorkerLocals) -> Rc<Link> {
        Link::to(&self.server, SCRIPT, locals)
    }

    /// Asks for a request of this key; `None` if nobody answers.
    pub(super) async fn take(&self, link: Rc<Link>, key: &[u8], worker: usize) -> Option<Verdict> {
        let name = self.name(key);
        let arguments = [self.quota.cost, self.quota.holds];
        let asked = link.ask(&self.server, name.as_bytes(), arguments, self.timeout);
        let answer = asked.await;
        let failures = &self.failures;
        let failure = match answer {
            Ok((wait, full_in)) => return Some(self.quota.verdict(wait, full_in)),
            Err(Failure::Unreachable) => &failures.unreachable,
            Err(Failure::Timeout) => &failures.timeout,
            Err(Failure::Refused) => &failures.refused,
        };
        failure.add(worker, 1);
        None
    }

    /// What the server knows a key by: a digest, so that it is short, and tells no address and no
    /// credential to who reads there.
    fn name(&self, key: &[u8]) -> String {
        let digest = Sha256::digest(key);
        let mut name = String::with_capacity(self.prefix.len() + 32);
        name.push_str(&self.prefix);
        // Half of it: 128 bits, which nobody makes collide by chance or by trying.
        for byte in digest.iter().take(16) {
            let digits = [byte >> 4, byte & 0xF].map(u32::from);
            name.extend(
                digits
                    .iter()
                    .filter_map(|digit| char::from_digit(*digit, 16)),
            );
        }
        name
    }
}

/// Sixteen ticks are a microsecond.
const NANOSECONDS_IN_TWO_TICKS: u64 = 125;

impl Ticks {
    /// Rounded up: never more than the rate.
    fn new(quota: &Quota) -> Self {
        let doubled = quota.interval.saturating_mul(2);
        let interval = doubled.div_ceil(NANOSECONDS_IN_TWO_TICKS);
        Self {
            interval,
            cost: interval.saturating_mul(quota.cost.into()),
            holds: interval.saturating_mul(quota.burst.into()),
        }
    }

    fn verdict(&self, wait: u64, full_in: u64) -> Verdict {
        let nanoseconds = |ticks: u64| {
            let doubled = ticks.saturating_mul(NANOSECONDS_IN_TWO_TICKS);
            doubled.div_ceil(2)
        };
        Verdict {
            wait: nanoseconds(wait),
            remaining: self.holds.saturating_sub(full_in) / self.interval.max(1),
            full_in: nanoseconds(full_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(rate: &str, burst: u32, cost: u32) -> Ticks {
        Ticks::new(&Quota::new(rate.parse().unwrap(), burst, cost).unwrap())
    }

    #[test]
    fn ticks_are_never_faster_than_the_rate() {
        for (rate, interval) in [
            ("1/s", 16_000_000),
            ("3/s", 5_333_334),
            ("1000000/s", 16),
            ("4000000000/s", 1),
        ] {
            assert_eq!(ticks(rate, 1, 1).interval, interval, "{rate}");
        }
    }

    #[test]
    fn an_answer_reads_like_that_of_the_local_buckets() {
        let ticks = ticks("10/s", 3, 1);
        let tenth = 1_600_000;
        let read = |wait, full_in| {
            let verdict = ticks.verdict(wait, full_in);
            (verdict.wait, verdict.remaining, verdict.full_in)
        };
        assert_eq!(read(0, tenth), (0, 2, 100_000_000));
        assert_eq!(read(tenth, 3 * tenth), (100_000_000, 0, 300_000_000));
        assert_eq!(read(1, 2 * tenth + 1), (63, 0, 200_000_063));
    }

    #[test]
    fn a_key_is_told_by_its_digest() {
        let server = Server::parse("redis://10.0.0.5").unwrap();
        let quota = Quota::new("1/s".parse().unwrap(), 1, 1).unwrap();
        let metrics = Metrics::default();
        let shared = Shared::new(
            Arc::new(server),
            "api",
            &quota,
            TIMEOUT,
            OnError::Local,
            &metrics,
        );
        // SHA-256 of "abc", halved.
        assert_eq!(
            shared.name(b"abc"),
            "httpserverd:rate_limit:api:ba7816bf8f01cfea414140de5dae2223"
        );
    }
}
