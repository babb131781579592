//! Which endpoint is next: smooth weighted round robin, each worker for itself.

use std::cell::RefCell;

/// The turns of the endpoints of one upstream.
///
/// Every endpoint gains its weight at each turn; the one with the most goes and pays what all
/// gained. So turns are spread as evenly as the weights allow, and an endpoint that is left out
/// for a while leaves its share to all others alike.
#[derive(Debug)]
pub(super) struct Rotation {
    weights: Box<[i64]>,
    gained: RefCell<Box<[i64]>>,
    /// Where equals are compared from: not every worker begins with the same endpoint.
    first: usize,
}

impl Rotation {
    pub(super) fn new(weights: impl Iterator<Item = u16>, worker: usize) -> Self {
        let weights: Box<[i64]> = weights.map(i64::from).collect();
        Self {
            first: worker.checked_rem(weights.len()).unwrap_or_default(),
            gained: RefCell::new(vec![0; weights.len()].into()),
            weights,
        }
    }

    /// The next of those that may be taken; `None` if none may.
    pub(super) fn next(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let mut gained = self.gained.borrow_mut();
        let mut best: Option<(usize, i64)> = None;
        let mut total = 0;
        let count = self.weights.len();
        for index in (self.first..count).chain(0..self.first) {
            if !may(index) {
                continue;
            }
            let (Some(weight), Some(gained)) = (self.weights.get(index), gained.get_mut(index))
            else {
                continue;
            };
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
    use super::*;

    #[track_caller]
    fn check(weights: &[u16], worker: usize, out: &[usize], expected: &str) {
        let rotation = Rotation::new(weights.iter().copied(), worker);
        let turns: String = (0..expected.len())
            .map(|_| rotation.next(|index| !out.contains(&index)))
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
        let rotation = Rotation::new([1, 1].into_iter(), 0);
        for _ in 0..1000 {
            assert_eq!(rotation.next(|index| index == 0), Some(0));
        }
        let turns: Vec<_> = (0..6).filter_map(|_| rotation.next(|_| true)).collect();
        assert_eq!(turns, [0, 1, 0, 1, 0, 1]);
    }
}
