//! Carries a response into the store, at the pace of who sends it.

use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

use super::Cache;
use super::entry::{Head, Stored};
use super::filler::Filler;
use crate::exchange::BodyStream;

/// How much is carried before others on this worker have their turn.
const SLICE: usize = 256 << 10;

/// Reads a body to its end for all who wait for it, and keeps it. Goes on when they have gone, as
/// long as it can be kept: the next one will ask for the same.
pub(super) async fn pump(
    cache: Arc<Cache>,
    worker: usize,
    mut filler: Filler,
    head: Arc<Head>,
    mut body: Box<dyn BodyStream>,
) {
    let fill = Arc::clone(filler.fill());
    let (entry_max, filling_max) = (cache.entry_max, cache.size);
    let mut carried = 0;
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
                let is_whole = fill.push(piece, |charge, more| {
                    charge.bytes().saturating_add(more) <= entry_max
                        && charge.total().saturating_add(more) <= filling_max
                });
                if !is_whole {
                    filler.unlist();
                }
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
    if let Some(pieces) = fill.end(Ok(())) {
        let content = joined(pieces);
        let changed = filler.keep(Stored { head, content });
        cache.numbers.changed(worker, changed);
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
