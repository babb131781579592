//! Who fetches, and what it comes to.

use std::sync::Arc;
use std::time::Instant;

use super::entry::Stored;
use super::fill::{Fill, Stage};
use super::store::{Changed, Store};

/// One who fetches for all. Dropped before it is settled, it has failed.
#[derive(Debug)]
pub(super) struct Filler {
    store: Arc<Store>,
    url: Box<[u8]>,
    fill: Arc<Fill>,
    listed: bool,
}

impl Filler {
    /// Fills this for a URL. `listed` says whether others can join.
    pub(super) fn new(store: &Arc<Store>, url: &[u8], fill: Arc<Fill>, listed: bool) -> Self {
        Self {
            store: Arc::clone(store),
            url: url.into(),
            fill,
            listed,
        }
    }

    /// What others read.
    pub(super) fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// The URL it is for.
    pub(super) fn url(&self) -> &[u8] {
        &self.url
    }

    /// It has come: the store keeps it, and who waits finds it there.
    pub(super) fn keep(self, stored: Stored) -> Changed {
        let evicted = self.store.keep(&self.url, &self.fill, stored);
        self.fill.settle(Stage::Kept);
        Changed {
            evicted,
            grown: self.store.grown(),
        }
    }

    /// It may not be kept: who waits asks for itself, and so does who comes in a while.
    pub(super) fn refuse(self, now: Instant) -> Changed {
        let evicted = self.store.refuse(&self.url, now);
        self.refuse_this();
        Changed { evicted, grown: 0 }
    }

    /// Another one has it already.
    pub(super) fn have(self) {
        self.fill.settle(Stage::Kept);
    }

    /// This answer may not be kept, which says nothing of others.
    pub(super) fn refuse_this(self) {
        self.fill.settle(Stage::Refused);
    }

    /// Nobody can join any more: it will not be kept.
    pub(super) fn unlist(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.store.unlist(&self.url, &self.fill);
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.fill.settle(Stage::Failed);
        self.unlist();
    }
}
