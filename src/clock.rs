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

thread_local! {
    static INSTANT: Cell<Option<Instant>> = const { Cell::new(None) };
    static UNIX: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static MILLIS: Cell<u64> = const { Cell::new(0) };
    /// How often the reading may still be used.
    static USES: Cell<u8> = const { Cell::new(0) };
}

/// The monotonic time, coarse.
#[inline]
pub fn now() -> Instant {
    use_reading();
    INSTANT.get().unwrap_or_else(precise_now)
}

/// The monotonic time in milliseconds since the process first asked for the time, coarse.
#[inline]
pub fn millis() -> u64 {
    use_reading();
    MILLIS.get()
}

/// This time in the milliseconds of [`millis`].
pub fn millis_of(instant: Instant) -> u64 {
    let elapsed = instant.saturating_duration_since(started());
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The time since 1970-01-01 00:00 UTC, coarse.
#[inline]
pub fn unix_now() -> Duration {
    use_reading();
    UNIX.get()
}

/// The monotonic time, read now.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn precise_now() -> Instant {
    Instant::now()
}

/// How long this has been asked for: the control plane asks first thing, so that it is how long
/// the process has run.
pub fn uptime() -> Duration {
    let started = started();
    now().saturating_duration_since(started)
}

/// The processor time that all threads of the process have spent.
pub fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // A processor time before zero there is not.
    Duration::try_from(spent).unwrap_or_default()
}

fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(precise_now)
}

/// Forgets the reading: the next use reads the clock.
pub fn invalidate() {
    USES.set(0);
}

#[inline]
fn use_reading() {
    match USES.get() {
        0 => read(),
        uses => USES.set(uses - 1),
    }
}

#[cold]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
fn read() {
    let started = started();
    let now = Instant::now();
    INSTANT.set(Some(now));
    let elapsed = now.saturating_duration_since(started);
    MILLIS.set(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    // A clock before 1970 is read as 1970.
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    UNIX.set(unix.unwrap_or_default());
    USES.set(USES_MAX);
}
