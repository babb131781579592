//! What the tests stand on: the real binary, a raw socket.

pub(crate) mod address;
pub(crate) mod daemon;
pub(crate) mod golden;
pub(crate) mod h2;
pub(crate) mod h2_upstream;
pub(crate) mod log;
pub(crate) mod pebble;
pub(crate) mod port;
mod process;
pub(crate) mod redis;
pub(crate) mod response;
pub(crate) mod script;
mod setup;
mod stream;
pub(crate) mod tls;
pub(crate) mod tls_upstream;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::time::{Duration, Instant};

use httpserverd::clock;

/// How long any one wait may take before the test fails. Nothing here takes a tenth of that on
/// an idle machine; a busy one gets its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// When a wait that begins now is given up.
pub(crate) fn deadline() -> Instant {
    clock::precise_now() + PATIENCE
}

/// What is left until then; `None` if that is past.
pub(crate) fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(clock::precise_now())
        .filter(|left| !left.is_zero())
}
