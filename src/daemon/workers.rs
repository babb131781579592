//! The workers' threads, and the threads of the blocking pool.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};
use tracing::{error, warn};

use crate::exchange::BlockingPool;
use crate::exchange::blocking::Jobs;
use crate::generation::Generation;
use crate::server::mailbox::{
    ORDERS_MAX, Order, Publication, Report, Reporter, Socket, WorkerSetup,
};
use crate::server::worker;
use crate::telemetry::WorkerCounters;

/// The sockets that one worker is given with a publication.
pub(super) type Sockets = Vec<(crate::generation::Bind, Socket)>;

/// All workers.
#[derive(Debug)]
pub(super) struct Workers {
    list: Vec<Worker>,
    /// Closed when the last thread has ended.
    alive: Receiver<Never>,
}

/// Nothing is ever sent to say that a thread has ended.
#[derive(Debug, PartialEq)]
enum Never {}

#[derive(Debug)]
struct Worker {
    orders: Sender<Order>,
    counters: Arc<WorkerCounters>,
}

impl Workers {
    /// Starts one worker for each set of sockets.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(
        generation: &Arc<Generation>,
        sockets: Vec<Sockets>,
        reports: &Reporter,
    ) -> io::Result<Self> {
        let blocking = Pool::start(generation.blocking_threads, generation.blocking_queue)?;
        let workers = sockets.len();
        let (lives, alive) = sync_channel(0);
        let mut list = Vec::with_capacity(workers);
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let (orders, inbox) = channel(ORDERS_MAX);
            let counters = Arc::<WorkerCounters>::default();
            let setup = WorkerSetup {
                worker,
                workers,
                first: Publication {
                    generation: Arc::clone(generation),
                    sockets,
                },
                orders: inbox,
                reports: reports.clone(),
                blocking: blocking.clone(),
                counters: Arc::clone(&counters),
            };
            let lives: SyncSender<Never> = lives.clone();
            thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || {
                    run(setup);
                    drop(lives);
                })?;
            list.push(Worker { orders, counters });
        }
        Ok(Self { list, alive })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Sends every worker the generation with its sockets.
    pub(super) fn publish(&self, generation: &Arc<Generation>, sockets: Vec<Sockets>) {
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let generation = Arc::clone(generation);
            self.order(
                worker,
                Order::Publish(Publication {
                    generation,
                    sockets,
                }),
            );
        }
    }

    /// Sends every worker a drain.
    pub(super) fn drain(&self, timeout: Duration) {
        for worker in 0..self.list.len() {
            self.order(worker, Order::Drain { timeout });
        }
    }

    /// Asks every worker whether it is alive.
    pub(super) fn beat(&self) {
        for worker in 0..self.list.len() {
            self.order(worker, Order::Beat);
        }
    }

    /// Has readiness say that the daemon is about to end.
    pub(super) fn leave(&self) {
        for worker in 0..self.list.len() {
            self.order(worker, Order::Leave);
        }
    }

    /// Tells every worker to end now.
    pub(super) fn stop(&self) {
        for worker in 0..self.list.len() {
            self.order(worker, Order::Stop);
        }
    }

    /// Waits until every thread has ended, but no longer than this; whether they have.
    pub(super) fn have_ended(&self, within: Duration) -> bool {
        self.alive.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }

    /// What each counts, by number.
    pub(super) fn counters(&self) -> Vec<Arc<WorkerCounters>> {
        let counters = |worker: &Worker| Arc::clone(&worker.counters);
        self.list.iter().map(counters).collect()
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> u64 {
        let open = |worker: &Worker| worker.counters.connections_open.get();
        self.list.iter().map(open).sum()
    }

    fn order(&self, worker: usize, order: Order) {
        let Some(to) = self.list.get(worker) else {
            return;
        };
        // A closed mailbox is a dead worker, which was reported; a full one is a stuck worker,
        // which the control plane complains about when its report is missing.
        if let Err(full) = to.orders.try_send(order) {
            error!(worker, error = %full, "cannot give an order to a worker");
        }
    }
}

/// The life of a worker's thread.
fn run(setup: WorkerSetup) {
    let (worker, reports) = (setup.worker, setup.reports.clone());
    // A panic has been logged by the hook with its place; here only the end is seen.
    let ended = catch_unwind(AssertUnwindSafe(|| worker::run(setup)));
    match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error!(worker, %error, "a worker failed"),
        Err(_) => {}
    }
    reports.send(Report::Died { worker });
}

/// The threads for work that may block: one waits, and whenever none does another is started, up
/// to so many. They end when the last worker has.
#[derive(Clone)]
struct Pool {
    jobs: Jobs,
    started: Arc<AtomicUsize>,
    threads_max: usize,
}

impl Pool {
    fn start(threads_max: usize, queue: usize) -> io::Result<BlockingPool> {
        let (pool, jobs) = BlockingPool::new(queue);
        let threads = Self {
            jobs,
            started: Arc::default(),
            threads_max,
        };
        threads.start_thread()?;
        Ok(pool)
    }

    fn start_thread(&self) -> io::Result<()> {
        let started = &self.started;
        let another = |threads| (threads < self.threads_max).then_some(threads + 1);
        let number = started.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another);
        let Ok(number) = number else {
            return Ok(());
        };
        let pool = self.clone();
        let thread = thread::Builder::new().name(format!("blocking-{number}"));
        let thread = thread.spawn(move || pool.jobs.run(|| pool.grow()));
        if thread.is_err() {
            started.fetch_sub(1, Ordering::Relaxed);
        }
        thread.map(drop)
    }

    fn grow(&self) {
        if let Err(error) = self.start_thread() {
            // Those that there are go on, and the next job tries again.
            warn!(%error, "cannot start another thread for blocking work");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::exchange::testing::block_on;

    /// Longer than anything takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn there_are_as_many_threads_as_jobs_at_a_time_up_to_the_limit() {
        let pool = Pool::start(3, 10).unwrap();
        let (began, begins) = sync_channel(10);
        let (release, wait) = sync_channel(10);
        let wait = Arc::new(Mutex::new(wait));
        let job = || {
            let (began, wait) = (began.clone(), Arc::clone(&wait));
            let done = block_on(pool.run(move || {
                let thread = thread::current().name().map(str::to_owned);
                began.send(thread).unwrap();
                wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }));
            assert_eq!(done, Ok(()));
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                thread::Builder::new().spawn_scoped(scope, job).unwrap();
            }
            let next = || begins.recv_timeout(PATIENCE).unwrap();
            let mut threads = BTreeSet::from([next(), next(), next()]);
            assert_eq!(threads.len(), 3, "{threads:?}");
            for _ in 0..4 {
                release.send(()).unwrap();
            }
            threads.insert(next());
            assert_eq!(threads.len(), 3, "{threads:?}");
        });
    }
}
