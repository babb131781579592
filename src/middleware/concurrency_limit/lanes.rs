//! Who is in flight and who waits, by key: exact whichever worker asks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many parts the lanes are kept in, each behind a lock of its own: enough that workers
/// rarely meet.
const SHARDS: usize = 64;

/// All that is in flight under one policy.
///
/// Holds no settings: how many may be is told with every request, so that a changed limit holds
/// at once. A lane is there as long as someone is in flight in it, so that there are never more
/// than there are exchanges.
pub(super) struct Lanes {
    shards: Box<[Mutex<HashMap<u64, Lane>>]>,
    hash: RandomState,
}

/// All that is in flight, and that waits, under one key.
#[derive(Debug, Default)]
struct Lane {
    in_flight: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// How many may be in flight in a lane. Shared by all that were let in under it.
#[derive(Debug)]
pub(super) struct Limit(AtomicUsize);

/// The right to be in flight; dropping it gives it to who has waited longest.
pub(super) struct Slot {
    lanes: Arc<Lanes>,
    key: u64,
    limit: Arc<Limit>,
    /// How many were in flight when it was given, this one among them.
    pub(super) in_flight: usize,
}

/// What came of asking for a slot.
#[derive(Debug)]
pub(super) enum Asked {
    /// Here it is.
    Given(Slot),
    /// It comes by this when it is free.
    Wait(oneshot::Receiver<Slot>),
    /// Too many wait already.
    Full,
}

impl Limit {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(most)))
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it; what it was.
    pub(super) fn set(&self, most: usize) -> usize {
        self.0.swap(most, Ordering::Relaxed)
    }
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hash: RandomState::new(),
        }
    }

    /// Starts the hash of a key.
    pub(super) fn hasher(&self) -> impl Hasher + use<> {
        self.hash.build_hasher()
    }

    /// Asks for a slot in the lane of a key; at most `queue` may wait for one.
    pub(super) fn ask(self: &Arc<Self>, key: u64, limit: &Arc<Limit>, queue: usize) -> Asked {
        let mut lanes = self.shard(key);
        let lane = lanes.entry(key).or_default();
        if lane.in_flight < limit.get() {
            lane.in_flight += 1;
            return Asked::Given(self.slot(key, limit, lane.in_flight));
        }
        if lane.waiting.len() >= queue {
            // Those who gave up do not count.
            lane.waiting.retain(|waiting| !waiting.is_closed());
        }
        let asked = if lane.waiting.len() >= queue {
            Asked::Full
        } else {
            let (give, receive) = oneshot::channel();
            lane.waiting.push_back(give);
            Asked::Wait(receive)
        };
        if lane.in_flight == 0 {
            // Nobody will come by to wake them, so nobody may wait: a limit of none.
            lanes.remove(&key);
            return Asked::Full;
        }
        asked
    }

    /// Takes a slot in the lane of a key, be there room or not.
    pub(super) fn take(self: &Arc<Self>, key: u64, limit: &Arc<Limit>) -> Slot {
        let mut lanes = self.shard(key);
        let lane = lanes.entry(key).or_default();
        lane.in_flight += 1;
        self.slot(key, limit, lane.in_flight)
    }

    /// How many are in flight and how many wait, in all lanes.
    pub(super) fn count(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for shard in &self.shards {
            let lanes = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for lane in lanes.values() {
                counts.0 += lane.in_flight;
                counts.1 += lane
                    .waiting
                    .iter()
                    .filter(|waiting| !waiting.is_closed())
                    .count();
            }
        }
        counts
    }

    fn slot(self: &Arc<Self>, key: u64, limit: &Arc<Limit>, in_flight: usize) -> Slot {
        Slot {
            lanes: Arc::clone(self),
            key,
            limit: Arc::clone(limit),
            in_flight,
        }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Lane>> {
        let shard = usize::try_from(key >> 40).unwrap_or_default() % SHARDS;
        // In range: it was just taken modulo the length.
        let lanes = self.shards[shard].lock();
        lanes.unwrap_or_else(PoisonError::into_inner)
    }

    /// One who was in flight is no more: those who waited longest come in.
    fn release(self: &Arc<Self>, key: u64, limit: &Arc<Limit>) {
        // Slots that nobody waits for any more are dropped behind the lock, which they take.
        let mut unwanted = Vec::new();
        let mut lanes = self.shard(key);
        if let Some(lane) = lanes.get_mut(&key) {
            lane.in_flight -= 1;
            while lane.in_flight < limit.get()
                && let Some(waiting) = lane.waiting.pop_front()
            {
                if waiting.is_closed() {
                    continue;
                }
                lane.in_flight += 1;
                if let Err(slot) = waiting.send(self.slot(key, limit, lane.in_flight)) {
                    unwanted.push(slot);
                }
            }
            if lane.in_flight == 0 {
                lanes.remove(&key);
            }
        }
        drop(lanes);
        drop(unwanted);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lanes.release(self.key, &self.limit);
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (in_flight, waiting) = self.count();
        write!(f, "Lanes({in_flight} in flight, {waiting} waiting)")
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({} in flight)", self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn given(asked: Asked) -> Slot {
        match asked {
            Asked::Given(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    fn waits(asked: Asked) -> oneshot::Receiver<Slot> {
        match asked {
            Asked::Wait(receiver) => receiver,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_waited_longest_comes_in_first() {
        let lanes = Arc::new(Lanes::new());
        let limit = Limit::new(1);
        let slot = given(lanes.ask(1, &limit, 2));
        let mut first = waits(lanes.ask(1, &limit, 2));
        let mut second = waits(lanes.ask(1, &limit, 2));
        assert!(matches!(lanes.ask(1, &limit, 2), Asked::Full));
        assert!(
            matches!(lanes.ask(2, &limit, 2), Asked::Given(_)),
            "another lane"
        );
        drop(slot);
        let slot = first.try_recv().unwrap();
        assert!(second.try_recv().is_err());
        drop(slot);
        drop(second.try_recv().unwrap());
        assert_eq!(lanes.count(), (0, 0));
    }

    #[test]
    fn who_gave_up_is_passed_over_also_with_the_slot_in_hand() {
        let lanes = Arc::new(Lanes::new());
        let limit = Limit::new(1);
        let slot = given(lanes.ask(1, &limit, 2));
        drop(waits(lanes.ask(1, &limit, 2)));
        drop(waits(lanes.ask(1, &limit, 2)));
        // Those who gave up make room in the queue.
        let mut third = waits(lanes.ask(1, &limit, 2));
        let unheard = waits(lanes.ask(1, &limit, 2));
        drop(slot);
        drop(third.try_recv().unwrap());
        assert_eq!(lanes.count(), (1, 0), "sent, and not yet received");
        drop(unheard);
        assert_eq!(lanes.count(), (0, 0));
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let lanes = Arc::new(Lanes::new());
        let limit = Limit::new(1);
        let slot = given(lanes.ask(1, &limit, 9));
        let mut waiting: Vec<_> = (0..3).map(|_| waits(lanes.ask(1, &limit, 9))).collect();
        limit.set(2);
        drop(slot);
        let in_flight: Vec<bool> = waiting
            .iter_mut()
            .map(|one| one.try_recv().is_ok())
            .collect();
        // Each was dropped as it was received, and so let the next one in.
        assert_eq!(in_flight, [true, true, true]);
        limit.set(0);
        assert!(matches!(lanes.ask(1, &limit, 9), Asked::Full));
        assert_eq!(lanes.count(), (0, 0));
    }

    #[test]
    fn threads_together_never_have_more_in_flight_than_may_be() {
        let lanes = Arc::new(Lanes::new());
        let limit = Limit::new(3);
        let now = AtomicUsize::new(0);
        let exchange = || {
            let slot = match lanes.ask(7, &limit, 1) {
                Asked::Given(slot) => slot,
                Asked::Wait(slot) => slot.blocking_recv().expect("who waits gets one"),
                Asked::Full => return,
            };
            assert!(now.fetch_add(1, Ordering::SeqCst) < 3);
            now.fetch_sub(1, Ordering::SeqCst);
            drop(slot);
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2_000).for_each(|_| exchange()));
            }
        });
        assert_eq!(lanes.count(), (0, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask(u64),
        Release(usize),
        GiveUp(usize),
        Hear(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u64).prop_map(Step::Ask),
            (0..64_usize).prop_map(Step::Release),
            (0..64_usize).prop_map(Step::GiveUp),
            (0..64_usize).prop_map(Step::Hear),
        ]
    }

    proptest! {
        /// In whatever order exchanges come, wait, give up and end: no lane ever has more in
        /// flight than it may, none waits while there is room, and nothing is left behind.
        #[test]
        fn slots_are_neither_lost_nor_made(
            steps in prop::collection::vec(step(), 1..200),
            most in 1..4_usize,
            queue in 0..4_usize,
        ) {
            let lanes = Arc::new(Lanes::new());
            let limit = Limit::new(most);
            let mut held: Vec<Slot> = Vec::new();
            let mut waiting: Vec<oneshot::Receiver<Slot>> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask(key) => match lanes.ask(key, &limit, queue) {
                        Asked::Given(slot) => held.push(slot),
                        Asked::Wait(receiver) => waiting.push(receiver),
                        Asked::Full => {}
                    },
                    Step::Release(at) if !held.is_empty() => {
                        drop(held.swap_remove(at % held.len()));
                    }
                    Step::GiveUp(at) if !waiting.is_empty() => {
                        drop(waiting.swap_remove(at % waiting.len()));
                    }
                    Step::Hear(at) if !waiting.is_empty() => {
                        let at = at % waiting.len();
                        if let Ok(slot) = waiting[at].try_recv() {
                            waiting.swap_remove(at);
                            held.push(slot);
                        }
                    }
                    _ => {}
                }
                for key in 0..3 {
                    let of_key = held.iter().filter(|slot| slot.key == key).count();
                    prop_assert!(of_key <= most);
                    let lanes = lanes.shard(key);
                    if let Some(lane) = lanes.get(&key) {
                        prop_assert!(lane.in_flight <= most && lane.in_flight >= of_key);
                        prop_assert!(lane.waiting.is_empty() || lane.in_flight == most);
                    }
                }
            }
            drop((held, waiting));
            prop_assert_eq!(lanes.count(), (0, 0));
        }
    }
}
