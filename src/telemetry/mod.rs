//! Counters: written by one worker each, summed only when read.

pub mod metrics;
pub mod routes;

use std::sync::atomic::{AtomicU64, Ordering};

pub use metrics::{Count, Gauge, Histogram, Metrics};
pub use routes::RouteNumbers;

/// A number that one thread writes and any thread reads.
///
/// The writer does a plain load and store, no locked instruction: there is only one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owning worker may call this.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Takes away, for gauges. Only the owning worker may call this.
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_sub(n),
            Ordering::Relaxed,
        );
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts. Aligned so that no two workers share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections open now.
    pub connections_open: Counter,
    /// Connections refused above the cap.
    pub connections_refused: Counter,
    /// Exchanges begun.
    pub exchanges_begun: Counter,
    /// Exchanges ended, in whatever way.
    pub exchanges_ended: Counter,
    /// Exchanges whose handler panicked.
    pub panics: Counter,
    /// HTTP/2 streams that brought a request.
    pub http2_streams: Counter,
    /// HTTP/2 streams that their clients reset.
    pub http2_resets: Counter,
    /// HTTP/2 connections ended because the client sent too much that asks for nothing.
    pub http2_floods: Counter,
    /// Requests refused before they were routed: bad bytes, limits, deadlines.
    pub requests_refused: Counter,
    /// Responses by class: 1xx … 5xx.
    pub responses: [Counter; 5],
    /// Exchanges that went wrong, by the number of the reason.
    pub whys: Whys,
}

/// How many reasons there may be. The vocabulary is checked against it when it is compiled.
pub const WHYS_MAX: usize = 96;

/// A counter for each reason why an exchange may go wrong.
#[derive(Debug)]
pub struct Whys([Counter; WHYS_MAX]);

impl Default for Whys {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Whys {
    /// The counter of a reason; `None` above [`WHYS_MAX`].
    pub fn of(&self, why: usize) -> Option<&Counter> {
        self.0.get(why)
    }
}
