//! Numbers nobody can foretell, without a system call for each.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// The random numbers of one worker, for identifiers and for samples. Kept with
/// [`super::WorkerLocals::keep`].
///
/// A counter behind a keyed hash whose key comes from the system once a worker: no two workers
/// or processes have the same, and what was seen tells nothing of what comes. Not for keys.
#[derive(Debug, Default)]
pub struct Random {
    key: RandomState,
    count: Cell<u64>,
}

impl Random {
    /// The next number.
    pub fn next(&self) -> u64 {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        self.key.hash_one(count)
    }

    /// Whether the one of `of` that was drawn is one of the first `chosen`.
    pub fn chance(&self, chosen: u64, of: u64) -> bool {
        // Of 2^64 numbers the last few are a hair less likely; nobody can tell.
        self.next() % of.max(1) < chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_so_do_workers() {
        let (one, other) = (Random::default(), Random::default());
        let mut all: Vec<u64> = (0..1000).map(|_| one.next()).collect();
        all.extend((0..1000).map(|_| other.next()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn chances_are_as_often_as_they_say() {
        let random = Random::default();
        let hits = (0..100_000).filter(|_| random.chance(1, 4)).count();
        // Eight standard deviations of 137.
        assert!((23_900..26_100).contains(&hits), "{hits}");
        assert!((0..100).all(|_| random.chance(4, 4) && !random.chance(0, 4)));
    }
}
