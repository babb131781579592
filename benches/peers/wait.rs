//! Waiting with an end: every wait has a limit and gives up when the operator interrupts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Outcome;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on an interrupt ends the next wait with an error, so that every process that was
/// started is ended by its owner's `Drop`.
pub(crate) fn catch_interrupts() -> Outcome<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Asks `look` every `step` until it finds something, for no longer than `limit`.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    step: Duration,
    mut look: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let start = now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if INTERRUPTED
            .get()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
        {
            return Err("interrupted".into());
        }
        if start.elapsed() > limit {
            return Err(format!("{what}: not within {limit:?}").into());
        }
        pause(step);
    }
}

/// The time, read now.
#[expect(clippy::disallowed_methods, reason = "a bench measures wall time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when another process listens"
)]
fn pause(step: Duration) {
    std::thread::sleep(step);
}
