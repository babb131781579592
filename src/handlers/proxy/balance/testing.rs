//! Endpoints that say what a test wants.

use super::Candidates;
use crate::handlers::proxy::endpoint::EndpointId;

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) may: bool,
    pub(super) weight: u32,
    pub(super) active: u32,
    pub(super) latency: u64,
    pub(super) id: EndpointId,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoints(pub(super) Vec<Endpoint>);

impl Endpoints {
    /// Idle ones of these weights.
    pub(super) fn weighted(weights: &[u32]) -> Self {
        let endpoint = |(index, weight): (usize, &u32)| Endpoint {
            may: true,
            weight: *weight,
            active: 0,
            latency: 0,
            id: EndpointId::of(&format!("10.0.0.{index}:80")),
        };
        Self(weights.iter().enumerate().map(endpoint).collect())
    }
}

impl Candidates for Endpoints {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn may(&self, index: usize) -> bool {
        self.0[index].may
    }

    fn weight(&self, index: usize) -> u32 {
        self.0[index].weight
    }

    fn active(&self, index: usize) -> u32 {
        self.0[index].active
    }

    fn latency(&self, index: usize) -> u64 {
        self.0[index].latency
    }

    fn id(&self, index: usize) -> EndpointId {
        self.0[index].id
    }
}
