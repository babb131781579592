//! Coarse deadlines, kept by the worker instead of one timer a request.
//!
//! A [`Deadline`] is a slot in its worker's list: setting one is a store. The worker sweeps the
//! list every [`GRANULARITY`], and only when the earliest deadline may have passed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::clock;

/// How late a deadline may be noticed. A tenth of a second against limits of seconds.
pub const GRANULARITY: Duration = Duration::from_millis(100);

/// The deadlines of one worker.
pub struct Deadlines {
    slots: RefCell<Slab<Slot>>,
    /// No deadline is earlier than this; `NEVER` if none is set.
    earliest: Cell<u64>,
    /// Who sweeps waits for this one; `NEVER` if for none.
    awaited: Cell<u64>,
    /// Wakes who sweeps when an earlier deadline than the awaited one is set.
    sweeper: RefCell<Option<Waker>>,
    /// Every wait shall end, whatever its deadline.
    cut: Cell<bool>,
}

struct Slot {
    /// By [`clock::millis`], or `NEVER`.
    due: u64,
    waker: Option<Waker>,
}

const NEVER: u64 = u64::MAX;

/// The time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Deadlines {
    /// An empty list.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            slots: RefCell::default(),
            earliest: Cell::new(NEVER),
            awaited: Cell::new(NEVER),
            sweeper: RefCell::default(),
            cut: Cell::new(false),
        })
    }

    /// A new deadline, not set.
    pub fn register(self: &Rc<Self>) -> Deadline {
        let key = self.slots.borrow_mut().insert(Slot {
            due: NEVER,
            waker: None,
        });
        Deadline {
            list: Rc::clone(self),
            key,
        }
    }

    /// How long the sweeper may sleep, unless [`Self::poll_sooner`] is ready before: `None` if no
    /// deadline is set.
    pub fn next_sweep(&self, now: Instant) -> Option<Duration> {
        let due = self.earliest.get();
        self.awaited.set(due);
        match due {
            NEVER => None,
            due => Some(
                Duration::from_millis(due.saturating_sub(clock::millis_of(now))).max(GRANULARITY),
            ),
        }
    }

    /// Ready when a deadline was set that is earlier than the one that the last
    /// [`Self::next_sweep`] told of.
    pub fn poll_sooner(&self, cx: &Context<'_>) -> Poll<()> {
        if self.earliest.get() < self.awaited.get() {
            return Poll::Ready(());
        }
        self.sweeper.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Wakes every task whose deadline has passed.
    pub fn sweep(&self, now: Instant) {
        let now = clock::millis_of(now);
        if now < self.earliest.get() {
            return;
        }
        let mut due = Vec::new();
        let mut earliest = NEVER;
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            if slot.due <= now {
                due.extend(slot.waker.take());
            } else {
                earliest = earliest.min(slot.due);
            }
        }
        self.earliest.set(earliest);
        due.into_iter().for_each(Waker::wake);
    }

    /// Wakes every task that has ever waited on a deadline of this list, so that it looks at what
    /// has changed.
    pub fn wake_all(&self) {
        let mut wakers = Vec::new();
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            wakers.extend(slot.waker.take());
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has every wait end: the drain time is up.
    pub fn cut(&self) {
        self.cut.set(true);
        self.wake_all();
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadlines({})", self.slots.borrow().len())
    }
}

/// One deadline. Dropping it takes it off the list.
pub struct Deadline {
    list: Rc<Deadlines>,
    key: usize,
}

impl Deadline {
    /// Due `after` from now; replaces what was set.
    pub fn set(&self, after: Duration) {
        let now = clock::millis();
        let after = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        let due = now.saturating_add(after).min(NEVER - 1);
        self.list.slots.borrow_mut()[self.key].due = due;
        if due < self.list.earliest.get() {
            self.list.earliest.set(due);
            // Once a deadline has come closer, those set after it are later, as a rule: a busy
            // worker's sweeper is not woken for each request.
            if due < self.list.awaited.get()
                && let Some(waker) = self.list.sweeper.take()
            {
                waker.wake();
            }
        }
    }

    /// Due `after` from now at the latest.
    pub fn shorten(&self, after: Duration) {
        let now = clock::millis();
        let due = self.list.slots.borrow()[self.key].due;
        let left = Duration::from_millis(due.saturating_sub(now));
        if due == NEVER || left > after {
            self.set(after);
        }
    }

    /// Never due.
    pub fn clear(&self) {
        self.list.slots.borrow_mut()[self.key].due = NEVER;
    }

    /// Whether it has passed.
    pub fn is_past(&self) -> bool {
        let due = self.list.slots.borrow()[self.key].due;
        due != NEVER && due <= clock::millis()
    }

    /// Whether every wait of its worker shall end because the drain time is up. Who waits by
    /// [`Self::poll_past`] is woken to see it.
    pub fn is_cut(&self) -> bool {
        self.list.cut.get()
    }

    /// Ready once it has passed; wakes the task then.
    pub fn poll_past(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_past() {
            return Poll::Ready(());
        }
        let mut slots = self.list.slots.borrow_mut();
        let waker = &mut slots[self.key].waker;
        match waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs `future` until it is done or the deadline passes.
    pub async fn limit<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_past(cx).map(|()| Err(Elapsed))
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.list.slots.borrow_mut().remove(self.key);
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadline({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweeper_hears_of_a_deadline_before_the_one_it_waits_for() {
        let list = Deadlines::new();
        let cx = Context::from_waker(Waker::noop());
        let now = clock::now();
        let (long, short) = (list.register(), list.register());
        assert_eq!(list.next_sweep(now), None);
        assert!(list.poll_sooner(&cx).is_pending());
        long.set(Duration::from_mins(1));
        assert!(list.poll_sooner(&cx).is_ready());
        let wait = list.next_sweep(now).unwrap();
        assert!(wait > Duration::from_secs(59), "{wait:?}");
        assert!(list.poll_sooner(&cx).is_pending());

        short.set(Duration::from_secs(2));
        assert!(list.poll_sooner(&cx).is_ready());
        let wait = list.next_sweep(now).unwrap();
        assert!(wait < Duration::from_secs(3), "{wait:?}");
        short.set(Duration::from_secs(3));
        assert!(list.poll_sooner(&cx).is_pending(), "a later one");
    }

    #[test]
    fn a_sweep_wakes_who_is_due_and_leaves_the_rest() {
        let list = Deadlines::new();
        let cx = Context::from_waker(Waker::noop());
        let (long, short) = (list.register(), list.register());
        long.set(Duration::from_mins(1));
        short.set(Duration::ZERO);
        assert!(short.poll_past(&cx).is_ready());
        assert!(long.poll_past(&cx).is_pending());
        list.sweep(clock::now());
        let wait = list.next_sweep(clock::now()).unwrap();
        assert!(wait > Duration::from_secs(59), "{wait:?}");
        long.shorten(Duration::ZERO);
        assert!(long.is_past());
        long.clear();
        assert!(!long.is_past());
    }
}
