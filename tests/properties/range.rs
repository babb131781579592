//! Ranges never leave the file, and are the bytes that were asked for.

use std::collections::BTreeSet;

use httpserverd::http::range::{ByteRange, RANGES_MAX, Selection, parse};
use proptest::prelude::*;

/// One range as a client may write it: first and last, either left out.
type Spec = (Option<u64>, Option<u64>);

fn written(specs: &[Spec]) -> String {
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let specs: Vec<_> = specs
        .iter()
        .map(|&(first, last)| format!("{}-{}", number(first), number(last)))
        .collect();
    format!("bytes={}", specs.join(","))
}

/// The bytes asked for, one by one; `None` if the field is to be ignored.
fn oracle(specs: &[Spec], complete: u64) -> Option<BTreeSet<u64>> {
    let mut bytes = BTreeSet::new();
    for &spec in specs {
        match spec {
            (None, None) => return None,
            (Some(first), Some(last)) if first > last => return None,
            (None, Some(suffix)) if suffix > 0 && complete == 0 => return None,
            (None, Some(suffix)) => bytes.extend(complete.saturating_sub(suffix)..complete),
            (Some(first), None) => bytes.extend(first..complete),
            (Some(first), Some(last)) => bytes.extend(first..=last.min(complete.wrapping_sub(1))),
        }
    }
    bytes.retain(|&byte| byte < complete);
    (specs.len() <= RANGES_MAX).then_some(bytes)
}

fn selected(selection: &Selection) -> Vec<ByteRange> {
    match selection {
        Selection::Single(range) => vec![*range],
        Selection::Multi(ranges) => ranges.clone(),
        Selection::Whole | Selection::Unsatisfiable => Vec::new(),
    }
}

proptest! {
    #[test]
    fn a_selection_is_the_union_of_what_was_asked_for(
        specs in prop::collection::vec(
            (prop::option::of(0..40_u64), prop::option::of(0..40_u64)),
            1..20,
        ),
        complete in 0..36_u64,
    ) {
        let selection = parse(written(&specs).as_bytes(), complete);
        let ranges = selected(&selection);
        match oracle(&specs, complete) {
            None => prop_assert_eq!(&selection, &Selection::Whole),
            Some(bytes) if bytes.is_empty() => {
                prop_assert_eq!(&selection, &Selection::Unsatisfiable);
            }
            Some(bytes) => {
                let sent = ranges.iter().flat_map(|range| range.start..range.end);
                let sent: Vec<u64> = sent.collect();
                // No byte is sent twice, and exactly those asked for are.
                prop_assert_eq!(sent.len(), bytes.len());
                prop_assert_eq!(sent.into_iter().collect::<BTreeSet<_>>(), bytes);
            }
        }
        for (index, range) in ranges.iter().enumerate() {
            for other in &ranges[index + 1..] {
                prop_assert!(range.end < other.start || other.end < range.start);
            }
        }
        prop_assert!(ranges.len() != 1 || matches!(selection, Selection::Single(_)));
    }

    #[test]
    fn no_value_selects_what_is_not_there(
        value in "(bytes=)?[0-9,\\- ]{0,60}|\\PC{0,40}",
        complete in prop::num::u64::ANY,
    ) {
        for range in selected(&parse(value.as_bytes(), complete)) {
            prop_assert!(range.start < range.end);
            prop_assert!(range.end <= complete);
            prop_assert!(range.length() > 0);
        }
    }
}
