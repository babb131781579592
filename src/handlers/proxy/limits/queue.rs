//! Who waits for an upstream that is at its limit: first come, first served, over all workers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

/// The line of those who wait. While nobody does, it costs a load.
#[derive(Default)]
pub(in crate::handlers::proxy) struct Queue {
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    tickets: u64,
    /// In the order in which they came, so their tickets rise.
    places: VecDeque<Slot>,
}

struct Slot {
    ticket: u64,
    /// Something became free, and this one may try for it.
    called: bool,
    waker: Option<Waker>,
}

/// Who is to be woken.
type Called = SmallVec<[Waker; 1]>;

/// A place in the line. Dropped, it is free; a call that was not answered goes to the next.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Place<'q> {
    queue: &'q Queue,
    ticket: u64,
}

impl Queue {
    /// Whether nobody waits: who comes now need not either.
    pub(in crate::handlers::proxy) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// A place at the end of the line; `None` if `size` wait already.
    pub(in crate::handlers::proxy) fn join(&self, size: usize) -> Option<Place<'_>> {
        let mut line = self.line();
        if line.places.len() >= size {
            return None;
        }
        line.tickets += 1;
        let ticket = line.tickets;
        // Something may have become free before it stood here: the first tries at once.
        let called = line.places.is_empty();
        line.places.push_back(Slot {
            ticket,
            called,
            waker: None,
        });
        self.waiting.store(line.places.len(), Ordering::SeqCst);
        Some(Place {
            queue: self,
            ticket,
        })
    }

    /// Something became free: the first who was not called yet is.
    pub(in crate::handlers::proxy) fn call_next(&self) {
        if self.is_empty() {
            return;
        }
        let mut called = Called::new();
        self.line().call(&mut called);
        called.into_iter().for_each(Waker::wake);
    }

    /// Everything may be different now: all try again.
    pub(in crate::handlers::proxy) fn call_all(&self) {
        let mut called = Called::new();
        let mut line = self.line();
        while line.call(&mut called) {}
        drop(line);
        called.into_iter().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Calls the first who was not called yet, if there is one; its waker is to be woken once
    /// nobody holds the line.
    fn call(&mut self, called: &mut Called) -> bool {
        let next = self.places.iter_mut().find(|slot| !slot.called);
        let found = next.is_some();
        if let Some(slot) = next {
            slot.called = true;
            called.extend(slot.waker.take());
        }
        found
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        let found = self
            .places
            .binary_search_by_key(&ticket, |slot| slot.ticket);
        found.ok()
    }
}

impl Place<'_> {
    /// Ready when it is this one's turn to try; if that is in vain, it waits for the next call.
    pub(in crate::handlers::proxy) fn poll_called(&self, cx: &Context<'_>) -> Poll<()> {
        let mut line = self.queue.line();
        let found = line.find(self.ticket);
        let Some(slot) = found.and_then(|index| line.places.get_mut(index)) else {
            return Poll::Ready(());
        };
        if std::mem::take(&mut slot.called) {
            return Poll::Ready(());
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        let slot = line
            .find(self.ticket)
            .and_then(|index| line.places.remove(index));
        self.queue
            .waiting
            .store(line.places.len(), Ordering::SeqCst);
        let mut called = Called::new();
        if slot.is_some_and(|slot| slot.called) {
            line.call(&mut called);
        }
        drop(line);
        called.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.waiting.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_called(place: &Place<'_>) -> bool {
        let cx = Context::from_waker(Waker::noop());
        place.poll_called(&cx).is_ready()
    }

    #[test]
    fn who_came_first_is_called_first() {
        let queue = Queue::default();
        assert!(queue.is_empty());
        let first = queue.join(2).unwrap();
        let second = queue.join(2).unwrap();
        assert!(queue.join(2).is_none());
        // The first may try at once; in vain, so it waits.
        assert!(is_called(&first));
        assert!(!is_called(&first) && !is_called(&second));
        queue.call_next();
        assert!(!is_called(&second));
        assert!(is_called(&first));
        drop(first);
        queue.call_next();
        assert!(is_called(&second));
        drop(second);
        assert!(queue.is_empty());
        queue.call_next();
    }

    #[test]
    fn the_call_of_one_who_left_goes_to_the_next() {
        let queue = Queue::default();
        let first = queue.join(9).unwrap();
        let second = queue.join(9).unwrap();
        assert!(is_called(&first));
        queue.call_next();
        drop(first);
        assert!(is_called(&second));
        assert!(!is_called(&second));
        let third = queue.join(9).unwrap();
        queue.call_all();
        assert!(is_called(&second) && is_called(&third));
    }
}
