//! Upstreams as they run: immutable settings, and the endpoints they group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::check::{Check, HealthCheck, Resolution};
use super::endpoint::Endpoint;
use crate::build::Probe;

/// A named group of endpoints, and how they are spoken to.
#[derive(Debug)]
pub struct Upstream {
    pub(super) name: Arc<str>,
    /// Unlike that of any other upstream there ever was in this process.
    pub(super) serial: u64,
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) timeouts: Timeouts,
    pub(super) keep_alive: KeepAlive,
}

/// How long the phases of an exchange with an endpoint may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// Until a connection stands.
    pub(super) connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub(super) first_byte: Duration,
    /// Between two bytes of a body.
    pub(super) idle: Duration,
    /// Between two bytes of a connection that has left HTTP.
    pub(super) tunnel_idle: Duration,
}

/// Which connections are kept for later requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeepAlive {
    /// How many, a worker and endpoint; 0 keeps none.
    pub(super) max_idle: usize,
    /// For how long.
    pub(super) idle_timeout: Duration,
}

impl Upstream {
    pub(super) fn new(
        name: &Arc<str>,
        endpoints: Box<[Endpoint]>,
        timeouts: Timeouts,
        keep_alive: KeepAlive,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            name: Arc::clone(name),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            endpoints,
            timeouts,
            keep_alive,
        }
    }

    /// Whether a request could be sent to some endpoint.
    pub fn has_healthy_endpoint(&self) -> bool {
        self.endpoints.iter().any(Endpoint::is_up)
    }

    /// The name the file gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is to be asked about the endpoints now and then.
    pub(super) fn probes(&self, check: Option<&Arc<HealthCheck>>) -> Vec<Arc<dyn Probe>> {
        let mut probes: Vec<Arc<dyn Probe>> = Vec::new();
        for endpoint in &self.endpoints {
            if endpoint.place.destinations().is_empty() {
                probes.push(Arc::new(Resolution::new(&self.name, endpoint)));
            }
            if let Some(check) = check {
                probes.push(Arc::new(Check::new(&self.name, endpoint, check)));
            }
        }
        probes
    }
}
