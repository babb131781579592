//! The content of an answer on a shared connection: the server may send more as it is read.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use super::call::poll_upload;
use super::{Slot, fields};
use crate::exchange::{BodyError, BodyStream, Deadline, Why};
use crate::handlers::proxy::lease::Lease;
use crate::handlers::proxy::outgoing::{Outgoing, SendError, Waits};
use crate::http::Headers;
use crate::http::h1::chunked::is_forbidden_trailer;

/// A body under way. Dropped before its end, it resets its stream and nothing else.
#[derive(Debug)]
pub(super) struct SharedBody {
    content: RecvStream,
    /// What was given to the reader, and has to be made up for before more comes.
    owed: usize,
    left: Option<u64>,
    /// The rest of the request.
    upload: Option<(Box<Outgoing>, SendStream<Bytes>)>,
    waits: Waits,
    /// What the upload had sent when the deadline was set; `None` if it is not set.
    waiting: Option<u64>,
    deadline: Deadline,
    idle_timeout: Duration,
    takes_trailers: bool,
    trailers: Option<Headers>,
    _slot: Slot,
    _lease: Lease,
}

/// What a body starts with.
pub(super) struct Start {
    pub(super) content: RecvStream,
    /// How long it is, if that is told.
    pub(super) left: Option<u64>,
    pub(super) upload: Option<(Box<Outgoing>, SendStream<Bytes>)>,
    pub(super) lease: Lease,
    pub(super) slot: Slot,
    pub(super) deadline: Deadline,
    pub(super) idle_timeout: Duration,
    pub(super) takes_trailers: bool,
}

impl SharedBody {
    pub(super) fn new(start: Start) -> Self {
        Self {
            content: start.content,
            owed: 0,
            left: start.left,
            upload: start.upload,
            waits: Waits::Client,
            waiting: None,
            deadline: start.deadline,
            idle_timeout: start.idle_timeout,
            takes_trailers: start.takes_trailers,
            trailers: None,
            _slot: start.slot,
            _lease: start.lease,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Why>> {
        self.poll_rest_of_request(cx)?;
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            // Fails only on a stream that is gone, which the next poll tells.
            drop(self.content.flow_control().release_capacity(owed));
        }
        loop {
            let Poll::Ready(next) = self.content.poll_data(cx) else {
                return self.poll_idle(cx).map(Err);
            };
            match next {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.waiting = None;
                    self.owed = piece.len();
                    let length = piece.len() as u64;
                    self.left = self.left.map(|left| left.saturating_sub(length));
                    return Poll::Ready(Ok(Some(piece)));
                }
                Some(Err(_)) => return Poll::Ready(Err(Why::BodyTruncated)),
                None => return self.poll_end(cx),
            }
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Why>> {
        let Poll::Ready(trailers) = self.content.poll_trailers(cx) else {
            return self.poll_idle(cx).map(Err);
        };
        let trailers = trailers.map_err(|_| Why::BodyTruncated)?;
        if let Some(trailers) = trailers.filter(|_| self.takes_trailers) {
            let mut trailers = fields::headers(&trailers);
            trailers.retain(|field, _| !is_forbidden_trailer(field));
            self.trailers = Some(trailers);
        }
        // The server has answered, and wants no more of the request (RFC 9113 §8.1).
        if let Some((_, mut stream)) = self.upload.take() {
            stream.send_reset(Reason::NO_ERROR);
        }
        Poll::Ready(Ok(None))
    }

    /// Sends on what the client still sends.
    fn poll_rest_of_request(&mut self, cx: &mut Context<'_>) -> Result<(), Why> {
        let Some((upload, stream)) = &mut self.upload else {
            return Ok(());
        };
        match poll_upload(cx, upload, stream, &mut self.waits) {
            Poll::Pending => {}
            Poll::Ready(Err(SendError::Client(why))) => return Err(why),
            Poll::Ready(Ok(()) | Err(SendError::Upstream)) => self.upload = None,
        }
        Ok(())
    }

    /// Ready when nothing has moved for too long, either way. The client's slowness does not
    /// count: that is measured where its bytes are read.
    fn poll_idle(&mut self, cx: &Context<'_>) -> Poll<Why> {
        if self.upload.is_some() && self.waits == Waits::Client {
            self.waiting = None;
            return Poll::Pending;
        }
        let sent = self.upload.as_ref().map_or(0, |(upload, _)| upload.sent());
        if self.waiting != Some(sent) {
            self.waiting = Some(sent);
            self.deadline.set(self.idle_timeout);
        }
        ready!(self.deadline.poll_past(cx));
        Poll::Ready(Why::IdleTimeout)
    }
}

impl BodyStream for SharedBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        Poll::Ready(next.map_err(BodyError).transpose())
    }

    fn length(&self) -> Option<u64> {
        self.left
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }
}
