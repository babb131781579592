//! How many retries an upstream is asked to bear: a share of its traffic. When it fails as a
//! whole, retrying everything would only multiply the load it fails under.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::view::View;
use crate::build::Percent;
use crate::clock;

/// Requests and retries are counted over this long: long enough that a share of a few requests a
/// second means something, short enough that an outage is soon forgotten.
const WINDOW: Duration = Duration::from_secs(10);

/// So many retries in a window are free, a worker: a share of little traffic is nothing.
const FREE: u64 = 10;

/// What one worker counts of one upstream.
#[derive(Debug)]
pub(super) struct Budget {
    began: Cell<Instant>,
    now: Cell<Counted>,
    before: Cell<Counted>,
}

/// What happened within one half of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    requests: u64,
    retries: u64,
}

/// The budgets of a worker, by upstream. An upstream that is gone is forgotten when a new one
/// comes.
#[derive(Debug, Default)]
pub(super) struct Budgets(RefCell<HashMap<Rc<str>, Kept>>);

#[derive(Debug)]
struct Kept {
    budget: Rc<Budget>,
    view: Weak<View>,
}

impl Budgets {
    /// The budget of an upstream. It goes on across reloads, by its name.
    pub(super) fn of(&self, view: &Rc<View>) -> Rc<Budget> {
        let mut budgets = self.0.borrow_mut();
        if let Some(kept) = budgets.get_mut(&view.name) {
            if kept.view.as_ptr() != Rc::as_ptr(view) {
                kept.view = Rc::downgrade(view);
            }
            return Rc::clone(&kept.budget);
        }
        budgets.retain(|_, kept| kept.view.strong_count() > 0);
        let budget = Rc::new(Budget::new(clock::now()));
        let kept = Kept {
            budget: Rc::clone(&budget),
            view: Rc::downgrade(view),
        };
        budgets.insert(Rc::clone(&view.name), kept);
        budget
    }
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            began: Cell::new(now),
            now: Cell::default(),
            before: Cell::default(),
        }
    }

    /// A request came.
    pub(super) fn request(&self, now: Instant) {
        self.turn(now);
        let mut counted = self.now.get();
        counted.requests += 1;
        self.now.set(counted);
    }

    /// Whether one more retry is within the share; if so, it is counted.
    pub(super) fn retry(&self, now: Instant, share: Percent) -> bool {
        self.turn(now);
        let (mut counted, before) = (self.now.get(), self.before.get());
        let requests = counted.requests + before.requests;
        let allowed = FREE + share.of(requests);
        if counted.retries + before.retries >= allowed {
            return false;
        }
        counted.retries += 1;
        self.now.set(counted);
        true
    }

    /// Begins the next half of the window when it is time.
    fn turn(&self, now: Instant) {
        let half = WINDOW / 2;
        let passed = now.saturating_duration_since(self.began.get());
        if passed < half {
            return;
        }
        let next = passed < WINDOW;
        self.before.set(if next {
            self.now.get()
        } else {
            Counted::default()
        });
        self.now.set(Counted::default());
        self.began.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &Budget, now: Instant, tried: usize) -> usize {
        let share = Percent::whole(20);
        (0..tried).filter(|_| budget.retry(now, share)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_a_few() {
        let start = clock::now();
        let budget = Budget::new(start);
        assert_eq!(retries(&budget, start, 50), 10);
        (0..100).for_each(|_| budget.request(start));
        assert_eq!(retries(&budget, start, 50), 20);
        // Half a window later both still count, a whole one later neither does.
        let later = start + WINDOW / 2;
        assert_eq!(retries(&budget, later, 50), 0);
        (0..100).for_each(|_| budget.request(later));
        assert_eq!(retries(&budget, later, 50), 20);
        assert_eq!(retries(&budget, later + WINDOW, 50), 10);
    }
}
