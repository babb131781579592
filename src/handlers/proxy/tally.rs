//! What a proxy counts, by upstream.

use crate::telemetry::{Count, Metrics};

/// The numbers of one upstream.
#[derive(Debug)]
pub(super) struct Tally {
    retried: Count,
    denied: Count,
    hedged: Count,
}

impl Tally {
    pub(super) fn new(metrics: &Metrics, upstream: &str) -> Self {
        let labels = || vec![("upstream", upstream.into())];
        Self {
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
