//! Content that goes no faster than it may.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Direction;
use super::meters::Meter;
use crate::clock;
use crate::exchange::{BlockingPool, BodyError, BodyStream, Deadline, Part};
use crate::http::Headers;
use crate::middleware::file_stream::FileStream;

/// A body whose bytes wait until they are paid for.
#[derive(Debug)]
pub(super) struct Paced {
    inner: Box<dyn BodyStream>,
    /// What has been pulled and has not gone.
    rest: Bytes,
    /// How many bytes of it are reserved, and wait.
    reserved: usize,
    direction: Arc<Direction>,
    meter: Arc<Meter>,
    deadline: Deadline,
    /// Whether they wait for the deadline.
    waits: bool,
    /// Whether any ever did.
    waited: bool,
    worker: usize,
}

impl Paced {
    pub(super) fn new(
        inner: Box<dyn BodyStream>,
        direction: &Arc<Direction>,
        meter: Arc<Meter>,
        deadline: Deadline,
        worker: usize,
    ) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
            reserved: 0,
            direction: Arc::clone(direction),
            meter,
            deadline,
            waits: false,
            waited: false,
            worker,
        }
    }

    /// Reserves the next bytes of what is there, and sets the deadline if they must wait.
    fn reserve(&mut self) {
        let pace = &self.direction.pace;
        let piece = usize::try_from(pace.piece()).unwrap_or(usize::MAX);
        self.reserved = piece.min(self.rest.len());
        let wait = self.meter.reserve(pace, self.reserved as u64, clock::now());
        self.waits = !wait.is_zero();
        if !self.waits {
            return;
        }
        self.deadline.set(wait);
        if !std::mem::replace(&mut self.waited, true) {
            self.direction.waited.add(self.worker, 1);
        }
    }
}

impl BodyStream for Paced {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.rest.is_empty() {
            match ready!(self.inner.poll_chunk(cx)) {
                Some(Ok(piece)) => self.rest = piece,
                end => return Poll::Ready(end),
            }
        }
        if self.reserved == 0 {
            self.reserve();
        }
        if self.waits {
            ready!(self.deadline.poll_past(cx));
        }
        let count = std::mem::take(&mut self.reserved);
        self.direction.bytes.add(self.worker, count as u64);
        Poll::Ready(Some(Ok(self.rest.split_to(count))))
    }

    fn length(&self) -> Option<u64> {
        let rest = self.rest.len() as u64;
        self.inner
            .length()
            .map(|length| length.saturating_add(rest))
    }

    fn discard_received(&mut self) {
        self.rest.clear();
        self.reserved = 0;
        self.waits = false;
        self.inner.discard_received();
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.inner.trailers()
    }
}

/// Several pieces, one after the other.
#[derive(Debug)]
pub(super) struct Pieces {
    parts: VecDeque<Part>,
    now: Option<FileStream>,
    blocking: BlockingPool,
}

impl Pieces {
    pub(super) fn new(parts: Vec<Part>, blocking: BlockingPool) -> Self {
        Self {
            parts: parts.into(),
            now: None,
            blocking,
        }
    }
}

impl BodyStream for Pieces {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(file) = &mut self.now {
                match ready!(file.poll_chunk(cx)) {
                    None => self.now = None,
                    piece => return Poll::Ready(piece),
                }
            }
            match self.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Bytes(bytes)) if bytes.is_empty() => {}
                Some(Part::Bytes(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(Part::File(slice)) => {
                    self.now = Some(FileStream::new(slice, self.blocking.clone()));
                }
            }
        }
    }

    fn length(&self) -> Option<u64> {
        let now = self.now.as_ref().and_then(BodyStream::length);
        let parts: u64 = self.parts.iter().map(Part::length).sum();
        Some(parts.saturating_add(now.unwrap_or_default()))
    }
}
