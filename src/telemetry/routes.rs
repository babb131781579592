//! What is counted of each route, in configurations where something can read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::metrics::{FamilyReading, Label, Reading, SLOTS, Shape};

/// The bounds of the buckets of durations, in microseconds: from what a file in memory takes to
/// what a person waits for, two or three to a power of ten.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of one route: a slot for each worker.
pub struct RouteNumbers(Box<[Slot]>);

/// Aligned so that no two workers write one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    classes: [AtomicU64; CLASSES.len()],
    micros: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

/// The numbers of all routes, by name. Weak: a route that no generation has is forgotten.
#[derive(Default)]
pub struct Routes(Mutex<BTreeMap<Box<str>, Weak<RouteNumbers>>>);

impl RouteNumbers {
    fn new() -> Self {
        Self((0..*SLOTS).map(|_| Slot::default()).collect())
    }

    /// Counts a response of this class (0 for 1xx … 4 for 5xx) and how long its exchange took.
    pub fn observe(&self, worker: usize, class: usize, duration: Duration) {
        // There is at least one slot.
        let slot = &self.0[worker % self.0.len()];
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let (Some(class), Some(bucket)) = (slot.classes.get(class), slot.buckets.get(bucket)) {
            class.fetch_add(1, Ordering::Relaxed);
            slot.micros.fetch_add(micros, Ordering::Relaxed);
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sum(&self, number: impl Fn(&Slot) -> &AtomicU64) -> u64 {
        let numbers = self
            .0
            .iter()
            .map(|slot| number(slot).load(Ordering::Relaxed));
        numbers.sum()
    }
}

impl Routes {
    /// The numbers of this route: those there are, or new ones.
    pub fn keep(&self, name: &str) -> Arc<RouteNumbers> {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = routes.get(name).and_then(Weak::upgrade) {
            return kept;
        }
        let numbers = Arc::new(RouteNumbers::new());
        routes.insert(name.into(), Arc::downgrade(&numbers));
        numbers
    }

    /// Responses by class and durations, of every route.
    pub fn read(&self) -> [FamilyReading; 2] {
        let mut responses = Vec::new();
        let mut durations = Vec::new();
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|name, numbers| {
            let Some(numbers) = numbers.upgrade() else {
                return false;
            };
            let route: Label = ("route", name.clone());
            for (at, class) in CLASSES.into_iter().enumerate() {
                let labels = vec![route.clone(), ("class", class.into())];
                let number = numbers.sum(|slot| &slot.classes[at]).cast_signed();
                let buckets = Vec::new();
                responses.push((labels, Reading { number, buckets }));
            }
            let buckets = (0..=BOUNDS.len()).map(|at| numbers.sum(|slot| &slot.buckets[at]));
            let reading = Reading {
                number: numbers.sum(|slot| &slot.micros).cast_signed(),
                buckets: buckets.collect(),
            };
            durations.push((vec![route], reading));
            true
        });
        drop(routes);
        [
            FamilyReading {
                name: "httpserverd_route_responses_total",
                help: "Responses of a route by class of status.",
                shape: Shape::Counter,
                series: responses,
            },
            FamilyReading {
                name: "httpserverd_route_duration_seconds",
                help: "From the first byte of a request to the last byte of its response.",
                shape: Shape::Histogram {
                    bounds: &BOUNDS,
                    scale: 1e-6,
                },
                series: durations,
            },
        ]
    }
}

impl fmt::Debug for RouteNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteNumbers")
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_counted_by_class_and_duration_while_someone_has_it() {
        let routes = Routes::default();
        let numbers = routes.keep("api");
        let again = routes.keep("api");
        numbers.observe(0, 1, Duration::from_micros(100));
        again.observe(1, 1, Duration::from_micros(101));
        numbers.observe(100, 4, Duration::from_mins(1));
        numbers.observe(0, 7, Duration::ZERO);
        let [responses, durations] = routes.read();
        let by_class: Vec<i64> = responses.series.iter().map(|(_, of)| of.number).collect();
        assert_eq!(by_class, [0, 2, 0, 0, 1]);
        let (labels, duration) = &durations.series[0];
        assert_eq!(labels, &[("route", "api".into())]);
        assert_eq!(duration.number, 60_000_201);
        assert_eq!(duration.buckets[..2], [1, 1]);
        assert_eq!(duration.buckets.last(), Some(&1));
        drop((numbers, again));
        assert!(routes.read().iter().all(|family| family.series.is_empty()));
        assert!(routes.0.lock().unwrap().is_empty());
    }
}
