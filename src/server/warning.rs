//! Things said in the log at a bounded rate: what others can cause at will.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock;

/// How often the log may tell the same: an operator sees that it goes on, and reads what else
/// there is.
const INTERVAL: Duration = Duration::from_secs(10);

/// When something was last said that may not be said too often.
#[derive(Debug, Default)]
pub struct Warning {
    last: Cell<Option<Instant>>,
}

impl Warning {
    /// Whether it may be said now; if so, it will be.
    pub fn is_due(&self) -> bool {
        let now = clock::now();
        let last = self.last.get();
        let due = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if due {
            self.last.set(Some(now));
        }
        due
    }
}
