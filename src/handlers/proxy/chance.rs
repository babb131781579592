//! Chance, for jitter and shares: fast, and not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A worker's source of numbers that look random.
#[derive(Debug)]
pub(super) struct Chance(Cell<u64>);

impl Default for Chance {
    fn default() -> Self {
        // Seeded anew for each worker of each process.
        Self(Cell::new(RandomState::new().build_hasher().finish()))
    }
}

impl Chance {
    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&self, bound: u64) -> u64 {
        // SplitMix64: a state is one number, and any will do.
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let product = u128::from(mix(state)) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A duration from zero up to this one.
    pub(super) fn up_to(&self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.saturating_add(1)))
    }
}

/// A number that each byte of these has changed.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        state = mix(state ^ u64::from_le_bytes(word)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
    mix(state)
}

/// Spreads each bit of a number over all of its bits.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_their_bound_and_spread() {
        let chance = Chance(Cell::new(7));
        let mut counts = [0_u32; 8];
        for _ in 0..8_000 {
            counts[usize::try_from(chance.below(8)).unwrap()] += 1;
        }
        let even = counts.iter().all(|count| (900..1_100).contains(count));
        assert!(even, "{counts:?}");
        assert_eq!(chance.below(0), 0);
        assert!(chance.up_to(Duration::from_millis(5)) <= Duration::from_millis(5));
        assert_eq!(chance.up_to(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn hashes_of_keys_are_spread_and_stay() {
        let mut counts = [0_u32; 4];
        for key in 0..4_000 {
            let hash = hash(format!("192.0.2.{key}").as_bytes());
            counts[usize::try_from(hash % 4).unwrap()] += 1;
        }
        let even = counts.iter().all(|count| (900..1_100).contains(count));
        assert!(even, "{counts:?}");
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"a\0"));
    }
}
