//! The files one worker keeps ready: small ones in memory, larger ones open.
//!
//! A hit is one hash look-up and no system call. An entry is believed for a second; then the
//! path is looked up again, and the entry stays only if it leads to the same, unchanged files.
//!
//! When there is no room, a hand goes round the entries (CLOCK): one that was used since the
//! hand came by is passed over once, the first that was not is dropped. That keeps what is
//! asked for again and again nearly as well as a list in order of use, while a hit costs the
//! store of one flag. What was asked for once goes at the next round, so that a crawler does
//! not empty the cache.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::representation::{Content, Identity, Resource};
use crate::sys::beneath::Root;

/// How long an entry, or a root, is believed without a look at the file system.
const BELIEVED: Duration = Duration::from_secs(1);

/// The bounds for all workers together; each has its share. 64 MiB hold the hot part of nearly
/// any site: its pages, scripts and icons.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// As many entries as that many bytes hold if each takes 4 KiB.
pub(super) const ENTRIES_MAX: usize = 16_384;
/// Well below the 1,024 descriptors that a process may have where nobody raised the limit.
pub(super) const OPEN_FILES_MAX: usize = 256;

/// What an entry takes beside its content: fields, key, places in the tables. Measured roughly.
const ENTRY_BYTES: usize = 1_024;

/// The files this worker keeps.
#[derive(Debug, Default)]
pub(super) struct FileCache {
    hasher: RandomState,
    kept: RefCell<Kept>,
    complaints: Complaints,
}

#[derive(Debug, Default)]
struct Kept {
    /// Which place has the entry with this hash. Of two keys with one hash the later is kept.
    places: HashMap<u64, usize, BuildHasherDefault<AsIs>>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    hand: usize,
    held: Held,
    roots: HashMap<u64, KnownRoot>,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    site: u64,
    path: Box<[u8]>,
    resource: Rc<Resource>,
    held: Held,
    checked: Instant,
    used: bool,
}

#[derive(Debug)]
struct KnownRoot {
    root: Arc<Root>,
    checked: Instant,
    /// Gone with the handler.
    alive: Weak<()>,
}

/// What entries hold, one or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    bytes: usize,
    open_files: usize,
}

impl FileCache {
    /// What this path of this site stands for, if that was looked at less than a second ago.
    pub(super) fn fresh(&self, site: u64, path: &[u8], now: Instant) -> Option<Rc<Resource>> {
        let hash = self.hasher.hash_one((site, path));
        let mut kept = self.kept.borrow_mut();
        let entry = kept.entry(hash, site, path)?;
        if now.saturating_duration_since(entry.checked) >= BELIEVED {
            return None;
        }
        entry.used = true;
        Some(Rc::clone(&entry.resource))
    }

    /// The kept resource, if these are still its files: it is believed for another second.
    /// Drops it if not.
    pub(super) fn renew(
        &self,
        site: u64,
        path: &[u8],
        identities: impl Iterator<Item = Identity>,
        now: Instant,
    ) -> Option<Rc<Resource>> {
        let hash = self.hasher.hash_one((site, path));
        let mut kept = self.kept.borrow_mut();
        let entry = kept.entry(hash, site, path)?;
        let own = entry.resource.all().map(|known| known.identity);
        if own.eq(identities) {
            entry.checked = now;
            entry.used = true;
            return Some(Rc::clone(&entry.resource));
        }
        kept.remove(hash);
        None
    }

    /// Keeps a resource; makes room for it as far as needed.
    pub(super) fn insert(
        &self,
        site: u64,
        path: &[u8],
        resource: &Rc<Resource>,
        now: Instant,
        workers: usize,
    ) {
        let hash = self.hasher.hash_one((site, path));
        let mut held = Held {
            bytes: ENTRY_BYTES + path.len(),
            open_files: 0,
        };
        for representation in resource.all() {
            match &representation.content {
                Content::Memory(bytes) => held.bytes += bytes.len(),
                Content::Open(..) => held.open_files += 1,
            }
        }
        let mut kept = self.kept.borrow_mut();
        kept.remove(hash);
        kept.make_room(held, workers.max(1));
        kept.put(Entry {
            hash,
            site,
            path: path.into(),
            resource: Rc::clone(resource),
            held,
            checked: now,
            used: false,
        });
    }

    /// Forgets a path that leads nowhere any more.
    pub(super) fn forget(&self, site: u64, path: &[u8]) {
        let hash = self.hasher.hash_one((site, path));
        let mut kept = self.kept.borrow_mut();
        if kept.entry(hash, site, path).is_some() {
            kept.remove(hash);
        }
    }

    /// Gives the open files back: the process has no descriptor left.
    pub(super) fn close_files(&self) {
        self.kept
            .borrow_mut()
            .drop_all(|entry| entry.held.open_files > 0);
    }

    /// The root of a site as it is now, looked at once a second: a deployment may have put
    /// another directory in its place. While its path leads nowhere, the one that was opened
    /// stays.
    pub(super) fn root(
        &self,
        site: u64,
        opened: &Arc<Root>,
        alive: &Arc<()>,
        now: Instant,
    ) -> Arc<Root> {
        let mut kept = self.kept.borrow_mut();
        let Some(known) = kept.roots.get_mut(&site) else {
            kept.forget_the_dead();
            let known = KnownRoot {
                root: Arc::clone(opened),
                checked: now,
                alive: Arc::downgrade(alive),
            };
            kept.roots.insert(site, known);
            return Arc::clone(opened);
        };
        if now.saturating_duration_since(known.checked) >= BELIEVED {
            known.checked = now;
            match known.root.renewed() {
                Ok(None) => {}
                Ok(Some(root)) => known.root = Arc::new(root),
                Err(error) => {
                    let path = known.root.path();
                    tracing::warn!(?path, %error, "the root of a static route is gone");
                }
            }
        }
        Arc::clone(&known.root)
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.borrow().places.len()
    }

    /// What the entries take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.kept.borrow().held.bytes
    }

    /// Whether something may be said in the log: once a second. With how many were not said
    /// since the last one.
    pub(super) fn may_complain(&self, now: Instant) -> Option<u64> {
        self.complaints.allow(now)
    }
}

impl Kept {
    fn entry(&mut self, hash: u64, site: u64, path: &[u8]) -> Option<&mut Entry> {
        let place = *self.places.get(&hash)?;
        let entry = self.entries.get_mut(place)?.as_mut()?;
        (entry.site == site && *entry.path == *path).then_some(entry)
    }

    fn put(&mut self, entry: Entry) {
        self.held.bytes += entry.held.bytes;
        self.held.open_files += entry.held.open_files;
        let hash = entry.hash;
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[place] = Some(entry);
        self.places.insert(hash, place);
    }

    fn remove(&mut self, hash: u64) {
        if let Some(place) = self.places.remove(&hash)
            && let Some(entry) = self.entries.get_mut(place).and_then(Option::take)
        {
            self.held.bytes -= entry.held.bytes;
            self.held.open_files -= entry.held.open_files;
            self.free.push(place);
        }
    }

    fn make_room(&mut self, wanted: Held, workers: usize) {
        while !self.places.is_empty()
            && (self.held.bytes + wanted.bytes > BYTES_MAX / workers
                || self.held.open_files + wanted.open_files > (OPEN_FILES_MAX / workers).max(1)
                || self.places.len() >= (ENTRIES_MAX / workers).max(1))
        {
            // Ends: one that is passed over is dropped when the hand comes by again.
            self.hand = (self.hand + 1) % self.entries.len();
            if let Some(entry) = &mut self.entries[self.hand]
                && !std::mem::take(&mut entry.used)
            {
                let hash = entry.hash;
                self.remove(hash);
            }
        }
    }

    /// Drops roots and entries of handlers that are gone with their generation.
    fn forget_the_dead(&mut self) {
        let before = self.roots.len();
        self.roots.retain(|_, known| known.alive.strong_count() > 0);
        if self.roots.len() < before {
            let roots = std::mem::take(&mut self.roots);
            self.drop_all(|entry| !roots.contains_key(&entry.site));
            self.roots = roots;
        }
    }

    fn drop_all(&mut self, what: impl Fn(&Entry) -> bool) {
        let entries = self.entries.iter().flatten();
        let hashes: Vec<u64> = entries
            .filter(|entry| what(entry))
            .map(|entry| entry.hash)
            .collect();
        for hash in hashes {
            self.remove(hash);
        }
    }
}

/// At most one line a second, however many things go wrong.
#[derive(Debug, Default)]
struct Complaints {
    last: Cell<Option<Instant>>,
    unsaid: Cell<u64>,
}

impl Complaints {
    fn allow(&self, now: Instant) -> Option<u64> {
        let last = self.last.get();
        if last.is_some_and(|last| now.saturating_duration_since(last) < BELIEVED) {
            self.unsaid.set(self.unsaid.get().saturating_add(1));
            return None;
        }
        self.last.set(Some(now));
        Some(self.unsaid.take())
    }
}

/// The keys are hashes already, made with keys that no client knows.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}
