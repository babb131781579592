//! The endpoints of an upstream: each one address, its settings, and the state that outlives a
//! configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::balance::hash;
use super::balance::peak_ewma::Latency;
use super::health::active::Contrary;
use super::health::{Passive, Standing};
use super::numbers::Numbers;
use crate::handlers::address::Destination;

/// Which endpoint: the same for the same address, in every configuration and process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EndpointId(pub(super) u64);

/// One address of an upstream.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    /// As the log calls it: what the file says, and what a name there stands for.
    pub(super) name: Arc<str>,
    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) authority: Arc<str>,
    pub(super) destination: Destination,
    /// The name or address that the file says; empty for a path.
    pub(super) host: Arc<str>,
    pub(super) terms: Terms,
    pub(super) state: Arc<EndpointState>,
}

/// What the file says of a server, for each of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Its share of the requests, against those of the others.
    pub(super) weight: u16,
    /// Used only if no other may be.
    pub(super) backup: bool,
    /// How many exchanges may be under way on it; `u32::MAX` for any number.
    pub(super) max_connections: u32,
    /// It gets nothing new.
    pub(super) drain: bool,
}

/// What is known of an endpoint, kept by its upstream and address from one configuration to the
/// next. Shared by all workers.
#[derive(Debug)]
pub(super) struct EndpointState {
    pub(super) standing: Standing,
    pub(super) contrary: Contrary,
    pub(super) passive: Passive,
    pub(super) latency: Latency,
    /// Exchanges under way, if anyone wants to know.
    pub(super) active: AtomicU32,
    pub(super) numbers: Arc<Numbers>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            weight: 1,
            backup: false,
            max_connections: u32::MAX,
            drain: false,
        }
    }
}

impl EndpointId {
    /// The id of an address as it is written.
    pub(super) fn of(address: &str) -> Self {
        Self(hash(address.as_bytes()))
    }
}

impl EndpointState {
    pub(super) fn new(numbers: Numbers) -> Self {
        let numbers = Arc::new(numbers);
        Self {
            standing: Standing::new(Arc::clone(&numbers)),
            contrary: Contrary::default(),
            passive: Passive::default(),
            latency: Latency::default(),
            active: AtomicU32::new(0),
            numbers,
        }
    }

    /// Counts one more exchange, unless `max` are under way.
    pub(super) fn enter(&self, max: u32) -> bool {
        let more = |active| (active < max).then(|| active + 1);
        let entered = self
            .active
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, more);
        entered.is_ok()
    }

    /// Counts one exchange less.
    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }
}
