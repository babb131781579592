//! How much of its share an endpoint gets after it came back: caches are cold, and a flood at
//! once would take it down again.

use std::time::Duration;

/// Hundredths of its share that it begins with. Enough to be measured by.
const BEGIN: u32 = 10;

/// Hundredths of its share that an endpoint gets, so long after it came back: growing evenly
/// over `slow_start`.
pub(in crate::handlers::proxy) fn share(back_for_ms: u64, slow_start: Duration) -> u32 {
    let whole = slow_start.as_millis();
    let back_for = u128::from(back_for_ms);
    if back_for >= whole {
        return 100;
    }
    let grown = back_for * u128::from(100 - BEGIN) / whole.max(1);
    BEGIN + u32::try_from(grown).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_evenly_from_a_tenth_to_the_whole() {
        for (after, expected) in [
            (0, 10),
            (5_000, 55),
            (9_999, 99),
            (10_000, 100),
            (99_999, 100),
        ] {
            assert_eq!(share(after, Duration::from_secs(10)), expected, "{after}");
        }
        assert_eq!(share(0, Duration::ZERO), 100);
    }
}
