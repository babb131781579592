//! Writes a response to the disk while it comes, on the blocking pool.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::Cache;
use super::content::Content;
use super::fill::Fill;
use super::shelf::{self, Shelf};
use crate::exchange::{BlockingPool, FileSlice};
use crate::sys::temporary;
use crate::telemetry::{Count, Gauge, Metrics};

/// How much is written at a time: large against the cost of handing it to another thread, and
/// small against what the memory has.
const BATCH: usize = 256 << 10;

/// The tier on disk as it is configured.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) shelf: Arc<Shelf>,
    /// Where files are made.
    pub(super) directory: Arc<Path>,
    /// Bytes that may be kept.
    pub(super) size: u64,
    /// From how many bytes on a response lies here.
    pub(super) body_min: u64,
    pub(super) numbers: DiskNumbers,
}

/// What is counted of the tier on disk.
#[derive(Debug)]
pub(super) struct DiskNumbers {
    bytes: Gauge,
    evicted: Count,
    failures: Count,
}

/// A response that is being written.
#[derive(Debug)]
pub(super) struct Sink {
    file: Arc<File>,
    /// How much of it is written.
    written: u64,
    batch: Vec<Bytes>,
    batched: usize,
}

impl Tier {
    /// Bytes that one response may have.
    pub(super) const fn entry_max(&self) -> u64 {
        shelf::largest(self.size)
    }

    /// Something could not be written. The response goes on without being kept.
    fn fail(&self, cache: &str, worker: usize, error: &io::Error) {
        self.numbers.failures.add(worker, 1);
        if self.shelf.failures.is_due() {
            warn!(cache, directory = %self.directory.display(), %error, "cannot cache on disk");
        }
    }
}

impl DiskNumbers {
    pub(super) fn new(metrics: &Metrics, name: &str) -> Self {
        let own = || vec![("name", name.into())];
        Self {
            bytes: metrics.gauge(
                "httpserverd_cache_disk_bytes",
                "Bytes of content kept on disk.",
                own(),
            ),
            evicted: metrics.count(
                "httpserverd_cache_disk_evicted_total",
                "Responses that had to go from the disk to make room.",
                own(),
            ),
            failures: metrics.count(
                "httpserverd_cache_disk_failures_total",
                "Responses that were not kept because they could not be written to the disk.",
                own(),
            ),
        }
    }
}

impl Sink {
    /// Begins to write what `fill` has so far, and what will be pushed; `None` if it cannot be.
    pub(super) async fn begin(
        cache: &Cache,
        tier: &Tier,
        worker: usize,
        fill: &Fill,
        blocking: &BlockingPool,
    ) -> Option<Self> {
        let directory = Arc::clone(&tier.directory);
        let made = blocking.run(move || temporary::file(&directory)).await;
        match made.unwrap_or_else(|_| Err(busy())) {
            Ok(made) => {
                let made = Arc::new(made);
                let batch = fill.spill(&made)?;
                Some(Self {
                    file: made,
                    written: 0,
                    batched: batch.iter().map(Bytes::len).sum(),
                    batch,
                })
            }
            Err(error) => {
                tier.fail(&cache.name, worker, &error);
                None
            }
        }
    }

    /// The next piece; whether it is time to write.
    pub(super) fn push(&mut self, piece: Bytes) -> bool {
        self.batched = self.batched.saturating_add(piece.len());
        self.batch.push(piece);
        self.batched >= BATCH
    }

    /// Writes what was pushed. Who reads the response reads that from the file then.
    ///
    /// # Errors
    /// It could not be written.
    async fn write(&mut self, fill: &Fill, blocking: &BlockingPool) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let (target, at, pieces) = (Arc::clone(&self.file), self.written, batch.len());
        self.written = at.saturating_add(std::mem::take(&mut self.batched) as u64);
        let write = move || {
            let mut at = at;
            for piece in batch {
                target.write_all_at(&piece, at)?;
                at = at.saturating_add(piece.len() as u64);
            }
            Ok(())
        };
        let written = blocking.run(write).await;
        written.unwrap_or_else(|_| Err(busy()))?;
        fill.written(pieces);
        Ok(())
    }

    /// The same; if it cannot be written, nothing of it is kept.
    pub(super) async fn write_or_spoil(
        &mut self,
        cache: &Cache,
        tier: &Tier,
        worker: usize,
        fill: &Fill,
        blocking: &BlockingPool,
    ) -> bool {
        let written = self.write(fill, blocking).await;
        if let Err(error) = &written {
            tier.fail(&cache.name, worker, error);
            fill.spoil();
        }
        written.is_ok()
    }

    /// All of it, kept.
    pub(super) fn keep(self, tier: &Tier, worker: usize) -> Content {
        let (on_disk, evicted) = tier.shelf.keep(Arc::clone(&self.file), self.written);
        tier.numbers.evicted.add(worker, evicted);
        tier.numbers.bytes.add(worker, tier.shelf.grown());
        let slice = FileSlice {
            file: self.file,
            offset: 0,
            length: self.written,
        };
        Content::File(slice, on_disk)
    }
}

fn busy() -> io::Error {
    io::Error::other("the blocking pool is full")
}
