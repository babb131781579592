//! What a cache counts.

use super::store::Changed;
use crate::telemetry::{Count, Gauge, Metrics};

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// From what is stored and fresh.
    Hit,
    /// From what is stored and stale.
    Stale,
    /// From what is stored, after the origin said that it holds.
    Revalidated,
    /// From what another request was already fetching.
    Collapsed,
    /// By the origin.
    Miss,
    /// By the origin, and the cache had no part in it.
    Bypass,
}

/// The numbers of one named cache.
#[derive(Debug)]
pub(super) struct Numbers {
    requests: [Count; 6],
    evicted: Count,
    purged: Count,
    bytes: Gauge,
}

impl Answered {
    const ALL: [Self; 6] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Collapsed,
        Self::Miss,
        Self::Bypass,
    ];

    /// The word for logs and numbers.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

impl Numbers {
    pub(super) fn new(metrics: &Metrics, name: &str) -> Self {
        let own = || vec![("name", name.into())];
        let requests = Answered::ALL.map(|answered| {
            let labels = vec![("name", name.into()), ("result", answered.as_str().into())];
            metrics.count(
                "httpserverd_cache_requests_total",
                "Requests by how the cache answered them.",
                labels,
            )
        });
        Self {
            requests,
            evicted: metrics.count(
                "httpserverd_cache_evicted_total",
                "URLs that had to go to make room.",
                own(),
            ),
            purged: metrics.count(
                "httpserverd_cache_purged_total",
                "URLs that were purged.",
                own(),
            ),
            bytes: metrics.gauge(
                "httpserverd_cache_bytes",
                "Bytes kept, heads included.",
                own(),
            ),
        }
    }

    pub(super) fn answered(&self, worker: usize, answered: Answered) {
        if let Some(count) = self.requests.get(answered as usize) {
            count.add(worker, 1);
        }
    }

    pub(super) fn changed(&self, worker: usize, changed: Changed) {
        if changed.evicted > 0 {
            self.evicted.add(worker, changed.evicted);
        }
        self.bytes.add(worker, changed.grown);
    }

    pub(super) fn purged(&self, worker: usize, purged: u64, grown: i64) {
        self.purged.add(worker, purged);
        self.bytes.add(worker, grown);
    }
}
