//! Numbers that look random: fast, seeded, and not for secrets.

use std::cell::Cell;

/// `SplitMix64`: passes the usual tests, and a state is one number.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Random(Cell<u64>);

impl Random {
    pub(in crate::handlers::proxy) const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number.
    pub(in crate::handlers::proxy) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        mix(state)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&self, bound: u64) -> u64 {
        // The high half of the product: even enough for bounds far below 2^64.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or_default()
    }
}

/// Spreads each bit of a number over all of its bits.
pub(super) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_are_spread_evenly() {
        let random = Random::new(7);
        let mut counts = [0_u32; 8];
        for _ in 0..8_000 {
            counts[usize::try_from(random.below(8)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
        assert_eq!(random.below(0), 0);
    }
}
