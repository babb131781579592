//! The endpoint with the fewest exchanges under way for its weight; equals take turns.

use super::round_robin::Rotation;
use super::{Candidates, by_weight};

pub(super) fn next(of: &impl Candidates, rotation: &Rotation) -> Option<usize> {
    let load = |index: usize| (u64::from(of.active(index)), of.weight(index));
    let least = (0..of.count())
        .filter(|&index| of.may(index))
        .map(load)
        .min_by(|&left, &right| by_weight(left, right))?;
    rotation.next(of, |index| by_weight(load(index), least).is_le())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Endpoints;
    use super::*;

    #[track_caller]
    fn check(endpoints: &[(u32, u32)], expected: Option<usize>) {
        let weights: Vec<u32> = endpoints.iter().map(|(weight, _)| *weight).collect();
        let mut all = Endpoints::weighted(&weights);
        for (own, (_, active)) in all.0.iter_mut().zip(endpoints) {
            own.active = *active;
        }
        assert_eq!(next(&all, &Rotation::new(weights.len(), 0)), expected);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_taken() {
        check(&[], None);
        check(&[(1, 3), (1, 2), (1, 4)], Some(1));
        check(&[(4, 3), (1, 1), (1, 1)], Some(0));
        check(&[(1, 0), (3, 0)], Some(1));
    }

    proptest! {
        #[test]
        fn what_is_under_way_is_spread_by_weight(
            weights in prop::collection::vec(1_u32..8, 1..8),
            rounds in 1_u32..6,
        ) {
            let rotation = Rotation::new(weights.len(), 0);
            let mut endpoints = Endpoints::weighted(&weights);
            // Nothing ends: after whole rounds each holds exactly its share.
            for _ in 0..rounds * weights.iter().sum::<u32>() {
                let index = next(&endpoints, &rotation).unwrap();
                endpoints.0[index].active += 1;
            }
            for own in &endpoints.0 {
                prop_assert_eq!(own.active, own.weight * rounds);
            }
        }

        #[test]
        fn nobody_left_out_is_taken(
            there in prop::collection::vec((any::<bool>(), 0_u32..9), 1..9),
        ) {
            let mut endpoints = Endpoints::weighted(&vec![1; there.len()]);
            for (own, (may, active)) in endpoints.0.iter_mut().zip(&there) {
                (own.may, own.active) = (*may, *active);
            }
            let least = endpoints.0.iter().filter(|own| own.may).map(|own| own.active).min();
            let taken = next(&endpoints, &Rotation::new(there.len(), 0));
            prop_assert_eq!(taken.map(|index| endpoints.0[index].active), least);
            prop_assert!(taken.is_none_or(|index| endpoints.0[index].may));
        }
    }
}
