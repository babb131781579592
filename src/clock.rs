//! The only reader of time.
//!
//! Time is coarse on purpose: a thread reads the clock once a wake-up (its runtime calls
//! [`invalidate`] when it comes back from waiting) and at most [`USES_MAX`] uses later.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// After how many uses a reading is taken anew even if the thread never went to sleep: a
/// saturated worker must still notice that time passes. Arbitrary, measured to cost nothing.
const USES_MAX: u8 = 64;

#[derive(Clone, Copy)]
struct Reading {
    instant: Instant,
    unix: Duration,
}

thread_local! {
    static READING: Cell<Option<Reading>> = const { Cell::new(None) };
    static USES: Cell<u8> = const { Cell::new(0) };
}

/// The monotonic time, coarse.
pub fn now() -> Instant {
    reading().instant
}

/// The time since 1970-01-01 00:00 UTC, coarse.
pub fn unix_now() -> Duration {
    reading().unix
}

/// The monotonic time, read now.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn precise_now() -> Instant {
    Instant::now()
}

/// How long this has been asked for: the control plane asks first thing, so that it is how long
/// the process has run.
pub fn uptime() -> Duration {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    let started = *STARTED.get_or_init(precise_now);
    now().saturating_duration_since(started)
}

/// The processor time that all threads of the process have spent.
pub fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // A processor time before zero there is not.
    Duration::try_from(spent).unwrap_or_default()
}

/// Forgets the reading: the next use reads the clock.
pub fn invalidate() {
    READING.set(None);
}

fn reading() -> Reading {
    let uses = USES.get();
    if uses < USES_MAX
        && let Some(reading) = READING.get()
    {
        USES.set(uses + 1);
        return reading;
    }
    USES.set(0);
    let reading = read();
    READING.set(Some(reading));
    reading
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
fn read() -> Reading {
    Reading {
        instant: Instant::now(),
        // A clock before 1970 is read as 1970.
        unix: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    }
}
