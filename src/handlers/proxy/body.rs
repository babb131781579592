//! The body of an answer, passed on as it comes.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::connect::Connection;
use super::outgoing::{Outgoing, SendError, Waits};
use crate::exchange::{BodyError, BodyStream, Why};
use crate::http::Headers;
use crate::http::h1::chunked::Decoder;
use crate::http::h1::framing::Framing;

/// How much is read at a time: about what a socket's buffer holds, so that a busy connection is
/// read in few calls and a body still holds little memory.
const READ: usize = 64 * 1024;

/// Pieces up to this size are copied, so that a few bytes do not hold a whole read buffer.
const COPIED_MAX: usize = 8 * 1024;

/// A body under way. Owns the connection, and gives it back at the clean end only; dropped
/// before, it closes it.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    /// `None` once the body has ended, in whatever way.
    connection: Option<Connection>,
    /// Read and not yet passed on.
    input: Bytes,
    left: Left,
    idle_timeout: Duration,
    /// What the upload had sent when the deadline was set; `None` if it is not set.
    waiting: Option<u64>,
    /// The rest of the request, if the answer came before it was sent.
    upload: Option<Box<Outgoing>>,
    /// Whom the upload waits for.
    waits: Waits,
    /// Whether the end of the body waits for the end of the upload.
    awaits_upload: bool,
    reusable: bool,
    takes_trailers: bool,
    trailers: Option<Headers>,
}

/// What a body starts with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) connection: Connection,
    /// What has been read behind the head.
    pub(super) input: Bytes,
    pub(super) framing: Framing,
    pub(super) idle_timeout: Duration,
    /// The rest of the request, if it was not sent yet.
    pub(super) upload: Option<Box<Outgoing>>,
    /// Whether the rest is sent even if the answer ends before.
    pub(super) awaits_upload: bool,
    /// Whether the connection may serve another exchange.
    pub(super) reusable: bool,
    /// Whether the client takes trailers.
    pub(super) trailers: bool,
}

/// What is left of a body.
#[derive(Debug)]
enum Left {
    Nothing,
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
}

/// What the bytes read so far give.
enum Next {
    Piece(Bytes),
    More,
    End,
}

impl UpstreamBody {
    pub(super) fn new(start: Start) -> Self {
        let left = match start.framing {
            Framing::None | Framing::Length(0) => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(Box::default()),
            Framing::UntilClose => Left::UntilClose,
        };
        // What stands behind a head without a body belongs to nobody.
        let dirty = matches!(left, Left::Nothing) && !start.input.is_empty();
        Self {
            connection: Some(start.connection),
            input: start.input,
            left,
            idle_timeout: start.idle_timeout,
            waiting: None,
            upload: start.upload,
            waits: Waits::Client,
            awaits_upload: start.awaits_upload,
            reusable: start.reusable && !dirty,
            takes_trailers: start.trailers,
            trailers: None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Why>> {
        self.poll_upload(cx)?;
        loop {
            match self.next()? {
                Next::Piece(piece) => {
                    self.waiting = None;
                    return Poll::Ready(Ok(Some(piece)));
                }
                Next::More => ready!(self.poll_read(cx))?,
                Next::End => {
                    ready!(self.poll_end(cx));
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    /// Sends on what the client still sends.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Why> {
        let (Some(upload), Some(connection)) = (&mut self.upload, &self.connection) else {
            return Ok(());
        };
        match upload.poll_send(cx, connection.transport(), &mut self.waits) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.upload = None,
            Poll::Ready(Err(SendError::Client(why))) => return Err(why),
            Poll::Ready(Err(SendError::Upstream)) => {
                self.upload = None;
                self.reusable = false;
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Next, Why> {
        let next = match &mut self.left {
            Left::Nothing => return Ok(Next::End),
            _ if self.input.is_empty() => return Ok(Next::More),
            Left::UntilClose => Next::Piece(std::mem::take(&mut self.input)),
            Left::Length(left) => {
                let available = self.input.len();
                let count = usize::try_from(*left).map_or(available, |left| left.min(available));
                *left -= count as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                Next::Piece(self.input.split_to(count))
            }
            Left::Chunked(decoder) => {
                let next = decode(decoder, &mut self.input)?;
                if decoder.is_done() {
                    self.trailers = decoder.trailers().filter(|_| self.takes_trailers);
                    self.left = Left::Nothing;
                }
                next
            }
        };
        if matches!(self.left, Left::Nothing) {
            // What stands behind the body belongs to nobody.
            self.reusable &= self.input.is_empty();
            self.input.clear();
            // The connection can serve the next exchange while this one's last piece is written.
            if self.upload.is_none() {
                self.finish();
            }
        }
        Ok(next)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Why>> {
        loop {
            let Some(connection) = &self.connection else {
                return Poll::Ready(Err(Why::BodyTruncated));
            };
            let transport = connection.transport();
            // A buffer is taken only once there is something to put into it: who waits, and
            // that may be long, holds none.
            if transport.poll_read_ready(cx).is_pending() {
                return self.poll_idle(cx).map(Err);
            }
            let mut buffer = Vec::with_capacity(match self.left {
                Left::Length(left) => usize::try_from(left).map_or(READ, |left| left.min(READ)),
                _ => READ,
            });
            match transport.try_read(&mut buffer) {
                Ok(0) if matches!(self.left, Left::UntilClose) => {
                    self.left = Left::Nothing;
                    self.reusable = false;
                }
                Ok(1..) if buffer.len() <= COPIED_MAX => {
                    self.input = Bytes::copy_from_slice(&buffer);
                }
                Ok(1..) => self.input = buffer.into(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return Poll::Ready(Err(Why::BodyTruncated)),
            }
            return Poll::Ready(Ok(()));
        }
    }

    /// Ready when nothing has moved for too long, either way. The client's slowness does not
    /// count: that is measured where its bytes are read.
    fn poll_idle(&mut self, cx: &Context<'_>) -> Poll<Why> {
        let Some(connection) = &self.connection else {
            return Poll::Ready(Why::BodyTruncated);
        };
        if self.upload.is_some() && self.waits == Waits::Client {
            self.waiting = None;
            return Poll::Pending;
        }
        let sent = self.upload.as_ref().map_or(0, |upload| upload.sent());
        if self.waiting != Some(sent) {
            self.waiting = Some(sent);
            connection.deadline().set(self.idle_timeout);
        }
        connection
            .deadline()
            .poll_past(cx)
            .map(|()| Why::IdleTimeout)
    }

    /// The body is complete; perhaps the upload is not.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.upload.is_some() && self.awaits_upload {
            ready!(self.poll_idle(cx));
        }
        self.finish();
        Poll::Ready(())
    }

    /// Gives the connection back if nothing is left on it.
    fn finish(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.reusable
            && self.upload.is_none()
        {
            connection.keep();
        }
    }
}

impl BodyStream for UpstreamBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        if next.is_err() {
            self.connection = None;
        }
        Poll::Ready(next.map_err(BodyError).transpose())
    }

    fn length(&self) -> Option<u64> {
        match self.left {
            Left::Nothing => Some(0),
            Left::Length(left) => Some(left),
            Left::Chunked(_) | Left::UntilClose => None,
        }
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }
}

/// Takes what there is of a chunked body. Small chunks are put together: each piece costs a
/// write.
fn decode(decoder: &mut Decoder, input: &mut Bytes) -> Result<Next, Why> {
    let mut together = Vec::new();
    while !input.is_empty() && !decoder.is_done() {
        let step = decoder.decode(input).map_err(|_| Why::BodyTruncated)?;
        if together.is_empty() && step.data.len() > COPIED_MAX {
            let piece = input.slice(step.data);
            input.advance(step.consumed);
            return Ok(Next::Piece(piece));
        }
        together.extend_from_slice(input.get(step.data).unwrap_or_default());
        input.advance(step.consumed);
    }
    Ok(if !together.is_empty() {
        Next::Piece(together.into())
    } else if decoder.is_done() {
        Next::End
    } else {
        Next::More
    })
}
