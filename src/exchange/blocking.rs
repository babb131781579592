//! The bounded pool for work that may block: cold disk reads, name look-ups.
//!
//! The control plane starts the threads, one more whenever none is left that waits for work; each
//! runs [`Jobs::run`] until the last [`BlockingPool`] is gone.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

type Job = Box<dyn FnOnce() + Send>;

/// Where workers leave blocking work. Cloned freely.
#[derive(Clone)]
pub struct BlockingPool {
    queue: SyncSender<Job>,
}

/// The other end: what the pool's threads take from.
#[derive(Clone)]
pub struct Jobs {
    queue: Arc<Mutex<Receiver<Job>>>,
    /// How many threads wait for one.
    waiting: Arc<AtomicUsize>,
}

/// The queue of the pool is full, or the pool is gone; the client gets 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFull;

impl BlockingPool {
    /// A pool whose queue holds `queue` jobs.
    pub fn new(queue: usize) -> (Self, Jobs) {
        let (sender, receiver) = sync_channel(queue);
        (
            Self { queue: sender },
            Jobs {
                queue: Arc::new(Mutex::new(receiver)),
                waiting: Arc::default(),
            },
        )
    }

    /// Runs `work` on a thread of the pool.
    ///
    /// [`PoolFull`] at once if there is no room; also if `work` panicked (the panic is logged by
    /// the thread's hook and ends nothing else).
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolFull> {
        let (answer, wait) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move || {
            // The exchange may have ended meanwhile; then nobody wants the answer.
            drop(answer.send(work()));
        });
        match self.queue.try_send(job) {
            Ok(()) => wait.await.map_err(|_| PoolFull),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(PoolFull),
        }
    }
}

impl Jobs {
    /// Takes and runs jobs until every [`BlockingPool`] is gone. `none_waits` is called before a
    /// job is run while nobody waits for the next one.
    pub fn run(&self, none_waits: impl Fn()) {
        loop {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let next = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let others = self.waiting.fetch_sub(1, Ordering::Relaxed) - 1;
            let Ok(job) = next else { return };
            if others == 0 {
                none_waits();
            }
            // A panicking job has dropped its answer; its waiter sees that.
            drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
        }
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingPool")
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jobs")
    }
}
