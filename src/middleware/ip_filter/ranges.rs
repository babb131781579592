//! Networks as ranges that do not overlap: a look-up is one binary search, however many there
//! are.

/// What is said of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Allow,
    /// The greater: of a network that is listed on both sides.
    Deny,
}

/// Where a new answer begins, and which it is; `None` where no network is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Box<[(u128, Option<Verdict>)]>);

/// A network: its first address, its last, and what is said of it.
pub(super) type Listed = (u128, u128, Verdict);

impl Ranges {
    /// Of networks that contain each other or have nothing in common, as prefixes do.
    pub(super) fn new(mut listed: Vec<Listed>) -> Self {
        // The larger before those within it, and before a denial of the same the leave.
        listed.sort_unstable_by(|a, b| (a.0, b.1, a.2).cmp(&(b.0, a.1, b.2)));
        let mut ranges = Self::default();
        let mut starts = Vec::new();
        let mut around: Vec<Listed> = Vec::new();
        for network in listed {
            while let Some(last) = around.pop_if(|last| last.1 < network.0) {
                begin(&mut starts, last.1.checked_add(1), &around);
            }
            around.push(network);
            begin(&mut starts, Some(network.0), &around);
        }
        while let Some(last) = around.pop() {
            begin(&mut starts, last.1.checked_add(1), &around);
        }
        ranges.0 = starts.into();
        ranges
    }

    /// What is said of an address, if anything is.
    pub(super) fn find(&self, address: u128) -> Option<Verdict> {
        let behind = self.0.partition_point(|(start, _)| *start <= address);
        self.0.get(behind.checked_sub(1)?)?.1
    }
}

/// From here on the innermost of the networks around decides.
fn begin(starts: &mut Vec<(u128, Option<Verdict>)>, at: Option<u128>, around: &[Listed]) {
    // Behind the last address of all there is nothing.
    let Some(at) = at else { return };
    let verdict = around.last().map(|(_, _, verdict)| *verdict);
    if let Some(last) = starts.last_mut()
        && last.0 == at
    {
        last.1 = verdict;
        return;
    }
    if starts.last().is_none_or(|last| last.1 != verdict) {
        starts.push((at, verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &[(u128, u128, bool)], expected: &[(u128, Option<bool>)]) {
        let verdict = |allow| if allow { Verdict::Allow } else { Verdict::Deny };
        let listed = listed.iter().map(|&(a, b, allow)| (a, b, verdict(allow)));
        let ranges = Ranges::new(listed.collect());
        for &(address, expected) in expected {
            assert_eq!(ranges.find(address), expected.map(verdict), "{address}");
        }
    }

    #[test]
    fn the_innermost_decides() {
        check(&[], &[(0, None), (u128::MAX, None)]);
        check(
            &[(0, 15, false), (4, 7, true), (5, 5, false), (12, 15, true)],
            &[
                (0, Some(false)),
                (4, Some(true)),
                (5, Some(false)),
                (6, Some(true)),
                (8, Some(false)),
                (12, Some(true)),
                (15, Some(true)),
                (16, None),
            ],
        );
        check(
            &[(8, 8, true), (8, 8, false), (0, u128::MAX, true)],
            &[
                (7, Some(true)),
                (8, Some(false)),
                (9, Some(true)),
                (u128::MAX, Some(true)),
            ],
        );
        check(
            &[(0, 1, true), (2, 3, true), (2, 2, false)],
            &[
                (1, Some(true)),
                (2, Some(false)),
                (3, Some(true)),
                (4, None),
            ],
        );
    }

    #[test]
    fn ranges_agree_with_looking_at_every_network() {
        // Every prefix of four bits, allowed, denied or not listed, by the digits of a number.
        let prefixes: Vec<(u128, u128)> = (0..=4_u32)
            .flat_map(|bits| {
                let size = 16_u128 >> bits;
                (0..16 / size).map(move |at| (at * size, (at + 1) * size - 1))
            })
            .collect();
        for seed in 0..2000_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut listed = Vec::new();
            for &(first, last) in &prefixes {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match random % 5 {
                    0 => listed.push((first, last, Verdict::Allow)),
                    1 => listed.push((first, last, Verdict::Deny)),
                    _ => {}
                }
            }
            let ranges = Ranges::new(listed.clone());
            for address in 0..20 {
                let holding = listed
                    .iter()
                    .filter(|one| (one.0..=one.1).contains(&address));
                let smallest = holding.min_by_key(|one| one.1 - one.0);
                assert_eq!(ranges.find(address), smallest.map(|one| one.2));
            }
        }
    }
}
