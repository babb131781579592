//! What one worker keeps between exchanges, for itself alone.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
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
    /// One of a type. There are fewer than a dozen types, and this is asked for every request.
    kept: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    flushed: RefCell<Vec<Weak<dyn Flush>>>,
}

/// What a worker buffers and hands over in batches: lines of an access log.
///
/// Who buffers sets a [`super::Deadline`] on the worker's list with the first thing it buffers,
/// so that a sweep comes in time even if nothing else happens.
pub trait Flush {
    /// Hands over all that is buffered. Called by the worker after every sweep of its
    /// deadlines, and once more before it ends.
    fn flush(&self);
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
            flushed: RefCell::default(),
        }
    }

    /// Has this flushed from now on, as long as it lives.
    pub fn on_flush(&self, buffer: &Rc<dyn Flush>) {
        let mut flushed = self.flushed.borrow_mut();
        flushed.retain(|known| known.strong_count() > 0);
        flushed.push(Rc::downgrade(buffer));
    }

    /// Flushes everything that is buffered. The worker calls this after every sweep of its
    /// deadlines, and once more before it ends.
    pub fn flush(&self) {
        // Taken out, so that who is flushed may register another.
        let flushed = self.flushed.take();
        flushed
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|buffer| buffer.flush());
        let registered = self.flushed.replace(flushed);
        self.flushed.borrow_mut().extend(registered);
    }

    /// This worker's only `T`, made when first asked for.
    pub fn keep<T: Default + 'static>(&self) -> Rc<T> {
        let key = TypeId::of::<T>();
        let known = self.find(key);
        let any = known.unwrap_or_else(|| {
            let any: Rc<dyn Any> = Rc::new(T::default());
            self.kept.borrow_mut().push((key, Rc::clone(&any)));
            any
        });
        // The key is the type, so the downcast cannot fail; a fresh one would be a cache miss.
        any.downcast().unwrap_or_default()
    }

    fn find(&self, key: TypeId) -> Option<Rc<dyn Any>> {
        let kept = self.kept.borrow();
        let (_, any) = kept.iter().find(|(known, _)| *known == key)?;
        Some(Rc::clone(any))
    }
}

impl fmt::Debug for WorkerLocals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerLocals({} of {})", self.worker, self.workers)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Counted(Cell<u32>);

    impl Flush for Counted {
        fn flush(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn what_is_registered_is_flushed_as_long_as_it_lives() {
        let (blocking, _jobs) = BlockingPool::new(1);
        let locals = WorkerLocals::new(0, 1, blocking, Arc::default());
        let counted = Rc::new(Counted::default());
        let buffer: Rc<dyn Flush> = Rc::<Counted>::clone(&counted);
        locals.on_flush(&buffer);
        locals.flush();
        locals.flush();
        assert_eq!(counted.0.get(), 2);
        drop(buffer);
        drop(counted);
        locals.flush();
        locals.on_flush(&(Rc::new(Counted::default()) as Rc<dyn Flush>));
        assert_eq!(locals.flushed.borrow().len(), 1);
    }

    #[test]
    fn a_worker_keeps_one_of_a_type() {
        let (blocking, _jobs) = BlockingPool::new(1);
        let locals = WorkerLocals::new(0, 1, blocking, Arc::default());
        locals.keep::<Cell<u8>>().set(7);
        assert_eq!(locals.keep::<Cell<u8>>().get(), 7);
    }
}
