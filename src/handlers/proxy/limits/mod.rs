//! What bounds the load on an upstream.

pub(super) mod queue;

use std::time::Duration;

/// How many requests may wait for an upstream that is at its limit, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) size: usize,
    pub(super) timeout: Duration,
}
