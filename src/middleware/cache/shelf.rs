//! The tier on disk: which contents lie there, bounded by bytes, and what makes way.
//!
//! Their files have no names. Nobody else can open them, and nothing of them is left by a process
//! that ends, however it ends: what is cached there is not found again by the next one.

use std::fmt;
use std::fs::File;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::exchange::{FileSlice, Seldom};

/// How many parts it is locked in, at most: disks are slower than locks.
const SHARDS: usize = 8;

/// A part should hold this many of the largest, so that one does not push out all.
const LARGEST_IN_SHARD: u64 = 4;

/// The contents that a named cache has on disk.
pub(super) struct Shelf {
    kept: Cache<u64, Place, Weigh, RandomState, Evict>,
    next: AtomicU64,
    /// The size it was last given, and by which generation.
    size: Mutex<(u64, u64)>,
    /// What was kept when the gauge was last brought up to date.
    told: AtomicU64,
    /// Failures, which are told now and then.
    pub(super) failures: Seldom,
}

/// A content on disk. Dropped, it makes way; once it had to make way, it has no file.
pub(super) struct OnDisk {
    shelf: Arc<Shelf>,
    number: u64,
    length: u64,
    file: Mutex<Option<Arc<File>>>,
}

#[derive(Debug, Clone)]
struct Place {
    length: u64,
    content: Weak<OnDisk>,
}

impl Shelf {
    /// An empty one for so many bytes, of contents from `smallest` on.
    pub(super) fn new(size: u64, smallest: u64) -> Self {
        let items = usize::try_from(size / smallest.max(1)).unwrap_or(usize::MAX);
        let largest = largest(size);
        let fitting = size / largest.saturating_mul(LARGEST_IN_SHARD).max(1);
        let shards = usize::try_from(fitting).unwrap_or(1).clamp(1, SHARDS);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items.max(shards.saturating_mul(64)))
            .weight_capacity(size)
            .build()
            .expect("all that has no default was given");
        Self {
            kept: Cache::with_options(options, Weigh, RandomState::new(), Evict),
            next: AtomicU64::new(0),
            size: Mutex::new((0, size)),
            told: AtomicU64::new(0),
            failures: Seldom::default(),
        }
    }

    /// Keeps a content that was written to this file; how many others had to make way.
    pub(super) fn keep(self: &Arc<Self>, file: Arc<File>, length: u64) -> (Arc<OnDisk>, u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let content = Arc::new(OnDisk {
            shelf: Arc::clone(self),
            number,
            length,
            file: Mutex::new(Some(file)),
        });
        let place = Place {
            length,
            content: Arc::downgrade(&content),
        };
        let mut evicted = Evicted::default();
        self.kept.insert_with_lifecycle(number, place, &mut evicted);
        (content, evicted.0.len() as u64)
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
}

/// The largest content of a tier of this size: one shall not push all others out.
pub(super) const fn largest(size: u64) -> u64 {
    size / 4
}

impl OnDisk {
    /// The content, if it has not had to make way. It is used, and stays the longer for it.
    pub(super) fn open(&self) -> Option<FileSlice> {
        self.shelf.kept.get(&self.number)?;
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Some(FileSlice {
            file: Arc::clone(file.as_ref()?),
            offset: 0,
            length: self.length,
        })
    }

    fn close(&self) -> Option<Arc<File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.take()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        // Who had to make way is not there, and may be dropped by who holds the lock.
        if self.close().is_some() {
            self.shelf.kept.remove(&self.number);
        }
    }
}

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<u64, Place> for Weigh {
    fn weight(&self, _: &u64, place: &Place) -> u64 {
        place.length
    }
}

/// Closes the files of what had to make way.
#[derive(Debug, Clone)]
struct Evict;

#[derive(Debug, Default)]
pub(super) struct Evicted(Vec<Weak<OnDisk>>);

impl Lifecycle<u64, Place> for Evict {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: u64, place: Place) {
        evicted.0.push(place.content);
    }
}

impl Drop for Evicted {
    fn drop(&mut self) {
        for content in self.0.drain(..) {
            if let Some(content) = content.upgrade() {
                drop(content.close());
            }
        }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelf({} bytes)", self.bytes())
    }
}

impl fmt::Debug for OnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnDisk({}: {} bytes)", self.number, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn it_stays_within_its_bytes_and_closes_what_makes_way() {
        let shelf = Arc::new(Shelf::new(1 << 20, 1 << 10));
        let kept: Vec<_> = (0..100)
            .map(|_| {
                let file = file();
                let watched = Arc::downgrade(&file);
                (shelf.keep(file, 50_000), watched)
            })
            .collect();
        assert!(shelf.bytes() <= 1 << 20, "{}", shelf.bytes());
        let evicted: u64 = kept.iter().map(|((_, evicted), _)| evicted).sum();
        let open = kept
            .iter()
            .filter(|((content, _), _)| content.open().is_some());
        assert_eq!(open.count() as u64 + evicted, 100);
        let files = kept.iter().filter(|(_, file)| file.strong_count() > 0);
        assert_eq!(files.count() as u64 + evicted, 100);
        drop(kept);
        assert_eq!(shelf.bytes(), 0);
    }

    #[test]
    fn a_smaller_size_closes_what_is_too_much() {
        let shelf = Arc::new(Shelf::new(1 << 20, 1 << 10));
        let kept: Vec<_> = (0..10).map(|_| shelf.keep(file(), 50_000).0).collect();
        assert_eq!((shelf.grown(), shelf.grown()), (500_000, 0));
        shelf.fit(2, 200_000);
        shelf.fit(1, 1 << 20);
        let open = kept.iter().filter(|content| content.open().is_some());
        assert!(open.count() <= 4);
        assert!(shelf.bytes() <= 200_000);
    }

    #[test]
    fn what_is_sent_stays_open_when_it_makes_way() {
        let shelf = Arc::new(Shelf::new(1 << 20, 1 << 10));
        let (content, _) = shelf.keep(file(), 1000);
        let slice = content.open().unwrap();
        shelf.fit(1, 100);
        assert!(content.open().is_none());
        assert!(slice.file.metadata().is_ok());
    }
}
