//! The control plane under events in any order, with workers and files of any mood.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use httpserverd::clock;
use httpserverd::daemon::control::Control;
use httpserverd::daemon::event::{DrainTimes, EndSignal, Event};
use httpserverd::daemon::{Action, Because};
use httpserverd::server::mailbox::Report;
use proptest::prelude::*;

const WORKERS: usize = 3;
const TIMES: DrainTimes = DrainTimes {
    delay: Duration::from_secs(5),
    timeout: Duration::from_secs(30),
};

/// What may happen next in the world around the control plane.
#[derive(Debug, Clone)]
enum Happening {
    /// Anyone may send this at any time.
    Signal(Event),
    /// Files were touched.
    Touched,
    /// The time that the control plane waits for comes.
    Deadline,
    /// Some time passes without anything happening.
    Pause(Duration),
    /// A worker does the next thing it was ordered to do.
    Worker(usize),
    /// The process that shall replace the daemon is ready, or fails.
    Successor(bool),
    /// A worker dies.
    Death(usize),
}

/// The world: what is on disk, what the workers were ordered, what was done.
struct World {
    control: Control,
    now: Instant,
    /// Whether the next preparations succeed, over and over.
    good: Vec<bool>,
    preparations: usize,
    /// The generation that was prepared and not published yet.
    prepared: Option<u64>,
    announced: u64,
    mailboxes: Vec<Vec<Order>>,
    dead: BTreeSet<usize>,
    gone: BTreeSet<usize>,
    /// Whether a successor has been started and not been heard of.
    upgrading: bool,
    /// Whether a process that was to be the successor lives, and the daemon with it.
    successor: bool,
    leaves: usize,
    drains: usize,
    ends: usize,
    last: Option<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Publish(u64),
    Drain,
}

impl World {
    fn new(good: Vec<bool>) -> Self {
        let now = clock::precise_now();
        Self {
            control: Control::new(WORKERS, TIMES, now),
            now,
            good,
            preparations: 0,
            prepared: None,
            announced: 0,
            mailboxes: vec![vec![Order::Publish(1)]; WORKERS],
            dead: BTreeSet::new(),
            gone: BTreeSet::new(),
            upgrading: false,
            successor: false,
            leaves: 0,
            drains: 0,
            ends: 0,
            last: None,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Signal(event) => self.handle(*event),
            Happening::Touched => self.handle(Event::FilesTouched),
            Happening::Deadline => {
                if let Some(deadline) = self.control.deadline() {
                    self.now = self.now.max(deadline);
                    self.handle(Event::Tick);
                }
            }
            Happening::Pause(time) => {
                self.now += *time;
                if self.control.deadline().is_some_and(|due| due <= self.now) {
                    self.handle(Event::Tick);
                }
            }
            Happening::Worker(worker) => self.work(*worker),
            Happening::Successor(ready) => {
                if std::mem::take(&mut self.upgrading) {
                    self.handle(match ready {
                        true => Event::Upgraded,
                        false => Event::NotUpgraded,
                    });
                }
            }
            Happening::Death(worker) => {
                if !self.gone.contains(worker) && self.dead.insert(*worker) {
                    self.handle(Event::Report(Report::Died { worker: *worker }));
                }
            }
        }
    }

    fn work(&mut self, worker: usize) {
        let alive = !self.dead.contains(&worker) && !self.gone.contains(&worker);
        if !alive || self.mailboxes[worker].is_empty() {
            return;
        }
        let report = match self.mailboxes[worker].remove(0) {
            Order::Publish(generation) => Report::Published { worker, generation },
            Order::Drain => {
                self.gone.insert(worker);
                Report::Drained { worker, cut: 0 }
            }
        };
        self.handle(Event::Report(report));
    }

    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.control.handle(event, self.now) {
                events.extend(self.carry_out(&action));
                self.last = Some(action);
            }
        }
    }

    fn carry_out(&mut self, action: &Action) -> Option<Event> {
        assert_eq!(self.ends, 0, "{action:?} after the end");
        match action {
            Action::Prepare(_) => {
                assert_eq!(self.leaves + self.drains, 0, "prepared while draining");
                assert!(!self.upgrading, "prepared while being replaced");
                assert_eq!(self.prepared, None, "two at a time");
                let good = self.good[self.preparations % self.good.len()];
                self.preparations += 1;
                if !good {
                    return Some(Event::NotPrepared);
                }
                let generation = self.announced + 1;
                self.prepared = Some(generation);
                Some(Event::Prepared {
                    generation,
                    drain: TIMES,
                })
            }
            Action::Publish { generation } => {
                // Nothing but what was prepared, and found good, is ever published.
                assert_eq!(self.prepared.take(), Some(*generation));
                for mailbox in &mut self.mailboxes {
                    mailbox.push(Order::Publish(*generation));
                    // What a mailbox must hold: see `ORDERS_MAX`.
                    assert!(mailbox.len() <= 1, "{mailbox:?}");
                }
                None
            }
            Action::Announce { generation } => {
                assert_eq!(*generation, self.announced + 1, "one after the other");
                let waiting = self.mailboxes.iter().any(|mailbox| !mailbox.is_empty());
                assert!(!waiting, "announced before every worker had it");
                self.announced = *generation;
                None
            }
            Action::Upgrade | Action::AbandonUpgrade | Action::Leave { .. } => {
                self.begin_to_go(action);
                None
            }
            Action::Drain(_) => {
                assert!(!self.upgrading, "two may live, not none");
                self.drains += 1;
                assert_eq!(self.drains, 1, "a second drain");
                for mailbox in &mut self.mailboxes {
                    mailbox.push(Order::Drain);
                }
                None
            }
            Action::End { because, failed } => {
                self.ends += 1;
                self.check_end(because, *failed);
                None
            }
            Action::Discard => {
                assert!(self.prepared.take().is_some());
                assert_eq!(self.leaves.max(self.drains), 1);
                None
            }
            Action::Complain { silent, .. } => {
                assert!(!silent.is_empty());
                None
            }
            Action::ReopenLogs | Action::Mourn { .. } | Action::Drained { .. } => None,
        }
    }

    fn begin_to_go(&mut self, action: &Action) {
        match action {
            Action::Upgrade => {
                assert!(!self.upgrading && self.drains + self.leaves == 0);
                assert_eq!(self.prepared, None, "replaced in the middle of a reload");
                self.upgrading = true;
                self.successor = true;
            }
            Action::AbandonUpgrade => {
                assert!(std::mem::take(&mut self.successor), "nobody to abandon");
                self.upgrading = false;
            }
            _ => {
                self.leaves += 1;
                assert_eq!((self.leaves, self.drains), (1, 0));
            }
        }
    }

    fn check_end(&self, because: &Because, failed: bool) {
        let told = *because == Because::AskedAgain && self.leaves == 1;
        assert!(told || self.drains == 1, "ended without a drain");
        let left = WORKERS - self.dead.len() - self.gone.len();
        match because {
            Because::Drained => assert_eq!(left, 0, "ended too early"),
            Because::Stuck(workers) => assert_eq!(workers.len(), left),
            Because::AskedAgain => {}
        }
        let stuck = matches!(because, Because::Stuck(_));
        assert_eq!(failed, stuck || !self.dead.is_empty(), "{because:?}");
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let signal = prop_oneof![
        6 => Just(Event::Reload),
        1 => Just(Event::Reopen),
        2 => Just(Event::Upgrade),
        1 => Just(Event::End(EndSignal::Terminate)),
        1 => Just(Event::End(EndSignal::Interrupt)),
    ];
    prop_oneof![
        3 => signal.prop_map(Happening::Signal),
        3 => Just(Happening::Touched),
        4 => Just(Happening::Deadline),
        2 => (0..10_000_u64).prop_map(|time| Happening::Pause(Duration::from_millis(time))),
        2 => any::<bool>().prop_map(Happening::Successor),
        12 => (0..WORKERS).prop_map(Happening::Worker),
        1 => (0..WORKERS * 20).prop_map(|worker| match worker {
            worker if worker < WORKERS => Happening::Death(worker),
            worker => Happening::Worker(worker % WORKERS),
        }),
    ]
}

proptest! {
    #[test]
    fn never_two_drains_never_a_broken_generation_always_an_end(
        good in prop::collection::vec(any::<bool>(), 1..5),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(good);
        for happening in &happenings {
            world.happen(happening);
        }
        // However it stands now: asked to end, it ends, if only by the time being up.
        world.happen(&Happening::Signal(Event::End(EndSignal::Terminate)));
        world.happen(&Happening::Deadline);
        world.happen(&Happening::Deadline);
        prop_assert!(world.control.has_ended(), "{:?}", world.last);
        prop_assert_eq!(world.ends, 1);
        // And stays so.
        for happening in &happenings {
            world.happen(happening);
        }
    }

    #[test]
    fn a_reload_that_was_asked_for_is_not_forgotten(
        happenings in prop::collection::vec(happening(), 0..100),
    ) {
        let mut world = World::new(vec![true]);
        for happening in &happenings {
            world.happen(happening);
        }
        world.happen(&Happening::Successor(false));
        prop_assume!(world.drains + world.leaves == 0);
        let before = world.preparations;
        world.happen(&Happening::Signal(Event::Reload));
        for worker in (0..WORKERS).cycle().take(WORKERS * 6) {
            world.happen(&Happening::Worker(worker));
            world.happen(&Happening::Successor(false));
        }
        prop_assert!(world.preparations > before);
        prop_assert!(world.mailboxes.iter().all(Vec::is_empty));
        prop_assert_eq!(world.control.deadline(), None);
    }
}
