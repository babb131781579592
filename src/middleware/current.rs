//! Something that changes now and then, read for every request without a lock.

use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::exchange::WorkerLocals;

/// A value that all workers read and that is put in place of another as a whole. Each worker
/// keeps a copy, and looks only at a number to see that it is still the right one.
#[derive(Debug)]
pub(super) struct Current<T> {
    id: u64,
    version: AtomicU64,
    value: Mutex<Arc<T>>,
}

/// Names each of them, so that none is taken for one that was there before.
static IDS: AtomicU64 = AtomicU64::new(1);

/// How many copies a worker keeps before it lets all of them go; more than any configuration
/// has keys and lists in files.
const COPIES_MAX: usize = 256;

/// The copies of one worker.
#[derive(Default)]
struct Copies(RefCell<Vec<Copied>>);

struct Copied {
    id: u64,
    version: u64,
    value: Arc<dyn Any + Send + Sync>,
}

impl<T: Any + Send + Sync> Current<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            version: AtomicU64::new(0),
            value: Mutex::new(Arc::new(value)),
        }
    }

    /// Puts another value in place.
    pub(super) fn set(&self, value: T) {
        let mut place = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(value);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The value as it is now.
    pub(super) fn get(&self, locals: &WorkerLocals) -> Arc<T> {
        let copies = locals.keep::<Copies>();
        let mut copies = copies.0.borrow_mut();
        let version = self.version.load(Ordering::Acquire);
        let known = copies.iter().position(|copied| copied.id == self.id);
        if let Some(copied) = known.and_then(|at| copies.get(at))
            && copied.version == version
            && let Ok(value) = Arc::clone(&copied.value).downcast()
        {
            return value;
        }
        let value = {
            let place = self.value.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&place)
        };
        if let Some(at) = known {
            copies.swap_remove(at);
        }
        if copies.len() >= COPIES_MAX {
            copies.clear();
        }
        copies.push(Copied {
            id: self.id,
            version,
            value: Arc::<T>::clone(&value),
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    #[test]
    fn a_worker_sees_what_was_set_and_copies_are_bounded() {
        let request = TestRequest::get("/");
        let (one, other) = (Current::new(1), Current::new("a"));
        assert_eq!(
            (*one.get(&request.locals), *other.get(&request.locals)),
            (1, "a")
        );
        one.set(2);
        assert_eq!(
            (*one.get(&request.locals), *other.get(&request.locals)),
            (2, "a")
        );
        assert!(Arc::ptr_eq(
            &one.get(&request.locals),
            &one.get(&request.locals)
        ));
        for n in 0..1000 {
            assert_eq!(*Current::new(n).get(&request.locals), n);
        }
        assert!(request.locals.keep::<Copies>().0.borrow().len() <= COPIES_MAX);
        assert_eq!(*one.get(&request.locals), 2);
    }
}
