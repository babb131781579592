//! What lately changed, and why: a ring of bounded length.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// How many changes are kept. An endpoint that flaps fills it in minutes, and then the last
/// sixteen say all there is to say.
const KEPT_MAX: usize = 16;

/// The last changes of a state, the latest last.
#[derive(Debug, Default)]
pub(in crate::handlers::proxy) struct History(Mutex<VecDeque<Change>>);

/// A change of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When, since 1970.
    pub at: Duration,
    /// To what: `healthy`, `unhealthy`, `ejected`, `draining`, `open` …
    pub to: &'static str,
    /// What brought it about.
    pub cause: String,
}

impl History {
    /// Notes a change that happens now.
    pub(in crate::handlers::proxy) fn note(&self, to: &'static str, cause: String) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() == KEPT_MAX {
            changes.pop_front();
        }
        changes.push_back(Change {
            at: clock::unix_now(),
            to,
            cause,
        });
    }

    /// All that is kept, the latest last.
    pub(in crate::handlers::proxy) fn changes(&self) -> Vec<Change> {
        let changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_are_kept() {
        let history = History::default();
        for number in 0..20 {
            history.note("healthy", number.to_string());
        }
        let causes: Vec<String> = history.changes().into_iter().map(|own| own.cause).collect();
        assert_eq!(causes.len(), KEPT_MAX);
        assert_eq!((&*causes[0], &*causes[15]), ("4", "19"));
    }
}
