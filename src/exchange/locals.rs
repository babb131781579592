//! What one worker keeps between exchanges, for itself alone.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{BlockingPool, Deadlines};
use crate::telemetry::WorkerCounters;

/// Pools of upstream connections, caches of small files, deadlines: all that needs no lock
/// because only one thread sees it.
pub struct WorkerLocals {
    /// The number of this worker, from 0.
    pub worker: usize,
    /// How many workers there are: who bounds a total divides by this.
    pub workers: usize,
    /// The coarse deadlines of this worker.
    pub deadlines: Rc<Deadlines>,
    /// Where blocking work goes.
    pub blocking: BlockingPool,
    /// What this worker counts.
    pub counters: Arc<WorkerCounters>,
    kept: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

impl WorkerLocals {
    /// Empty locals for worker `worker` of `workers`.
    pub fn new(
        worker: usize,
        workers: usize,
        blocking: BlockingPool,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        Self {
            worker,
            workers,
            deadlines: Deadlines::new(),
            blocking,
            counters,
            kept: RefCell::default(),
        }
    }

    /// This worker's only `T`, made when first asked for.
    pub fn keep<T: Default + 'static>(&self) -> Rc<T> {
        let mut kept = self.kept.borrow_mut();
        let any = kept
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Rc::new(T::default()));
        // The key is the type, so the downcast cannot fail; a fresh one would be a cache miss.
        Rc::clone(any).downcast().unwrap_or_default()
    }
}

impl fmt::Debug for WorkerLocals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerLocals({} of {})", self.worker, self.workers)
    }
}
