//! Where responses are: bounded by bytes, shared by all workers, kept across reloads.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::content::Content;
use super::entry::{Head, Stored};
use super::fill::{Charge, Fill, Stage};
use super::filler::Filler;
use super::shelf::OnDisk;
use crate::http::RequestHead;

/// Responses to one URL that differ by what the request said: more than a site has languages, and
/// few enough that finding one stays a glance.
const VARIANTS_MAX: usize = 16;
/// In how many parts the store is locked: several for each core of a large machine.
const SHARDS: usize = 64;
/// A part should hold this many of the largest responses, so that one does not push out all.
const LARGEST_IN_SHARD: u64 = 4;
/// What responses are thought to weigh on average, head included; it need not be near.
const USUAL_WEIGHT: u64 = 16 << 10;
/// What a URL itself costs.
const URL_OVERHEAD: u64 = 256;
/// For how long it is remembered that nothing is kept of a URL, so that requests for it do not
/// wait for each other.
const REFUSED: Duration = Duration::from_secs(10);

type Url = Box<[u8]>;

/// What is being fetched.
type Fills = HashMap<Url, Arc<Fill>>;

/// The responses of one named cache.
pub(super) struct Store {
    kept: Cache<Url, Arc<Kept>, Weigh, RandomState, Evicted>,
    hasher: RandomState,
    /// What is being fetched; its locks also order the changes to what is kept.
    fills: Box<[Mutex<Fills>]>,
    filling: Arc<AtomicU64>,
    /// The size it was last given, and by which generation.
    size: Mutex<(u64, u64)>,
    /// What was kept when the gauge was last brought up to date.
    told: AtomicU64,
}

/// What is known of a URL.
#[derive(Debug, Default)]
struct Kept {
    /// The newest first.
    variants: Vec<Variant>,
    /// Nothing is kept of it until then.
    refused_until: Option<Instant>,
}

/// A response as it is kept. One on disk may have had to make way.
#[derive(Debug, Clone)]
enum Variant {
    Memory(Arc<Stored>),
    Disk(Arc<Head>, Arc<OnDisk>),
}

/// What the store says to a request.
#[derive(Debug)]
pub(super) enum Found {
    /// This fits.
    Stored(Arc<Stored>),
    /// There are responses, none of which fits.
    Others,
    /// Nothing is kept of it, and it was tried a moment ago.
    Refused,
    /// Nothing is known.
    Nothing,
}

/// Who fetches.
#[derive(Debug)]
pub(super) enum Begun {
    /// This one does.
    Lead(Filler),
    /// Another one does already.
    Join(Arc<Fill>),
}

/// What was changed, for the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Changed {
    pub(super) evicted: u64,
    /// By how many bytes the store has grown.
    pub(super) grown: i64,
}

impl Store {
    /// An empty store for so many bytes, of responses up to `largest`.
    pub(super) fn new(size: u64, largest: u64) -> Self {
        let fitting = size / largest.saturating_mul(LARGEST_IN_SHARD).max(1);
        let shards = usize::try_from(fitting).unwrap_or(SHARDS).clamp(1, SHARDS);
        let items = usize::try_from(size / USUAL_WEIGHT).unwrap_or(usize::MAX);
        // A part of fewer than 32 would be made one with its neighbour.
        let items = items.max(shards.saturating_mul(64));
        // Rounded up to a power of two there; down is what leaves room for the largest.
        let shards = (shards / 2 + 1).next_power_of_two();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items)
            .weight_capacity(size)
            .build()
            .expect("all that has no default was given");
        Self {
            kept: Cache::with_options(options, Weigh, RandomState::new(), Evicted),
            hasher: RandomState::new(),
            fills: (0..SHARDS).map(|_| Mutex::default()).collect(),
            filling: Arc::default(),
            size: Mutex::new((0, size)),
            told: AtomicU64::new(0),
        }
    }

    /// What there is for a request.
    pub(super) fn find(
        &self,
        url: &[u8],
        request: &RequestHead,
        route: &str,
        now: Instant,
    ) -> Found {
        let Some(kept) = self.kept.get(url) else {
            return Found::Nothing;
        };
        let mut variants = kept.variants.iter();
        if let Some(variant) = variants.find(|variant| variant.head().fits(request, route)) {
            return variant.open().map_or(Found::Nothing, Found::Stored);
        }
        match kept.refused_until {
            Some(until) if now < until => Found::Refused,
            _ if kept.variants.is_empty() => Found::Nothing,
            _ => Found::Others,
        }
    }

    /// Fetches, unless somebody does.
    pub(super) fn begin(self: &Arc<Self>, url: &[u8]) -> Begun {
        let mut fills = self.fills(url);
        if let Some(fill) = fills.get(url) {
            return Begun::Join(Arc::clone(fill));
        }
        let filler = self.filler(url, true);
        fills.insert(url.into(), Arc::clone(filler.fill()));
        Begun::Lead(filler)
    }

    /// Fetches, whoever else does, and has nobody wait for it.
    pub(super) fn alone(self: &Arc<Self>, url: &[u8]) -> Filler {
        self.filler(url, false)
    }

    fn filler(self: &Arc<Self>, url: &[u8], listed: bool) -> Filler {
        let fill = Fill::new(Charge::new(&self.filling));
        Filler::new(self, url, fill, listed)
    }

    /// Keeps a response, in place of those that answered the same requests; not if it was dropped
    /// while it came.
    pub(super) fn keep(&self, url: &[u8], fill: &Fill, stored: Stored) -> u64 {
        let lock = self.fills(url);
        if fill.is_doomed() {
            return 0;
        }
        let new = Arc::clone(&stored.head);
        let mut variants = vec![Variant::new(stored)];
        if let Some(kept) = self.kept.peek(url) {
            let others = kept.variants.iter();
            let others = others.filter(|other| !new.replaces(other.head()));
            variants.extend(others.take(VARIANTS_MAX - 1).cloned());
        }
        let kept = Kept {
            variants,
            refused_until: None,
        };
        let evicted = self.put(url, kept);
        drop(lock);
        evicted
    }

    /// Remembers that nothing is kept of a URL.
    pub(super) fn refuse(&self, url: &[u8], now: Instant) -> u64 {
        let lock = self.fills(url);
        let kept = Kept {
            variants: Vec::new(),
            refused_until: now.checked_add(REFUSED),
        };
        let evicted = self.put(url, kept);
        drop(lock);
        evicted
    }

    fn put(&self, url: &[u8], kept: Kept) -> u64 {
        let mut evicted = Evictions::default();
        let kept = Arc::new(kept);
        self.kept
            .insert_with_lifecycle(url.into(), kept, &mut evicted);
        evicted.0
    }

    /// Drops all there is of a URL, also what is coming; whether there was something.
    pub(super) fn drop_url(&self, url: &[u8]) -> bool {
        let mut fills = self.fills(url);
        if let Some(fill) = fills.remove(url) {
            fill.doom(|_| true);
        }
        let kept = self.kept.remove(url);
        drop(fills);
        kept.is_some_and(|(_, kept)| !kept.variants.is_empty())
    }

    /// Drops every URL that starts like this; how many.
    pub(super) fn drop_prefix(&self, prefix: &[u8]) -> u64 {
        self.doom(|url, fill| url.starts_with(prefix) && fill.doom(|_| true));
        self.drop_where(|url, _| url.starts_with(prefix))
    }

    /// Drops every URL of which a response has one of these tags; how many.
    pub(super) fn drop_tagged(&self, tags: &[Vec<u8>]) -> u64 {
        self.doom(|_, fill| {
            fill.doom(|stage| match stage {
                // It may have any.
                Stage::Asking => true,
                Stage::Coming(head) => tags.iter().any(|tag| head.has_tag(tag)),
                Stage::Kept | Stage::Refused | Stage::Failed => false,
            })
        });
        self.drop_where(|_, kept| {
            let mut variants = kept.variants.iter();
            variants.any(|variant| tags.iter().any(|tag| variant.head().has_tag(tag)))
        })
    }

    /// Has nobody join any more what this says is doomed.
    fn doom(&self, is_doomed: impl Fn(&[u8], &Fill) -> bool) {
        for fills in &self.fills {
            let mut fills = fills.lock().unwrap_or_else(PoisonError::into_inner);
            fills.retain(|url, fill| !is_doomed(url, fill));
        }
    }

    fn drop_where(&self, goes: impl Fn(&[u8], &Kept) -> bool) -> u64 {
        let dropped = AtomicU64::new(0);
        self.kept.retain(|url, kept| {
            let goes = goes(url, kept);
            if goes && !kept.variants.is_empty() {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            !goes
        });
        dropped.into_inner()
    }

    /// Takes the size that a generation wants; an older one than the last is not heard.
    pub(super) fn fit(&self, generation: u64, size: u64) {
        let mut last = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if generation >= last.0 {
            if last.1 != size {
                self.kept.set_capacity(size);
            }
            *last = (generation, size);
        }
    }

    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    /// By how many bytes it has grown since this was last asked.
    pub(super) fn grown(&self) -> i64 {
        let now = self.bytes();
        let before = self.told.swap(now, Ordering::Relaxed);
        now.cast_signed().saturating_sub(before.cast_signed())
    }

    /// Has nobody join this any more.
    pub(super) fn unlist(&self, url: &[u8], fill: &Arc<Fill>) {
        let mut fills = self.fills(url);
        // Another one may stand there, begun after this one was dropped.
        if fills
            .get(url)
            .is_some_and(|listed| Arc::ptr_eq(listed, fill))
        {
            fills.remove(url);
        }
    }

    fn fills(&self, url: &[u8]) -> MutexGuard<'_, Fills> {
        let hash = usize::try_from(self.hasher.hash_one(url) % SHARDS as u64).unwrap_or(0);
        self.fills[hash]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Variant {
    fn new(stored: Stored) -> Self {
        match stored.content {
            Content::File(_, on_disk) => Self::Disk(stored.head, on_disk),
            Content::Memory(_) => Self::Memory(Arc::new(stored)),
        }
    }

    fn head(&self) -> &Head {
        match self {
            Self::Memory(stored) => &stored.head,
            Self::Disk(head, _) => head,
        }
    }

    /// The response, whole; `None` if its content had to make way.
    fn open(&self) -> Option<Arc<Stored>> {
        match self {
            Self::Memory(stored) => Some(Arc::clone(stored)),
            Self::Disk(head, on_disk) => {
                let content = Content::File(on_disk.open()?, Arc::clone(on_disk));
                let head = Arc::clone(head);
                Some(Arc::new(Stored { head, content }))
            }
        }
    }

    /// How many bytes it takes in memory, more or less.
    fn weight(&self) -> u64 {
        let content = match self {
            Self::Memory(stored) => stored.content.length(),
            Self::Disk(..) => 0,
        };
        self.head().weight().saturating_add(content)
    }
}

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Url, Arc<Kept>> for Weigh {
    fn weight(&self, url: &Url, kept: &Arc<Kept>) -> u64 {
        let variants = kept.variants.iter().map(Variant::weight);
        URL_OVERHEAD
            .saturating_add(url.len() as u64)
            .saturating_add(variants.sum())
    }
}

/// Counts what had to go.
#[derive(Debug, Clone)]
struct Evicted;

#[derive(Debug, Default)]
pub(super) struct Evictions(u64);

impl Lifecycle<Url, Arc<Kept>> for Evicted {
    type RequestState = Evictions;

    fn on_evict(&self, evictions: &mut Evictions, _: Url, kept: Arc<Kept>) {
        if !kept.variants.is_empty() {
            evictions.0 = evictions.0.saturating_add(1);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} bytes)", self.bytes())
    }
}
