//! What the control plane asks about endpoints, off the path of every request: whether they are
//! well, and where they are.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointState, Place};
use crate::build::Probe;
use crate::handlers::checking;

/// How the endpoints of an upstream are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthCheck {
    /// What is asked for with GET; any 2xx or 3xx is well.
    pub(super) path: Box<str>,
    /// Between two checks.
    pub(super) interval: Duration,
    /// Of one check, connecting included.
    pub(super) timeout: Duration,
    /// How many checks in a row bring an endpoint back.
    pub(super) healthy_after: u32,
    /// How many failures in a row take an endpoint out.
    pub(super) unhealthy_after: u32,
}

/// The check of one endpoint.
#[derive(Debug)]
pub(super) struct Check {
    upstream: Arc<str>,
    endpoint: Arc<str>,
    authority: Arc<str>,
    place: Arc<Place>,
    how: Arc<HealthCheck>,
    state: Arc<EndpointState>,
}

impl Check {
    pub(super) fn new(upstream: &Arc<str>, endpoint: &Endpoint, how: &Arc<HealthCheck>) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(&endpoint.name),
            authority: Arc::clone(&endpoint.authority),
            place: Arc::clone(&endpoint.place),
            how: Arc::clone(how),
            state: Arc::clone(&endpoint.state),
        }
    }
}

impl Probe for Check {
    fn name(&self) -> String {
        format!(
            "health check of {} in upstream {}",
            self.endpoint, self.upstream
        )
    }

    fn interval(&self) -> Duration {
        self.how.interval
    }

    fn run(&self) {
        let HealthCheck { path, timeout, .. } = &*self.how;
        let found = checking::get(self.place.destinations(), &self.authority, path, *timeout);
        let changed = self.state.take(found.is_ok(), &self.how);
        let (upstream, endpoint) = (&*self.upstream, &*self.endpoint);
        match found {
            Ok(status) if changed => {
                tracing::info!(upstream, endpoint, status, "endpoint is healthy again");
            }
            Err(reason) if changed => {
                tracing::warn!(upstream, endpoint, %reason, "endpoint is unhealthy");
            }
            Ok(status) => tracing::debug!(upstream, endpoint, status, "health check passed"),
            Err(reason) => tracing::debug!(upstream, endpoint, %reason, "health check failed"),
        }
    }
}

/// How long a name that did not resolve is left alone. Mistakes are mended by hand and outages
/// of a resolver last longer than this.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Looks up a name that did not resolve when the configuration was read.
#[derive(Debug)]
pub(super) struct Resolution {
    upstream: Arc<str>,
    endpoint: Arc<str>,
    place: Arc<Place>,
}

impl Resolution {
    pub(super) fn new(upstream: &Arc<str>, endpoint: &Endpoint) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(&endpoint.name),
            place: Arc::clone(&endpoint.place),
        }
    }
}

impl Probe for Resolution {
    fn name(&self) -> String {
        format!(
            "resolution of {} in upstream {}",
            self.endpoint, self.upstream
        )
    }

    fn interval(&self) -> Duration {
        RESOLVE_EVERY
    }

    fn run(&self) {
        if !self.place.destinations().is_empty() {
            return;
        }
        let (upstream, endpoint) = (&*self.upstream, &*self.endpoint);
        match self.place.resolve() {
            Ok(()) => tracing::info!(upstream, endpoint, "endpoint resolves now"),
            Err(error) => {
                tracing::error!(upstream, endpoint, %error, "endpoint does not resolve");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_checks_in_a_row() {
        let how = HealthCheck {
            path: "/".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let state = EndpointState::default();
        // What a check finds, and whether the endpoint is down after it.
        let checks = [
            (true, false),
            (false, false),
            (false, false),
            (true, false),
            (false, false),
            (false, false),
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (true, true),
            (true, false),
        ];
        for (index, (healthy, down)) in checks.into_iter().enumerate() {
            let before = state.is_down();
            assert_eq!(state.take(healthy, &how), before != down, "check {index}");
            assert_eq!(state.is_down(), down, "check {index}");
        }
    }
}
