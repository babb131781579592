//! Two endpoints at random, by weight; the less busy of them goes. With many endpoints this is
//! nearly as even as looking at all of them, and no two workers run after the same one.

use super::random::Random;
use super::{Candidates, by_weight};

pub(super) fn next(of: &impl Candidates, random: &Random) -> Option<usize> {
    let first = one_of(of, random, None)?;
    let Some(second) = one_of(of, random, Some(first)) else {
        return Some(first);
    };
    let load = |index: usize| (u64::from(of.active(index)), of.weight(index));
    let less = by_weight(load(second), load(first)).is_lt();
    Some(if less { second } else { first })
}

/// One at random, but not `without`.
fn one_of(of: &impl Candidates, random: &Random, without: Option<usize>) -> Option<usize> {
    let may = |index: &usize| Some(*index) != without && of.may(*index);
    let total = (0..of.count())
        .filter(may)
        .map(|index| u64::from(of.weight(index)))
        .sum();
    let mut left = random.below(total);
    (0..of.count()).filter(may).find(|&index| {
        let weight = u64::from(of.weight(index));
        let found = left < weight;
        left = left.saturating_sub(weight);
        found
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Endpoints;
    use super::*;

    proptest! {
        #[test]
        fn idle_endpoints_are_taken_by_weight(
            weights in prop::collection::vec(1_u32..5, 3..6),
            seed in any::<u64>(),
        ) {
            let endpoints = Endpoints::weighted(&weights);
            let random = Random::new(seed);
            let mut counts = vec![0_u32; weights.len()];
            for _ in 0..20_000 {
                counts[one_of(&endpoints, &random, None).unwrap()] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                // Six standard deviations of a share are below 500 of 20 000.
                prop_assert!(count.abs_diff(20_000 * weight / total) < 500, "{:?}", counts);
            }
        }

        #[test]
        fn the_busiest_of_all_is_never_taken_unless_alone(
            busy in prop::collection::vec(0_u32..50, 2..9),
            seed in any::<u64>(),
        ) {
            let mut endpoints = Endpoints::weighted(&vec![1; busy.len()]);
            for (own, active) in endpoints.0.iter_mut().zip(&busy) {
                own.active = *active;
            }
            endpoints.0[0].active = 51;
            let random = Random::new(seed);
            for _ in 0..100 {
                prop_assert_ne!(next(&endpoints, &random), Some(0));
            }
            for own in &mut endpoints.0[1..] {
                own.may = false;
            }
            prop_assert_eq!(next(&endpoints, &random), Some(0));
            endpoints.0[0].may = false;
            prop_assert_eq!(next(&endpoints, &random), None);
        }
    }
}
