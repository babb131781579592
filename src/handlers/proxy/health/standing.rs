//! Where an endpoint stands: in service, or out of it and why.
//!
//! ```text
//!                    checks fail                   checks pass
//!   ┌──────────────────────────────▶ Unhealthy ──────────────────┐
//!   │                                                            ▼
//! in service ◀────────────────────────────────────────────── warming up
//!   │                                                            ▲
//!   ├──────────────────────────────▶ Ejected ────────────────────┤
//!   │           it fails                     its time is over    │
//!   └──────────────────────────────▶ Draining ───────────────────┘
//!               an operator says so          … and takes it back
//! ```
//!
//! The three verdicts are independent: an endpoint is in service while none of them that its
//! upstream asks for stands against it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tracing::{info, warn};

use super::history::{Change, History};
use crate::handlers::proxy::numbers::Numbers;

/// Verdicts against an endpoint: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers::proxy) struct Verdicts(u8);

impl Verdicts {
    /// The checks find it unwell.
    pub(in crate::handlers::proxy) const UNHEALTHY: Self = Self(1);
    /// It failed too often, or more often than its peers.
    pub(in crate::handlers::proxy) const EJECTED: Self = Self(2);
    /// An operator has taken it out.
    pub(in crate::handlers::proxy) const DRAINING: Self = Self(4);

    /// Those of either.
    pub(in crate::handlers::proxy) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::UNHEALTHY => "unhealthy",
            Self::EJECTED => "ejected",
            _ => "draining",
        }
    }
}

/// Where an endpoint stands; shared by all workers and the prober. Times are milliseconds of the
/// process's life.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Standing {
    verdicts: AtomicU8,
    ejected_until: AtomicU64,
    /// When it last came back into service; 0 if it never was out of it.
    returned: AtomicU64,
    history: History,
    numbers: Arc<Numbers>,
}

impl Standing {
    /// In service: an endpoint nobody has checked yet is taken to be well, so that a start does
    /// not begin with refusals.
    pub(in crate::handlers::proxy) fn new(numbers: Arc<Numbers>) -> Self {
        numbers.healthy.add(0, 1);
        Self {
            verdicts: AtomicU8::new(0),
            ejected_until: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            history: History::default(),
            numbers,
        }
    }

    /// Whether none of these verdicts stands against it. An ejection whose time is over ends
    /// here.
    pub(in crate::handlers::proxy) fn is_in_service(&self, minding: Verdicts, now: u64) -> bool {
        let against = self.verdicts.load(Ordering::Relaxed) & minding.0;
        against == 0 || (against == Verdicts::EJECTED.0 && self.ends_ejection(now))
    }

    /// Whether this verdict stands against it.
    pub(in crate::handlers::proxy) fn is(&self, verdict: Verdicts) -> bool {
        self.verdicts.load(Ordering::Relaxed) & verdict.0 != 0
    }

    /// A verdict falls. Whether it did not stand before.
    pub(in crate::handlers::proxy) fn set(&self, verdict: Verdicts, cause: String) -> bool {
        let before = self.verdicts.fetch_or(verdict.0, Ordering::Relaxed);
        let new = before & verdict.0 == 0;
        if new {
            if before == 0 {
                self.numbers.healthy.add(0, -1);
            }
            let Numbers {
                upstream, endpoint, ..
            } = &*self.numbers;
            let to = verdict.name();
            warn!(%upstream, %endpoint, cause, "endpoint is {to}");
            self.history.note(to, cause);
        }
        new
    }

    /// A verdict is lifted. Whether it stood.
    pub(in crate::handlers::proxy) fn lift(
        &self,
        verdict: Verdicts,
        cause: String,
        now: u64,
    ) -> bool {
        let before = self.verdicts.fetch_and(!verdict.0, Ordering::Relaxed);
        let stood = before & verdict.0 != 0;
        if stood {
            if before == verdict.0 {
                self.returned.store(now.max(1), Ordering::Relaxed);
                self.numbers.healthy.add(0, 1);
            }
            let Numbers {
                upstream, endpoint, ..
            } = &*self.numbers;
            let from = verdict.name();
            info!(%upstream, %endpoint, from, cause, "endpoint is healthy again");
            self.history.note("healthy", cause);
        }
        stood
    }

    /// Takes it out of service until then. Whether it was not out already.
    pub(in crate::handlers::proxy) fn eject(&self, until: u64, cause: String) -> bool {
        // Before the verdict: who sees that one asks for this.
        self.ejected_until.fetch_max(until, Ordering::SeqCst);
        let new = self.set(Verdicts::EJECTED, cause);
        if new {
            self.numbers.ejections.add(0, 1);
        }
        new
    }

    /// Ends an ejection whose time is over; whether it did.
    pub(in crate::handlers::proxy) fn ends_ejection(&self, now: u64) -> bool {
        now >= self.ejected_until.load(Ordering::SeqCst)
            && self.lift(Verdicts::EJECTED, "its time out is over".to_owned(), now)
    }

    /// When it last came back into service; `None` if it never was out of it.
    pub(in crate::handlers::proxy) fn returned(&self) -> Option<u64> {
        Some(self.returned.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// It was not there when the upstream began: as if it had come back now.
    pub(in crate::handlers::proxy) fn joined(&self, now: u64) {
        self.returned.store(now.max(1), Ordering::Relaxed);
    }

    /// What lately changed.
    pub(in crate::handlers::proxy) fn changes(&self) -> Vec<Change> {
        self.history.changes()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if self.verdicts.load(Ordering::Relaxed) == 0 {
            self.numbers.healthy.add(0, -1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn standing() -> Standing {
        let metrics = Arc::new(Metrics::default());
        Standing::new(Arc::new(Numbers::new(&metrics, &"u".into(), &"e".into())))
    }

    #[test]
    fn only_what_the_upstream_minds_counts() {
        let standing = standing();
        standing.set(Verdicts::UNHEALTHY, "status 503".to_owned());
        assert!(!standing.is_in_service(Verdicts::UNHEALTHY, 0));
        assert!(standing.is_in_service(Verdicts::DRAINING, 0));
        assert_eq!(standing.numbers.healthy.get(), 0);
        // The same verdict again changes nothing.
        assert!(!standing.set(Verdicts::UNHEALTHY, "status 500".to_owned()));
        assert!(standing.lift(Verdicts::UNHEALTHY, "status 200".to_owned(), 7));
        assert_eq!(standing.returned(), Some(7));
        assert_eq!(standing.numbers.healthy.get(), 1);
        let changes: Vec<_> = standing
            .changes()
            .into_iter()
            .map(|own| (own.to, own.cause))
            .collect();
        let expected = [("unhealthy", "status 503"), ("healthy", "status 200")];
        assert_eq!(changes, expected.map(|(to, cause)| (to, cause.to_owned())));
    }

    #[test]
    fn an_ejection_ends_by_itself_and_never_lifts_another_verdict() {
        let both = Verdicts::UNHEALTHY.and(Verdicts::EJECTED);
        let standing = standing();
        standing.set(Verdicts::UNHEALTHY, String::new());
        assert!(standing.eject(100, String::new()));
        assert!(!standing.eject(50, String::new()));
        assert!(!standing.is_in_service(both, 100));
        standing.lift(Verdicts::UNHEALTHY, String::new(), 60);
        assert_eq!(standing.returned(), None);
        assert!(!standing.is_in_service(both, 99));
        assert!(standing.is_in_service(both, 100));
        assert_eq!(standing.returned(), Some(100));
        assert_eq!(standing.numbers.ejections.get(), 1);
    }
}
