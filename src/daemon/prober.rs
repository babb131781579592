//! Runs the probes of the present generation: health checks, off the path of every request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tracing::debug;

use crate::build::Probe;
use crate::clock;

/// How many probes run at the same time. Each may wait for its timeout, a few seconds at most,
/// so a hundred endpoints that are all down are still asked about once a minute.
const THREADS_MAX: usize = 8;

/// The threads that probe, started when there is first something to probe.
#[derive(Debug, Default)]
pub(super) struct Prober {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Schedule {
    /// Counted up with every set of probes; one that ran for an older set is not put back.
    set: u64,
    probes: Vec<Arc<dyn Probe>>,
    /// When which probe is due, the earliest on top. One that runs is not in here, so no probe
    /// runs twice at a time.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    ended: bool,
}

impl Prober {
    /// Runs these from now on, each at once and then at its intervals.
    ///
    /// # Errors
    /// A thread cannot be started. Those that could run the probes all the same.
    pub(super) fn set(&mut self, probes: &[Arc<dyn Probe>]) -> io::Result<()> {
        let now = clock::now();
        let mut schedule = self.shared.lock();
        schedule.set += 1;
        schedule.probes = probes.to_vec();
        schedule.due = (0..probes.len())
            .map(|probe| Reverse((now, probe)))
            .collect();
        drop(schedule);
        self.shared.changed.notify_all();
        while self.threads.len() < probes.len().min(THREADS_MAX) {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new()
                .name(format!("probe-{}", self.threads.len()))
                .spawn(move || shared.run())?;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// Runs none from now on. Does not wait for those that are running.
    pub(super) fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        while let Some((set, number, probe)) = self.next() {
            // A panic has been logged by the hook, and ends this one run of this one probe.
            drop(catch_unwind(AssertUnwindSafe(|| probe.run())));
            clock::invalidate();
            debug!(probe = probe.name(), "probed");
            let mut schedule = self.lock();
            let due = clock::now().checked_add(probe.interval());
            if let Some(due) = due.filter(|_| schedule.set == set) {
                schedule.due.push(Reverse((due, number)));
                drop(schedule);
                // Another thread may be waiting for a later one.
                self.changed.notify_one();
            }
        }
    }

    /// Waits until a probe is due and takes it; `None` at the end.
    fn next(&self) -> Option<(u64, usize, Arc<dyn Probe>)> {
        let mut schedule = self.lock();
        loop {
            if schedule.ended {
                return None;
            }
            clock::invalidate();
            let wait = match schedule.due.peek() {
                None => None,
                Some(Reverse((due, _))) => {
                    let wait = due.saturating_duration_since(clock::now());
                    if wait.is_zero() {
                        let Reverse((_, number)) = schedule.due.pop()?;
                        let probe = Arc::clone(schedule.probes.get(number)?);
                        return Some((schedule.set, number, probe));
                    }
                    Some(wait)
                }
            };
            schedule = match wait {
                None => self
                    .changed
                    .wait(schedule)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    self.changed
                        .wait_timeout(schedule, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Told(&'static str, Duration, Sender<&'static str>);

    impl Probe for Told {
        fn name(&self) -> String {
            self.0.to_owned()
        }

        fn interval(&self) -> Duration {
            self.1
        }

        fn run(&self) {
            assert!(self.2.send(self.0).is_ok());
        }
    }

    fn next(told: &Receiver<&'static str>) -> &'static str {
        told.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn probes_run_at_once_and_again_until_they_are_replaced() {
        let (tell, told) = channel();
        let probe =
            |name, interval| -> Arc<dyn Probe> { Arc::new(Told(name, interval, tell.clone())) };
        let mut prober = Prober::default();
        let rare = Duration::from_hours(1);
        prober
            .set(&[
                probe("rare", rare),
                probe("often", Duration::from_millis(1)),
            ])
            .unwrap();
        let first: Vec<_> = (0..10).map(|_| next(&told)).collect();
        assert_eq!(first.iter().filter(|&&name| name == "rare").count(), 1);
        prober.set(&[probe("new", rare)]).unwrap();
        while next(&told) != "new" {}
        prober.end();
        for thread in prober.threads {
            thread.join().unwrap();
        }
    }
}
