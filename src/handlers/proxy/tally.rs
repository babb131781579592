//! What a proxy counts, by upstream.

use crate::exchange::Why;
use crate::telemetry::{Count, Metrics};

/// The words that tries fail with.
const WHYS: [Why; 9] = [
    Why::NoEndpoint,
    Why::ConnectRefused,
    Why::ConnectFailed,
    Why::ConnectTimeout,
    Why::FirstByteTimeout,
    Why::IdleTimeout,
    Why::UpstreamReset,
    Why::UpstreamBadHead,
    Why::RetriedStatus,
];

/// The numbers of one upstream.
#[derive(Debug)]
pub(super) struct Tally {
    failed: Box<[(Why, Count)]>,
    retried: Count,
    denied: Count,
    hedged: Count,
}

impl Tally {
    pub(super) fn new(metrics: &Metrics, upstream: &str) -> Self {
        let labels = || vec![("upstream", upstream.into())];
        let failed = WHYS.into_iter().map(|why| {
            let mut labels = labels();
            labels.push(("why", why.as_str().into()));
            let count = metrics.count(
                "httpserverd_proxy_failed_tries_total",
                "Tries that came to nothing, by why.",
                labels,
            );
            (why, count)
        });
        Self {
            failed: failed.collect(),
            retried: metrics.count(
                "httpserverd_proxy_retries_total",
                "Requests tried once more.",
                labels(),
            ),
            denied: metrics.count(
                "httpserverd_proxy_retries_denied_total",
                "Retries that the budget did not allow.",
                labels(),
            ),
            hedged: metrics.count(
                "httpserverd_proxy_hedges_total",
                "Second tries beside a first that took long.",
                labels(),
            ),
        }
    }

    /// A try came to nothing.
    pub(super) fn failed(&self, worker: usize, why: Why) {
        if let Some((_, count)) = self.failed.iter().find(|(known, _)| *known == why) {
            count.add(worker, 1);
        }
    }

    /// A retry was wanted, and allowed or not.
    pub(super) fn retried(&self, worker: usize, allowed: bool) {
        let count = if allowed { &self.retried } else { &self.denied };
        count.add(worker, 1);
    }

    /// A second try was begun beside the first.
    pub(super) fn hedged(&self, worker: usize) {
        self.hedged.add(worker, 1);
    }
}
