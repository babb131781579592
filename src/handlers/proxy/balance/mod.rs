//! Which endpoint is next: one file an algorithm, each pure, over what a worker sees of the
//! endpoints.

mod hash;
mod least_connections;
pub(super) mod peak_ewma;
mod random;
mod random_two;
mod round_robin;
#[cfg(test)]
mod simulation;
pub(super) mod sticky;
#[cfg(test)]
mod testing;

pub(super) use self::hash::{HashBy, hash};
pub(super) use self::random::Random;
use self::round_robin::Rotation;
use super::endpoint::EndpointId;

/// How an endpoint is picked.
#[derive(Debug, Default)]
pub(super) enum Algorithm {
    /// Each in its turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest exchanges under way for its weight.
    LeastConnections,
    /// The less busy of two picked at random.
    RandomTwo,
    /// The one that would answer soonest: by its latency and what is under way.
    PeakEwma,
    /// The same one for the same key.
    Hash(HashBy),
}

/// What of a request decides its endpoint; nothing, for most algorithms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Affinity {
    /// The hash of the key, if there is one.
    pub(super) hash: Option<u64>,
    /// The endpoint that a sticky cookie names.
    pub(super) pinned: Option<EndpointId>,
}

/// What a worker sees of the endpoints it may choose from, by index.
pub(super) trait Candidates {
    /// How many there are, those that may not be taken included.
    fn count(&self) -> usize;
    /// Whether it may be taken.
    fn may(&self, index: usize) -> bool;
    /// Its share, against those of the others. Never zero.
    fn weight(&self, index: usize) -> u32;
    /// Exchanges under way on it, of all workers.
    fn active(&self, index: usize) -> u32;
    /// How long its answers take, in microseconds; 0 if nobody knows.
    fn latency(&self, index: usize) -> u64;
    /// Which it is.
    fn id(&self, index: usize) -> EndpointId;
}

/// Where a worker stands in its turns.
#[derive(Debug)]
pub(super) struct Turns {
    rotation: Rotation,
    random: Random,
}

impl Algorithm {
    /// Whether it looks at what is under way on each endpoint, so that somebody must count.
    pub(super) const fn counts(&self) -> bool {
        !matches!(self, Self::RoundRobin)
    }

    /// Whether it looks at how long answers take.
    pub(super) const fn measures(&self) -> bool {
        matches!(self, Self::PeakEwma)
    }
}

impl Turns {
    /// The turns of worker number `worker` among `count` endpoints.
    pub(super) fn new(count: usize, worker: usize) -> Self {
        Self {
            rotation: Rotation::new(count, worker),
            random: Random::new(worker as u64),
        }
    }

    /// The next of those that may be taken; `None` if none may.
    pub(super) fn next(
        &self,
        algorithm: &Algorithm,
        of: &impl Candidates,
        affinity: &Affinity,
    ) -> Option<usize> {
        if let Some(pinned) = affinity.pinned {
            let found = (0..of.count()).find(|&index| of.id(index) == pinned && of.may(index));
            if found.is_some() {
                return found;
            }
        }
        match algorithm {
            Algorithm::RoundRobin => self.rotation.next(of, |_| true),
            Algorithm::LeastConnections => least_connections::next(of, &self.rotation),
            Algorithm::RandomTwo => random_two::next(of, &self.random),
            Algorithm::PeakEwma => peak_ewma::next(of, &self.rotation),
            Algorithm::Hash(by) => match affinity.hash {
                Some(key) => hash::next(of, key, by.slack),
                None => self.rotation.next(of, |_| true),
            },
        }
    }
}

/// Compares a load with another, each divided by its weight.
fn by_weight(left: (u64, u32), right: (u64, u32)) -> std::cmp::Ordering {
    let scaled = |load: u64, weight: u32| u128::from(load) * u128::from(weight);
    scaled(left.0, right.1).cmp(&scaled(right.0, left.1))
}
