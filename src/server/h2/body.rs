//! The content of a request: the client may send more as the reader reads.

use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;

use super::head::{Asked, read_trailers};
use super::respond::Respond;
use super::session::Session;
use crate::clock;
use crate::exchange::{BodyError, BodyLimit, BodyStream, Deadline, Inform, Why};
use crate::http::{Headers, StatusCode};
use crate::server::h1_body::BodyProgress;
use crate::server::snapshot::Snapshot;

/// The content of a request.
#[derive(Debug)]
pub(super) struct RequestBody {
    stream: RecvStream,
    session: Rc<Session>,
    snapshot: Rc<Snapshot>,
    respond: Rc<Respond>,
    progress: Rc<BodyProgress>,
    limit: BodyLimit,
    /// Bytes to come, if that was told.
    left: Option<u64>,
    trailers: Option<Headers>,
    /// Of the wait for more; there is none until one is waited for.
    deadline: Option<Deadline>,
    waiting: Option<Instant>,
    waited: Duration,
}

impl RequestBody {
    /// What comes on this stream, under the limits of this snapshot.
    pub(super) fn new(
        session: &Rc<Session>,
        snapshot: &Rc<Snapshot>,
        respond: &Rc<Respond>,
        stream: RecvStream,
        asked: Asked,
    ) -> Self {
        let progress = BodyProgress::default();
        progress.expects_continue.set(asked.expects_continue);
        Self {
            stream,
            session: Rc::clone(session),
            snapshot: Rc::clone(snapshot),
            respond: Rc::clone(respond),
            progress: Rc::new(progress),
            limit: BodyLimit::new(snapshot.generation.limits.body),
            left: asked.length,
            trailers: None,
            deadline: None,
            waiting: None,
            waited: Duration::ZERO,
        }
    }

    /// How long it may be. Who changes that changes it here.
    pub(super) fn limit(&self) -> BodyLimit {
        self.limit.clone()
    }

    /// How far it has come.
    pub(super) fn progress(&self) -> &Rc<BodyProgress> {
        &self.progress
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Why>>> {
        if self.progress.expects_continue.take() {
            self.respond.inform(StatusCode::CONTINUE, &Headers::new());
        }
        // The engine bounds how often a client may send nothing.
        loop {
            let data = match self.stream.poll_data(cx) {
                Poll::Ready(data) => data,
                Poll::Pending => return self.poll_in_time(cx).map(|why| Some(Err(why))),
            };
            match data {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => return Poll::Ready(Some(self.take(piece))),
                Some(Err(error)) => return Poll::Ready(Some(Err(self.session.why(&error)))),
                None => return self.poll_end(cx),
            }
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Why>>> {
        let trailers = match self.stream.poll_trailers(cx) {
            Poll::Ready(trailers) => trailers,
            Poll::Pending => return self.poll_in_time(cx).map(|why| Some(Err(why))),
        };
        match trailers {
            Ok(None) => {}
            Ok(Some(fields)) => match read_trailers(&fields, &self.snapshot.generation.limits) {
                Ok(trailers) => self.trailers = trailers,
                Err(why) => return Poll::Ready(Some(Err(why))),
            },
            Err(error) => return Poll::Ready(Some(Err(self.session.why(&error)))),
        }
        self.deadline = None;
        self.progress.complete.set(true);
        Poll::Ready(None)
    }

    /// A piece of content; the client may send as much again, now that this is read.
    fn take(&mut self, piece: Bytes) -> Result<Bytes, Why> {
        let count = piece.len();
        // Fails only on a stream that is gone, which the next poll tells.
        drop(self.stream.flow_control().release_capacity(count));
        let received = self.progress.received.get() + count as u64;
        self.progress.received.set(received);
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        if received > self.limit.get() {
            return Err(Why::BodyTooLarge);
        }
        if let Some(since) = self.waiting.take() {
            self.waited += clock::now().saturating_duration_since(since);
            if let Some(deadline) = &self.deadline {
                deadline.clear();
            }
            let limits = &self.snapshot.generation.limits;
            if self.waited > limits.body_rate_grace && self.is_slower_than(limits.body_min_rate) {
                return Err(Why::BodyTooSlow);
            }
        }
        Ok(piece)
    }

    /// Whether less came than this many bytes for each second the client was waited for.
    fn is_slower_than(&self, rate: u64) -> bool {
        let millis = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        self.progress.received.get() < rate.saturating_mul(millis) / 1000
    }

    /// Ready when the client has been waited for too long.
    fn poll_in_time(&mut self, cx: &Context<'_>) -> Poll<Why> {
        let deadlines = &self.session.connection.worker.locals.deadlines;
        let deadline = self.deadline.get_or_insert_with(|| deadlines.register());
        if self.waiting.is_none() {
            self.waiting = Some(clock::now());
            deadline.set(self.snapshot.generation.limits.body_idle_timeout);
        }
        ready!(deadline.poll_past(cx));
        Poll::Ready(Why::BodyTimeout)
    }
}

impl BodyStream for RequestBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let piece = ready!(self.poll_piece(cx));
        Poll::Ready(piece.map(|piece| {
            piece.map_err(|why| {
                self.progress.failed.set(Some(why));
                BodyError(why)
            })
        }))
    }

    /// What has come is looked at, and thrown away with the stream: the client is not asked for
    /// more of it.
    fn discard_received(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if self.progress.expects_continue.get() {
            return;
        }
        while let Poll::Ready(Some(piece)) = self.poll_piece(&mut cx) {
            if let Err(why) = piece {
                return self.progress.failed.set(Some(why));
            }
        }
    }

    fn length(&self) -> Option<u64> {
        self.left
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }
}
