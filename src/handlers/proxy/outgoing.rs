//! What goes out on a connection to an upstream: a head, then the client's body as it comes.

use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::replay::Again;
use crate::exchange::{BodyStream, Why};
use crate::http::Headers;
use crate::http::h1::chunked::{CHUNK_END, write_chunk_head, write_last};
use crate::http::h1::encode::BodyLength;
use crate::sys::transport::{More, Transport};

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The head, kept until the answer has come: it may have to be sent again.
    head: Head,
    /// How much of the head has been sent.
    head_sent: usize,
    piece: Piece,
    body: Option<Box<dyn BodyStream>>,
    /// Gives the body once more.
    again: Option<Rc<dyn Again>>,
    /// What is still to come of the body.
    length: BodyLength,
    /// What the head says of it.
    told: BodyLength,
    has_body: bool,
    /// The trailer fields behind the body, once it has ended, for who frames them himself.
    trailers: Option<Headers>,
    /// The other side has been told that the body is over, by who frames it himself.
    told_over: bool,
    /// The body waits for a 100 (Continue).
    holding: bool,
    /// Whether any of the body has been sent: then it cannot be sent again.
    body_sent: bool,
    /// How many bytes have been sent in all.
    sent: u64,
}

/// A head as it goes out.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// Where the authority of the endpoint stands, if that is told.
    pub(super) host: Option<Range<usize>>,
}

/// A piece of the body with its chunk framing, or the end of a chunked body.
#[derive(Debug, Default)]
struct Piece {
    /// What stands before the data: the size of the chunk.
    before: Bytes,
    data: Bytes,
    /// What stands behind it.
    after: &'static [u8],
}

/// Why sending ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendError {
    /// The client's body broke off.
    Client(Why),
    /// The upstream takes no more. It may have answered nevertheless.
    Upstream,
}

/// What sending waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For more of the client's body.
    Client,
    /// For the upstream to take what there is.
    Upstream,
    /// For the upstream to want the body.
    Continue,
}

impl Outgoing {
    pub(super) fn new(head: Head, body: Option<Box<dyn BodyStream>>, length: BodyLength) -> Self {
        Self {
            head,
            head_sent: 0,
            piece: Piece::default(),
            has_body: body.is_some(),
            body,
            again: None,
            length,
            told: length,
            trailers: None,
            told_over: false,
            holding: false,
            body_sent: false,
            sent: 0,
        }
    }

    /// A request whose body can be had again.
    pub(super) fn again(head: Head, again: Rc<dyn Again>, length: BodyLength) -> Self {
        let mut outgoing = Self::new(head, again.reader(), length);
        outgoing.again = Some(again);
        outgoing
    }

    /// Addresses the head to an endpoint, where it names it.
    pub(super) fn address(&mut self, authority: &str) {
        if let Some(host) = &mut self.head.host {
            let start = host.start;
            drop(self.head.bytes.splice(host.clone(), authority.bytes()));
            *host = start..start + authority.len();
        }
    }

    /// Has the body wait for [`Self::proceed`].
    pub(super) const fn hold(&mut self) {
        self.holding = self.body.is_some();
    }

    /// Whether the body waits.
    pub(super) const fn is_holding(&self) -> bool {
        self.holding
    }

    /// The body waits no longer.
    pub(super) const fn proceed(&mut self) {
        self.holding = false;
    }

    /// Whether all that was sent so far could be sent once more on another connection.
    pub(super) fn is_replayable(&self) -> bool {
        !self.body_sent || self.again.as_ref().is_some_and(|again| again.is_whole())
    }

    /// Whether nothing was sent.
    pub(super) const fn is_unsent(&self) -> bool {
        self.head_sent == 0
    }

    /// Whether there is a body, or was one.
    pub(super) const fn has_body(&self) -> bool {
        self.has_body
    }

    /// How many bytes have been sent: to see progress by.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Begins anew, on another connection. What has been read of the body and not been sent is
    /// kept.
    pub(super) fn rewind(&mut self) {
        debug_assert!(self.is_replayable(), "what was sent of a body is gone");
        self.head_sent = 0;
        self.told_over = false;
        if self.body_sent
            && let Some(again) = &self.again
        {
            self.body = again.reader();
            self.piece = Piece::default();
            self.length = self.told;
            self.trailers = None;
            self.body_sent = false;
        }
    }

    /// Whether all has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.is_head_sent() && self.piece.is_empty() && self.body.is_none()
    }

    /// Whether all of the head has been sent.
    pub(super) const fn is_head_sent(&self) -> bool {
        self.head_sent == self.head.bytes.len()
    }

    /// Gives the head's buffer back: nothing will be sent again.
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        self.head_sent = 0;
        std::mem::take(&mut self.head).bytes
    }

    /// Sends until all is sent. The first of the body goes out with the head if it is there.
    /// While it waits, `waits` says for whom.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Transport,
        waits: &mut Waits,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let mut starved = self.holding;
            if self.piece.is_empty() && self.body.is_some() && !self.holding {
                match self.poll_body(cx) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => starved = true,
                }
            }
            if self.is_head_sent() && self.piece.is_empty() {
                if self.body.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if self.holding {
                    *waits = Waits::Continue;
                    return Poll::Pending;
                }
                if self.length == BodyLength::Length(0) {
                    // All that was announced has been sent; its end may still be under way.
                    self.body = None;
                } else if starved {
                    *waits = Waits::Client;
                    return Poll::Pending;
                }
                continue;
            }
            *waits = Waits::Upstream;
            ready!(self.poll_write(cx, transport))?;
        }
    }

    /// Reads the next piece of the body, or its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let next = ready!(body.poll_chunk(cx)).transpose();
        let data = next.map_err(|error| SendError::Client(error.0))?;
        match (data, &mut self.length) {
            (Some(data), BodyLength::Chunked) => {
                // A size of 64 bits has 16 digits.
                let mut size = Vec::with_capacity(18);
                write_chunk_head(&mut size, data.len());
                self.piece = Piece {
                    before: size.into(),
                    data,
                    after: CHUNK_END,
                };
            }
            (Some(data), BodyLength::Length(left)) => {
                // More than was said would be read as another request.
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(SendError::Client(Why::BadFraming))?;
                self.piece.data = data;
            }
            (None, BodyLength::Chunked) => {
                let mut end = Vec::new();
                write_last(&mut end, body.trailers().as_ref());
                self.piece.before = end.into();
                self.body = None;
            }
            (None, BodyLength::Length(0) | BodyLength::Untold) => self.body = None,
            (None, BodyLength::Length(_)) | (Some(_), BodyLength::Untold) => {
                return Poll::Ready(Err(SendError::Client(Why::BadFraming)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Transport,
    ) -> Poll<Result<(), SendError>> {
        let head = self.head.bytes.get(self.head_sent..).unwrap_or_default();
        let head_left = head.len();
        let parts = [head, &self.piece.before, &self.piece.data, self.piece.after];
        let slices: SmallVec<[IoSlice<'_>; 4]> = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(IoSlice::new)
            .collect();
        let written = ready!(transport.poll_write(cx, &slices, More::No));
        drop(slices);
        let count = match written {
            // A socket that takes nothing will take nothing.
            Ok(0) | Err(_) => return Poll::Ready(Err(SendError::Upstream)),
            Ok(count) => count,
        };
        let of_head = count.min(head_left);
        self.sent += count as u64;
        self.head_sent += of_head;
        self.piece.advance(count - of_head);
        self.body_sent |= count > of_head;
        Poll::Ready(Ok(()))
    }
}

/// For who frames the request otherwise than HTTP/1.1 does.
impl Outgoing {
    /// The head as HTTP/1.1 writes it.
    pub(super) fn head(&self) -> &[u8] {
        &self.head.bytes
    }

    /// The head has been sent.
    pub(super) const fn head_is_sent(&mut self) {
        self.head_sent = self.head.bytes.len();
        self.told_over = self.body.is_none() && self.piece.data.is_empty();
    }

    /// Whether nothing is left of the body.
    pub(super) fn is_body_over(&self) -> bool {
        self.body.is_none() && self.piece.data.is_empty()
    }

    pub(super) const fn is_told_over(&self) -> bool {
        self.told_over
    }

    pub(super) const fn tell_over(&mut self) {
        self.told_over = true;
    }

    /// How much of the body is here.
    pub(super) const fn data_left(&self) -> usize {
        self.piece.data.len()
    }

    /// Ready when there is something of the body, or nothing more.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(body) = self.body.as_mut().filter(|_| self.piece.data.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        let next = ready!(body.poll_chunk(cx)).transpose();
        let data = next.map_err(|error| SendError::Client(error.0))?;
        match (data, &mut self.length) {
            (Some(data), length) => {
                if let BodyLength::Length(left) = length {
                    *left = left
                        .checked_sub(data.len() as u64)
                        .ok_or(SendError::Client(Why::BadFraming))?;
                }
                self.piece.data = data;
                if *length == BodyLength::Length(0) {
                    self.body = None;
                }
            }
            (None, BodyLength::Length(1..)) => {
                return Poll::Ready(Err(SendError::Client(Why::BadFraming)));
            }
            (None, _) => {
                self.trailers = body.trailers();
                self.body = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes so much of the body at most.
    pub(super) fn take_data(&mut self, most: usize) -> Bytes {
        let count = most.min(self.piece.data.len());
        self.body_sent = true;
        self.sent += count as u64;
        self.piece.data.split_to(count)
    }

    pub(super) const fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    pub(super) const fn take_trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.data.is_empty() && self.after.is_empty()
    }

    fn advance(&mut self, mut count: usize) {
        for part in [&mut self.before, &mut self.data] {
            let of_part = count.min(part.len());
            part.advance(of_part);
            count -= of_part;
        }
        self.after = self.after.get(count..).unwrap_or_default();
    }
}
