//! Named numbers with labels: what middleware, routes and upstreams count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread::available_parallelism;

use super::WorkerCounters;
use super::routes::Routes;

/// A name and a value. Values come from the configuration, never from the wire, so their number
/// is bounded by its size.
pub type Label = (&'static str, Box<str>);

/// How many slots a number has, so that workers do not write one cache line: as many as cores,
/// up to 64. More workers than that share a slot, which is slower and still right.
pub(super) static SLOTS: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, usize::from).min(64));

/// Every number there is, by name and labels.
///
/// Kept by `CarryOver`, so a number goes on across reloads. Holds weak references: a number
/// nobody counts with any more is forgotten when the numbers are next read.
#[derive(Default)]
pub struct Metrics {
    /// What is counted of each route.
    pub routes: Routes,
    families: Mutex<BTreeMap<&'static str, Family>>,
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
}

struct Family {
    help: &'static str,
    shape: Shape,
    series: BTreeMap<Vec<Label>, Weak<Cells>>,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value fell beneath each bound.
    Histogram {
        /// The bounds, rising, in the unit that is observed.
        bounds: &'static [u64],
        /// What to multiply with for the unit that is shown: 1e-6 for observed microseconds
        /// shown as seconds.
        scale: f64,
    },
}

/// Goes up only. Keep it as long as the number shall be shown.
#[derive(Debug, Clone)]
pub struct Count(Arc<Cells>);

/// Goes up and down.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Cells>);

/// How often a value fell beneath each bound.
#[derive(Debug, Clone)]
pub struct Histogram {
    cells: Arc<Cells>,
    bounds: &'static [u64],
}

/// One number or distribution: a slot for each worker.
#[derive(Debug)]
struct Cells(Box<[Slot]>);

/// The cells of one worker: the number, or the sum of all that was observed; and the buckets.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    number: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// All numbers of one name, as they are now.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyReading {
    /// The name, as Prometheus wants it: `httpserverd_rate_limit_refused_total`.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// What it is.
    pub shape: Shape,
    /// Each with its labels.
    pub series: Vec<(Vec<Label>, Reading)>,
}

/// One number as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The number (a gauge's may be negative), or the sum of what was observed.
    pub number: i64,
    /// For a histogram: how many fell into each bucket, one more than there are bounds.
    pub buckets: Vec<u64>,
}

impl Metrics {
    /// The counter of this name and these labels, the one there is or a new one. Its name ends
    /// in `_total`.
    pub fn count(&self, name: &'static str, help: &'static str, labels: Vec<Label>) -> Count {
        Count(self.cells(name, help, Shape::Counter, labels))
    }

    /// The gauge of this name and these labels.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Vec<Label>) -> Gauge {
        Gauge(self.cells(name, help, Shape::Gauge, labels))
    }

    /// The histogram of this name and these labels.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [u64],
        scale: f64,
        labels: Vec<Label>,
    ) -> Histogram {
        let shape = Shape::Histogram { bounds, scale };
        let cells = self.cells(name, help, shape, labels);
        Histogram { cells, bounds }
    }

    /// These are the workers, by number.
    pub fn set_workers(&self, workers: Vec<Arc<WorkerCounters>>) {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
    }

    /// What each worker counts, by number.
    pub fn workers(&self) -> Vec<Arc<WorkerCounters>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.clone()
    }

    /// Every named number as it is now, by name. Numbers nobody counts with any more are forgotten.
    pub fn read(&self) -> Vec<FamilyReading> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let read = families.iter_mut().map(|(&name, family)| {
            let mut series = Vec::new();
            family.series.retain(|labels, cells| {
                let cells = cells.upgrade();
                if let Some(cells) = &cells {
                    series.push((labels.clone(), cells.read()));
                }
                cells.is_some()
            });
            FamilyReading {
                name,
                help: family.help,
                shape: family.shape,
                series,
            }
        });
        let read: Vec<_> = read.collect();
        families.retain(|_, family| !family.series.is_empty());
        read.into_iter()
            .filter(|family| !family.series.is_empty())
            .collect()
    }

    fn cells(
        &self,
        name: &'static str,
        help: &'static str,
        shape: Shape,
        labels: Vec<Label>,
    ) -> Arc<Cells> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            shape,
            series: BTreeMap::new(),
        });
        debug_assert_eq!(family.shape, shape, "{name} has two shapes");
        if let Some(cells) = family.series.get(&labels).and_then(Weak::upgrade) {
            return cells;
        }
        let cells = Arc::new(Cells::new(shape));
        family.series.insert(labels, Arc::downgrade(&cells));
        cells
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Count {
    /// Adds; `worker` is the number of the worker that counts.
    pub fn add(&self, worker: usize, n: u64) {
        self.0.slot(worker).number.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum over all workers.
    pub fn get(&self) -> u64 {
        self.0.read().number.cast_unsigned()
    }
}

impl Gauge {
    /// Adds. Whoever takes it away again may be another worker.
    pub fn add(&self, worker: usize, n: i64) {
        let number = &self.0.slot(worker).number;
        number.fetch_add(n.cast_unsigned(), Ordering::Relaxed);
    }

    /// The sum over all workers.
    pub fn get(&self) -> i64 {
        self.0.read().number
    }
}

impl Histogram {
    /// Counts a value, in the unit of the bounds.
    pub fn observe(&self, worker: usize, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let slot = self.cells.slot(worker);
        slot.number.fetch_add(value, Ordering::Relaxed);
        if let Some(bucket) = slot.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Cells {
    fn new(shape: Shape) -> Self {
        let buckets = match shape {
            Shape::Histogram { bounds, .. } => bounds.len() + 1,
            Shape::Counter | Shape::Gauge => 0,
        };
        let slot = || Slot {
            number: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        };
        Self((0..*SLOTS).map(|_| slot()).collect())
    }

    fn slot(&self, worker: usize) -> &Slot {
        // There is at least one slot.
        &self.0[worker % self.0.len()]
    }

    fn read(&self) -> Reading {
        let mut sum = Reading {
            number: 0,
            buckets: vec![0; self.slot(0).buckets.len()],
        };
        for slot in &self.0 {
            let number = slot.number.load(Ordering::Relaxed).cast_signed();
            sum.number = sum.number.wrapping_add(number);
            for (sum, bucket) in sum.buckets.iter_mut().zip(&slot.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Vec<Label> {
        vec![("name", name.into())]
    }

    #[test]
    fn a_number_is_summed_over_workers_and_goes_on_while_someone_keeps_it() {
        let metrics = Metrics::default();
        let first = metrics.count("a_total", "A.", labels("x"));
        let again = metrics.count("a_total", "A.", labels("x"));
        let other = metrics.count("a_total", "A.", labels("y"));
        first.add(0, 2);
        again.add(1, 3);
        other.add(100, 1);
        assert_eq!((first.get(), other.get()), (5, 1));
        drop((first, again));
        let read = metrics.read();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].series.len(), 1);
        assert_eq!(metrics.count("a_total", "A.", labels("x")).get(), 0);
        drop(other);
        assert!(metrics.read().is_empty());
    }

    #[test]
    fn a_gauge_may_be_taken_away_from_by_another_worker() {
        let gauge = Metrics::default().gauge("g", "G.", Vec::new());
        gauge.add(0, 1);
        gauge.add(1, -2);
        assert_eq!(gauge.get(), -1);
    }

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let metrics = Metrics::default();
        let histogram = metrics.histogram("h_seconds", "H.", &[10, 100], 1e-6, Vec::new());
        for value in [0, 10, 11, 100, 101] {
            histogram.observe(0, value);
        }
        let read = metrics.read().remove(0).series.remove(0).1;
        assert_eq!(read.buckets, [2, 2, 1]);
        assert_eq!(read.number, 222);
    }
}
