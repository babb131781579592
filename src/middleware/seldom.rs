//! Telling the log of what clients can cause at will: at a bounded rate.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;

/// As often as someone who reads along needs to hear of it; numbers have every one.
const EVERY_SECONDS: u64 = 10;

/// Something that is told now and then. Holds no settings.
#[derive(Debug, Default)]
pub(super) struct Seldom(AtomicU64);

impl Seldom {
    /// Whether to tell of it now. Of several workers one is told so.
    pub(super) fn is_due(&self) -> bool {
        let now = clock::unix_now().as_secs();
        let told = self.0.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        now.saturating_sub(told) >= EVERY_SECONDS
            && self.0.compare_exchange(told, now, order, order).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_at_once_is_told_once() {
        let seldom = Seldom::default();
        assert_eq!([(); 3].map(|()| seldom.is_due()), [true, false, false]);
    }
}
