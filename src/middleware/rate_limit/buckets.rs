//! The buckets of one limiter: sharded, bounded, exact whichever worker asks.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indexmap::IndexMap;

use super::gcra::{Quota, Verdict};

/// How many parts the buckets are kept in, each behind a lock of its own. With two workers one
/// request in ten thousand waits for another's few dozen nanoseconds; with sixty-four, one in
/// a hundred.
const SHARDS: usize = 256;

/// How many kept buckets each new one looks at: those that are full again go. Several, so
/// that they go faster than they come.
const LOOKED_AT: usize = 4;

/// Of how many the one with the most tokens goes, when one must go before its time.
const SAMPLED: usize = 8;

/// Room for this many buckets a shard is never given back. Arbitrary: 256 shards of it are small.
const ROOM_MIN: usize = 64;

/// The buckets of one limiter, by the hash of their key.
///
/// Holds no settings: a changed rate applies to the buckets there are. A key is 64 bits of a
/// hash keyed at start; that two of a million keys are taken for one has odds of one to forty
/// million, and nobody can choose them.
pub(super) struct Buckets {
    /// Times are nanoseconds since then.
    epoch: Instant,
    shards: Box<[Shard]>,
    hash: RandomState,
}

/// Aligned so that no two locks share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// When each bucket is full.
    full_at: IndexMap<u64, u64, BuildHasherDefault<AsIs>>,
    /// Which is looked at next.
    next: usize,
}

/// What a request came to, and what it did to the number of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) verdict: Verdict,
    /// Buckets that are kept more now, or fewer.
    pub(super) kept: i64,
    /// Buckets that had to go before they were full.
    pub(super) evicted: u64,
}

impl Buckets {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hash: RandomState::new(),
        }
    }

    /// Starts the hash of a key. Equal keys must be written in equal steps.
    pub(super) fn hasher(&self) -> impl Hasher + use<> {
        self.hash.build_hasher()
    }

    /// Asks for a request of this key. `keys_max` bounds how many buckets are kept.
    ///
    /// The clock is read behind the lock, so that the times a bucket sees never go back: who is
    /// held up between clock and lock would come with a time that has passed.
    pub(super) fn take(
        &self,
        key: u64,
        quota: &Quota,
        keys_max: usize,
        clock: impl FnOnce() -> Instant,
    ) -> Taken {
        // The map uses the lowest bits and the highest.
        let shard = usize::try_from((key >> 40) & 0xFFFF).unwrap_or_default() % SHARDS;
        // The number is in range: it was just taken modulo the length.
        let mut kept = self.shards[shard]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = clock().saturating_duration_since(self.epoch).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let (before, room) = (kept.full_at.len(), keys_max.div_ceil(SHARDS));
        if let Some(full_at) = kept.full_at.get_mut(&key) {
            let (verdict, after) = quota.take(*full_at, now);
            *full_at = after;
            return Taken {
                verdict,
                kept: 0,
                evicted: 0,
            };
        }
        let (verdict, after) = quota.take(0, now);
        let mut evicted = 0;
        // One that was refused costs nothing, and is as good as none.
        if verdict.passes() {
            kept.drop_full(now);
            while kept.full_at.len() >= room.max(1) {
                kept.evict();
                evicted += 1;
            }
            kept.full_at.insert(key, after);
        }
        let kept = kept.full_at.len();
        Taken {
            verdict,
            kept: signed(kept) - signed(before),
            evicted,
        }
    }

    /// How many buckets are kept.
    pub(super) fn len(&self) -> usize {
        let kept = |shard: &Shard| {
            let kept = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.full_at.len()
        };
        self.shards.iter().map(kept).sum()
    }
}

impl Kept {
    /// Forgets some buckets that are full again.
    fn drop_full(&mut self, now: u64) {
        for _ in 0..LOOKED_AT {
            let Some((_, full_at)) = self.full_at.get_index(self.next) else {
                self.next = 0;
                return;
            };
            if *full_at <= now {
                // Another takes its place, and is looked at next.
                self.full_at.swap_remove_index(self.next);
            } else {
                self.next += 1;
            }
        }
        // What a flood of keys needed is given back when it has passed.
        let (count, room) = (self.full_at.len(), self.full_at.capacity());
        if room > ROOM_MIN && count < room / 4 {
            self.full_at.shrink_to(count * 2);
        }
    }

    /// Forgets, of some, the bucket that is full first: whose key gains the least by it.
    fn evict(&mut self) {
        let count = self.full_at.len();
        let sample = (0..SAMPLED.min(count)).map(|step| (self.next + step) % count);
        let first =
            sample.min_by_key(|at| self.full_at.get_index(*at).map(|(_, full_at)| *full_at));
        if let Some(at) = first {
            self.full_at.swap_remove_index(at);
        }
        self.next = (self.next + SAMPLED) % count.max(1);
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buckets({})", self.len())
    }
}
