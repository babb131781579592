//! Smooth weighted round robin, each worker for itself.

use std::cell::RefCell;

use super::Candidates;

/// The turns of the endpoints of one upstream.
///
/// Every endpoint gains its weight at each turn; the one with the most goes and pays what all
/// gained. So turns are spread as evenly as the weights allow, and an endpoint that is left out
/// for a while leaves its share to all others alike.
#[derive(Debug)]
pub(super) struct Rotation {
    gained: RefCell<Box<[i64]>>,
    /// Where equals are compared from: not every worker begins with the same endpoint.
    first: usize,
}

impl Rotation {
    pub(super) fn new(count: usize, worker: usize) -> Self {
        Self {
            first: worker.checked_rem(count).unwrap_or_default(),
            gained: RefCell::new(vec![0; count].into()),
        }
    }

    /// The next of those that may be taken, and are `among` the wanted; `None` if none may.
    pub(super) fn next(
        &self,
        of: &impl Candidates,
        among: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut gained = self.gained.borrow_mut();
        let mut best: Option<(usize, i64)> = None;
        let mut total = 0;
        let count = gained.len();
        for index in (self.first..count).chain(0..self.first) {
            if !of.may(index) || !among(index) {
                continue;
            }
            let Some(gained) = gained.get_mut(index) else {
                continue;
            };
            let weight = i64::from(of.weight(index));
            total += weight;
            *gained += weight;
            if best.is_none_or(|(_, most)| *gained > most) {
                best = Some((index, *gained));
            }
        }
        let (index, _) = best?;
        *gained.get_mut(index)? -= total;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Endpoints;
    use super::*;

    #[track_caller]
    fn check(weights: &[u32], worker: usize, out: &[usize], expected: &str) {
        let rotation = Rotation::new(weights.len(), worker);
        let mut endpoints = Endpoints::weighted(weights);
        for &index in out {
            endpoints.0[index].may = false;
        }
        let turns: String = (0..expected.len())
            .map(|_| rotation.next(&endpoints, |_| true))
            .map(|turn| turn.map_or('-', |turn| char::from(b'a' + u8::try_from(turn).unwrap())))
            .collect();
        assert_eq!(turns, expected);
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        check(&[1], 0, &[], "aaa");
        check(&[1, 1, 1], 0, &[], "abcabc");
        check(&[1, 1, 1], 1, &[], "bcabca");
        check(&[1, 1], 7, &[], "baba");
        check(&[5, 1, 1], 0, &[], "aabacaaaabacaa");
        check(&[1, 1, 1], 0, &[1], "acacac");
        check(&[1, 1], 0, &[0, 1], "--");
        check(&[], 3, &[], "-");
    }

    #[test]
    fn who_comes_back_does_not_catch_up() {
        let rotation = Rotation::new(2, 0);
        let mut endpoints = Endpoints::weighted(&[1, 1]);
        endpoints.0[1].may = false;
        for _ in 0..1000 {
            assert_eq!(rotation.next(&endpoints, |_| true), Some(0));
        }
        endpoints.0[1].may = true;
        let turns: Vec<_> = (0..6)
            .filter_map(|_| rotation.next(&endpoints, |_| true))
            .collect();
        assert_eq!(turns, [0, 1, 0, 1, 0, 1]);
    }

    proptest! {
        #[test]
        fn over_one_round_each_gets_exactly_its_weight(
            weights in prop::collection::vec(1_u32..20, 1..12),
            worker in 0_usize..8,
        ) {
            let rotation = Rotation::new(weights.len(), worker);
            let endpoints = Endpoints::weighted(&weights);
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[rotation.next(&endpoints, |_| true).unwrap()] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn with_endpoints_coming_and_going_shares_stay_within_one_turn(
            weights in prop::collection::vec(1_u32..6, 2..6),
            changes in prop::collection::vec((0_usize..6, 0_u32..40), 1..8),
        ) {
            let rotation = Rotation::new(weights.len(), 0);
            let mut endpoints = Endpoints::weighted(&weights);
            for (index, turns) in changes {
                let count = weights.len();
                endpoints.0[index % count].may ^= true;
                let present = endpoints.0.iter().filter(|own| own.may);
                let there: u32 = present.map(|own| own.weight).sum();
                let mut counts = vec![0_u32; count];
                // Whole rounds, so that each share is a whole number.
                for _ in 0..there * (turns / 8 + 1) {
                    let next = rotation.next(&endpoints, |_| true).unwrap();
                    prop_assert!(endpoints.0[next].may);
                    counts[next] += 1;
                }
                for (own, count) in endpoints.0.iter().zip(counts) {
                    let share = if own.may { own.weight * (turns / 8 + 1) } else { 0 };
                    // What it had gained before it left is the most it can be off by.
                    prop_assert!(count.abs_diff(share) <= there.max(1), "{} of {}", count, share);
                }
            }
        }
    }
}
