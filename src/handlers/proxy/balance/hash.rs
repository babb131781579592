//! The same endpoint for the same key: weighted rendezvous hashing with bounded loads.
//!
//! Each endpoint draws a lot from the key and its own address; the highest lot wins. So a key
//! moves only if its endpoint goes, or one comes that wins it, and then nothing else moves. No
//! ring has to be built, and any two servers with the same file agree. An endpoint that already
//! carries more than its share and the slack passes the key on to the next highest lot.

use super::Candidates;
use super::random::mix;
use crate::build::Percent;
use crate::exchange::Template;

/// What is hashed, and how even loads must stay.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct HashBy {
    /// What decides the endpoint.
    pub(in crate::handlers::proxy) key: Template,
    /// How much more than its share an endpoint may carry; `None` for any load.
    pub(in crate::handlers::proxy) slack: Option<Percent>,
}

/// A hash that is the same in every process: FNV-1a, and its bits spread.
pub(in crate::handlers::proxy) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(fnv)
}

pub(super) fn next(of: &impl Candidates, key: u64, slack: Option<Percent>) -> Option<usize> {
    let may = |index: &usize| of.may(*index);
    let best = |may: &dyn Fn(&usize) -> bool| {
        (0..of.count())
            .filter(|index| may(index))
            .map(|index| (index, lot(key, of.id(index).0, of.weight(index))))
            .max_by(|(_, left), (_, right)| left.total_cmp(right))
            .map(|(index, _)| index)
    };
    let first = best(&may)?;
    let Some(slack) = slack else {
        return Some(first);
    };
    let (mut active, mut weight) = (0, 0);
    for index in (0..of.count()).filter(may) {
        active += u64::from(of.active(index));
        weight += u64::from(of.weight(index));
    }
    let fits = |index: &usize| {
        let share = (active + 1) * u64::from(of.weight(*index));
        let bound = (share + slack.of(share)).div_ceil(weight.max(1));
        u64::from(of.active(*index)) < bound
    };
    if fits(&first) {
        return Some(first);
    }
    best(&|index| may(index) && fits(index)).or(Some(first))
}

/// The lot that an endpoint draws: over all keys, each wins by its weight.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of a hash are as good as 64"
)]
fn lot(key: u64, id: u64, weight: u32) -> f64 {
    // Between 0 and 1, never either.
    let drawn = ((mix(key ^ id) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / drawn.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Endpoints;
    use super::*;

    const KEYS: u64 = 4_000;

    fn winners(endpoints: &Endpoints) -> Vec<usize> {
        (0..KEYS)
            .map(|key| next(endpoints, hash(&key.to_le_bytes()), None).unwrap())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn keys_are_spread_by_weight(weights in prop::collection::vec(1_u32..5, 2..6)) {
            let mut counts = vec![0; weights.len()];
            for winner in winners(&Endpoints::weighted(&weights)) {
                counts[winner] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let share = u32::try_from(KEYS).unwrap() * weight / total;
                // Five standard deviations of the largest share are below 160.
                prop_assert!(share.abs_diff(*count) < 160, "{counts:?} for {weights:?}");
            }
        }

        #[test]
        fn only_the_keys_of_who_goes_move(
            weights in prop::collection::vec(1_u32..5, 2..7),
            gone in 0_usize..7,
        ) {
            let gone = gone % weights.len();
            let mut endpoints = Endpoints::weighted(&weights);
            let before = winners(&endpoints);
            endpoints.0[gone].may = false;
            for (before, after) in before.iter().zip(winners(&endpoints)) {
                prop_assert!(after != gone);
                prop_assert!(*before == gone || *before == after);
            }
            endpoints.0[gone].may = true;
            prop_assert_eq!(winners(&endpoints), before);
        }

        #[test]
        fn no_endpoint_carries_more_than_its_share_and_the_slack(
            count in 2_usize..7,
            percent in 0_u8..=100,
            one_key in any::<bool>(),
        ) {
            let mut endpoints = Endpoints::weighted(&vec![1; count]);
            for request in 0..600_u64 {
                let key = if one_key { 7 } else { request };
                let slack = Some(Percent::whole(percent));
                let index = next(&endpoints, hash(&key.to_le_bytes()), slack).unwrap();
                endpoints.0[index].active += 1;
                let all = (request + 1) * u64::from(100 + percent);
                let bound = all.div_ceil(100 * count as u64);
                prop_assert!(u64::from(endpoints.0[index].active) <= bound);
            }
        }
    }

    #[test]
    fn the_hash_never_changes() {
        // Servers that share a load must agree, whatever their age.
        assert_eq!(hash(b""), 0xF52A_15E9_A9B5_E89B);
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }
}
