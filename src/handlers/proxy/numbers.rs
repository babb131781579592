//! What is counted of each endpoint, for `/metrics`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exchange::Why;
use crate::telemetry::metrics::{Count, Gauge, Label, Metrics};

/// The numbers of one endpoint. They go on as long as its state does.
pub(super) struct Numbers {
    pub(super) upstream: Arc<str>,
    pub(super) endpoint: Arc<str>,
    /// Tries that were sent to it.
    pub(super) requests: Count,
    pub(super) ejections: Count,
    /// Connections to it, idle ones too.
    pub(super) open: Gauge,
    pub(super) idle: Gauge,
    /// 1 while it is in service.
    pub(super) healthy: Gauge,
    /// Made when first counted: most endpoints fail in few ways.
    failures: Mutex<Vec<(&'static str, Count)>>,
    metrics: Arc<Metrics>,
}

impl Numbers {
    pub(super) fn new(metrics: &Arc<Metrics>, upstream: &Arc<str>, endpoint: &Arc<str>) -> Self {
        let labels = || labels(upstream, endpoint);
        Self {
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(endpoint),
            requests: metrics.count(
                "httpserverd_upstream_requests_total",
                "Tries sent to an endpoint.",
                labels(),
            ),
            ejections: metrics.count(
                "httpserverd_upstream_ejections_total",
                "Times an endpoint was taken out of service because of its failures.",
                labels(),
            ),
            open: metrics.gauge(
                "httpserverd_upstream_connections",
                "Open connections to an endpoint.",
                labels(),
            ),
            idle: metrics.gauge(
                "httpserverd_upstream_idle_connections",
                "Connections to an endpoint that wait for a request.",
                labels(),
            ),
            healthy: metrics.gauge(
                "httpserverd_upstream_healthy",
                "Whether an endpoint is in service.",
                labels(),
            ),
            failures: Mutex::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Counts a failure. Off the path of every request that goes well.
    pub(super) fn failed(&self, worker: usize, why: Why) {
        self.count_failure(worker, why.as_str());
    }

    /// Counts an answer whose status says that the endpoint failed.
    pub(super) fn failed_by_status(&self, worker: usize) {
        self.count_failure(worker, "status");
    }

    fn count_failure(&self, worker: usize, why: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = failures.iter().find(|(known, _)| *known == why) {
            count.add(worker, 1);
            return;
        }
        let mut labels = labels(&self.upstream, &self.endpoint);
        labels.push(("why", why.into()));
        let count = self.metrics.count(
            "httpserverd_upstream_failures_total",
            "Tries that failed on an endpoint, by why.",
            labels,
        );
        count.add(worker, 1);
        failures.push((why, count));
    }
}

fn labels(upstream: &str, endpoint: &str) -> Vec<Label> {
    vec![("upstream", upstream.into()), ("endpoint", endpoint.into())]
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numbers({}/{})", self.upstream, self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_why() {
        let metrics = Arc::new(Metrics::default());
        let numbers = Numbers::new(&metrics, &"backend".into(), &"10.0.0.1:80".into());
        numbers.failed(0, Why::ConnectRefused);
        numbers.failed(1, Why::ConnectRefused);
        numbers.failed_by_status(0);
        let read = metrics.read();
        let family = read
            .iter()
            .find(|family| family.name == "httpserverd_upstream_failures_total")
            .unwrap();
        let found: Vec<_> = family
            .series
            .iter()
            .map(|(labels, reading)| (&*labels[2].1, reading.number))
            .collect();
        assert_eq!(found, [("connect_refused", 2), ("status", 1)]);
    }
}
