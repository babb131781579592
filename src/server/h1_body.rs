//! The content of a request, read from its connection when someone asks for it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::Connection;
use crate::clock;
use crate::exchange::{BodyError, BodyLimit, BodyStream, Why};
use crate::http::Headers;
use crate::http::h1::chunked::Decoder;
use crate::http::h1::error::ParseError;
use crate::http::h1::framing::Framing;

/// How much of a large body is read at a time: about what a socket's buffer holds, so that a busy
/// client is read in few calls. Smaller ones come with their heads, and through their buffer.
const READ: usize = 64 * 1024;

/// What is left of a large body. A read cannot go beyond it.
const READ_MIN: u64 = READ as u64;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the connection loop knows of a body that a handler has.
#[derive(Debug, Default)]
pub struct BodyProgress {
    /// Bytes of content received.
    pub received: Cell<u64>,
    /// The body was read to its end: the next byte is a head.
    pub complete: Cell<bool>,
    /// Why it ended before its end.
    pub failed: Cell<Option<Why>>,
    /// The client waits for a 100 and has not been sent one.
    pub expects_continue: Cell<bool>,
}

/// The content of a request.
#[derive(Debug)]
pub struct RequestBody {
    connection: Rc<Connection>,
    progress: Rc<BodyProgress>,
    coding: Coding,
    limit: BodyLimit,
    waited: Duration,
    waiting: Option<Instant>,
    /// The 100 was put on its way.
    continued: bool,
}

#[derive(Debug)]
enum Coding {
    Length(u64),
    Chunked(Box<Decoder>),
}

impl RequestBody {
    /// The content framed like this; `None` if there is none. More than `limit` bytes are an
    /// error, unless middleware sets another limit.
    pub fn new(connection: &Rc<Connection>, framing: Framing, limit: u64) -> Option<Self> {
        let coding = match framing {
            // A request never ends with its connection.
            Framing::None | Framing::UntilClose => return None,
            Framing::Length(length) => Coding::Length(length),
            Framing::Chunked => Coding::Chunked(Box::default()),
        };
        Some(Self {
            connection: Rc::clone(connection),
            progress: Rc::default(),
            coding,
            limit: BodyLimit::new(limit),
            waited: Duration::ZERO,
            waiting: None,
            continued: false,
        })
    }

    /// How long it may be. Who changes that changes it here.
    pub fn limit(&self) -> BodyLimit {
        self.limit.clone()
    }

    /// What the connection loop may know of it.
    pub fn progress(&self) -> &Rc<BodyProgress> {
        &self.progress
    }

    /// Sends the 100 (Continue) that the client waits for.
    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Why>> {
        if self.progress.expects_continue.get() {
            if !std::mem::replace(&mut self.continued, true) {
                self.connection.push_interim(CONTINUE);
            }
            ready!(self.connection.poll_interim(cx))?;
            self.progress.expects_continue.set(false);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next piece of content out of what was received.
    fn take(&mut self) -> Result<Option<Bytes>, Why> {
        let mut input = self.connection.input.borrow_mut();
        let filled = input.filled();
        let (piece, consumed) = match &mut self.coding {
            Coding::Length(left) => {
                let count = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(filled.len());
                *left -= count as u64;
                (
                    Bytes::copy_from_slice(filled.get(..count).unwrap_or_default()),
                    count,
                )
            }
            Coding::Chunked(decoder) => {
                let (mut consumed, mut piece) = (0, Bytes::new());
                while piece.is_empty() && !decoder.is_done() {
                    let rest = filled.get(consumed..).unwrap_or_default();
                    let step = decoder.decode(rest).map_err(why)?;
                    piece = Bytes::copy_from_slice(rest.get(step.data).unwrap_or_default());
                    consumed += step.consumed;
                    if step.consumed == 0 {
                        break;
                    }
                }
                (piece, consumed)
            }
        };
        input.consume(consumed);
        drop(input);
        self.count(&piece)?;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// So much more has been received.
    fn count(&self, piece: &Bytes) -> Result<(), Why> {
        let received = self.progress.received.get() + piece.len() as u64;
        self.progress.received.set(received);
        if received > self.limit.get() {
            return Err(Why::BodyTooLarge);
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        match &self.coding {
            Coding::Length(left) => *left == 0,
            Coding::Chunked(decoder) => decoder.is_done(),
        }
    }

    /// Reads more: into the connection's input, or what is given is content.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Why>> {
        ready!(self.poll_continue(cx))?;
        let limits = &self.connection.listening.snapshot().generation.limits;
        let Poll::Ready(read) = self.poll_read(cx) else {
            if self.waiting.is_none() {
                self.waiting = Some(clock::now());
                self.connection.read_deadline.set(limits.body_idle_timeout);
                // Set after the poll above, so registered by polling once more.
                if let Poll::Ready(why) = self.connection.poll_give_up(cx, Why::BodyTimeout) {
                    return Poll::Ready(Err(why));
                }
            }
            return Poll::Pending;
        };
        if let Some(since) = self.waiting.take() {
            self.waited += clock::now().saturating_duration_since(since);
            self.connection.read_deadline.clear();
        }
        let piece = read?;
        if self.waited > limits.body_rate_grace && self.is_slower_than(limits.body_min_rate) {
            return Poll::Ready(Err(Why::BodyTooSlow));
        }
        Poll::Ready(Ok(piece))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Why>> {
        if let Coding::Length(left @ READ_MIN..) = &mut self.coding {
            // All that is read so belongs to the content, and is handed on as it is.
            let piece = ready!(self.connection.poll_piece(cx, READ, Why::BodyTimeout))?;
            *left -= piece.len() as u64;
            self.count(&piece)?;
            return Poll::Ready(Ok(piece));
        }
        let filled = ready!(self.connection.poll_fill(cx, Why::BodyTimeout))?;
        if filled == 0 {
            return Poll::Ready(Err(Why::ClientAbort));
        }
        Poll::Ready(Ok(Bytes::new()))
    }

    /// Whether less came than this many bytes for each second the client was waited for.
    fn is_slower_than(&self, rate: u64) -> bool {
        let millis = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        self.progress.received.get() < rate.saturating_mul(millis) / 1000
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Why>>> {
        loop {
            match self.take() {
                Ok(Some(piece)) => {
                    self.progress.complete.set(self.is_complete());
                    return Poll::Ready(Some(Ok(piece)));
                }
                Ok(None) if self.is_complete() => {
                    self.progress.complete.set(true);
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(why) => return Poll::Ready(Some(Err(why))),
            }
            match ready!(self.poll_more(cx)) {
                Ok(piece) if piece.is_empty() => {}
                read => {
                    self.progress.complete.set(self.is_complete());
                    return Poll::Ready(Some(read));
                }
            }
        }
    }
}

impl BodyStream for RequestBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.poll_piece(cx).map(|piece| {
            piece.map(|piece| {
                piece.map_err(|why| {
                    self.progress.failed.set(Some(why));
                    BodyError(why)
                })
            })
        })
    }

    fn discard_received(&mut self) {
        loop {
            match self.take() {
                Ok(Some(_)) => {}
                Ok(None) => return self.progress.complete.set(self.is_complete()),
                Err(why) => return self.progress.failed.set(Some(why)),
            }
        }
    }

    fn length(&self) -> Option<u64> {
        match &self.coding {
            Coding::Length(left) => Some(*left),
            Coding::Chunked(_) => None,
        }
    }

    fn trailers(&mut self) -> Option<Headers> {
        match &mut self.coding {
            Coding::Length(_) => None,
            Coding::Chunked(decoder) => decoder.trailers(),
        }
    }
}

fn why(error: ParseError) -> Why {
    match error {
        ParseError::TrailersTooLarge => Why::HeadTooLarge,
        _ => Why::BadChunk,
    }
}
