//! Carries a response into the store, at the pace of who sends it.

use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

use super::Cache;
use super::entry::{Head, Stored};
use super::fill::Fill;
use super::filler::Filler;
use super::sink::{Sink, Tier};
use crate::exchange::{BlockingPool, BodyStream};

/// How much is carried before others on this worker have their turn.
const SLICE: usize = 256 << 10;

/// A response that is carried into the store.
pub(super) struct Pumped {
    pub(super) cache: Arc<Cache>,
    pub(super) worker: usize,
    pub(super) filler: Filler,
    pub(super) head: Arc<Head>,
    pub(super) blocking: BlockingPool,
}

impl Pumped {
    /// Reads a body to its end for all who wait for it, and keeps it. Goes on when they have gone,
    /// as long as it can be kept: the next one will ask for the same.
    pub(super) async fn pump(mut self, mut body: Box<dyn BodyStream>) {
        let fill = Arc::clone(self.filler.fill());
        let cache = Arc::clone(&self.cache);
        // A length that was told is known before anything has come.
        let told = body.length().unwrap_or_default();
        let mut tier = cache.disk.as_ref();
        let (mut sink, mut carried, mut length) = (None, 0, 0_u64);
        loop {
            let next = std::future::poll_fn(|cx| match fill.poll_room(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(false) => Poll::Ready(None),
                Poll::Ready(true) => body.poll_chunk(cx).map(Some),
            });
            match next.await {
                // Too large, and nobody reads it any more.
                None => return,
                Some(Some(Ok(piece))) => {
                    carried += piece.len();
                    length = length.saturating_add(piece.len() as u64);
                    let large = |tier: &&Tier| length.max(told) >= tier.body_min;
                    if sink.is_none()
                        && let Some(tier) = tier.take_if(|tier| large(tier))
                    {
                        let (worker, blocking) = (self.worker, &self.blocking);
                        let begun = Sink::begin(&cache, tier, worker, &fill, blocking).await;
                        sink = begun.map(|sink| (sink, tier));
                    }
                    self.carry(&fill, piece, length, &mut sink).await;
                }
                Some(Some(Err(error))) => {
                    fill.end(Err(error.0));
                    return;
                }
                Some(None) => break,
            }
            if carried >= SLICE {
                carried = 0;
                tokio::task::yield_now().await;
            }
        }
        self.end(&fill, sink).await;
    }

    /// Hands a piece to all who read, and to the disk if it goes there.
    async fn carry(
        &mut self,
        fill: &Fill,
        piece: Bytes,
        length: u64,
        sink: &mut Option<(Sink, &Tier)>,
    ) {
        let (entry_max, filling_max) = (self.cache.entry_max, self.cache.size);
        let on_disk = sink.as_ref().map(|(_, tier)| tier.entry_max());
        let is_whole = fill.push(piece.clone(), |charge, more| {
            let fits = match on_disk {
                Some(entry_max) => length <= entry_max,
                None => charge.bytes().saturating_add(more) <= entry_max,
            };
            fits && charge.total().saturating_add(more) <= filling_max
        });
        let mut is_kept = is_whole;
        if is_whole
            && let Some((writing, tier)) = sink
            && writing.push(piece)
        {
            let (cache, worker) = (&self.cache, self.worker);
            is_kept = writing
                .write_or_spoil(cache, tier, worker, fill, &self.blocking)
                .await;
        }
        if !is_kept {
            *sink = None;
            self.filler.unlist();
        }
    }

    /// All has come.
    async fn end(self, fill: &Fill, sink: Option<(Sink, &Tier)>) {
        let (cache, worker) = (&self.cache, self.worker);
        let content = match sink {
            None => fill.end(Ok(())).map(|pieces| joined(pieces).into()),
            Some((mut sink, tier)) => {
                let written = sink.write_or_spoil(cache, tier, worker, fill, &self.blocking);
                let written = written.await;
                let whole = fill.end(Ok(()));
                whole.filter(|_| written).map(|_| sink.keep(tier, worker))
            }
        };
        if let Some(content) = content {
            let head = self.head;
            let changed = self.filler.keep(Stored { head, content });
            cache.numbers.changed(worker, changed);
        }
    }
}

/// In one piece, which holds no more memory than it says.
fn joined(pieces: Vec<Bytes>) -> Bytes {
    let length = pieces.iter().map(Bytes::len).sum();
    let mut content = BytesMut::with_capacity(length);
    for piece in pieces {
        content.extend_from_slice(&piece);
    }
    content.freeze()
}
