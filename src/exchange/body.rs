//! Bodies: what a handler gives to be written, and what it reads from the client.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{LocalBoxFuture, Why};
use crate::http::Headers;
use crate::sys::transport::Transport;

/// The content of a response. The writer picks the cheapest way out for what it is.
#[derive(Debug, Default)]
pub enum Body {
    /// No content; `Content-Length: 0` where the status allows content.
    #[default]
    Empty,
    /// Content in memory: one `writev` with the head.
    Bytes(Bytes),
    /// A part of a file: `sendfile` on a plain socket.
    File(FileSlice),
    /// Several pieces of a known total length, one after the other (multipart ranges).
    Parts(Vec<Part>),
    /// Content that comes as it comes; chunked unless its length is known.
    Stream(Box<dyn BodyStream>),
    /// After a 101 the connection belongs to this.
    Tunnel(Box<dyn Tunnel>),
}

impl Body {
    /// The length in bytes, if it is known before the body is read.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(slice) => Some(slice.length),
            Self::Parts(parts) => Some(parts.iter().map(Part::length).sum()),
            Self::Stream(stream) => stream.length(),
            Self::Tunnel(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Bytes(bytes)
        }
    }
}

/// A part of an open file.
#[derive(Debug, Clone)]
pub struct FileSlice {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// From this byte.
    pub offset: u64,
    /// This many bytes. If the file has become shorter, the response is cut, never filled up.
    pub length: u64,
}

/// One piece of [`Body::Parts`].
#[derive(Debug, Clone)]
pub enum Part {
    /// From memory.
    Bytes(Bytes),
    /// From a file.
    File(FileSlice),
}

impl Part {
    /// The length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.length,
        }
    }
}

/// A body that is pulled, piece by piece. Pulling is the back-pressure: who does not ask,
/// does not get.
pub trait BodyStream: fmt::Debug {
    /// The next piece, never empty; `None` once, at the clean end. After an error or the end it
    /// is not called again.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// How many bytes are still to come, if that is known.
    fn length(&self) -> Option<u64> {
        None
    }

    /// Throws away what has come already, without waiting for more, so that it is known whether
    /// that is broken. Asked of the content of a request that nobody has taken: who wraps that and
    /// leaves it in the exchange hands this on.
    fn discard_received(&mut self) {}

    /// The trailer fields, if there were any; asked for after the clean end.
    fn trailers(&mut self) -> Option<Headers> {
        None
    }
}

impl dyn BodyStream {
    /// The next piece, for `async` code.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }
}

/// Content in memory, in one piece.
impl BodyStream for Bytes {
    fn poll_chunk(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let all = std::mem::take(self);
        Poll::Ready((!all.is_empty()).then_some(Ok(all)))
    }

    fn length(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// How many bytes of content a request may have: set by middleware, held by who reads the body.
#[derive(Debug, Clone)]
pub struct BodyLimit(Rc<Cell<u64>>);

impl BodyLimit {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Rc::new(Cell::new(bytes)))
    }

    /// So many bytes from now on.
    pub fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }

    /// How many bytes now.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyError(pub Why);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::error::Error for BodyError {}

/// What takes a connection over after a 101 (Switching Protocols).
pub trait Tunnel: fmt::Debug {
    /// Carries bytes both ways until both sides have ended. `early` is what the client sent
    /// right behind its head. Gives the bytes carried from and to the client, and why it ended
    /// if not cleanly.
    fn run(
        self: Box<Self>,
        client: Rc<Transport>,
        early: Bytes,
    ) -> LocalBoxFuture<'static, TunnelEnd>;
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct TunnelEnd {
    /// Bytes that came from the client.
    pub received: u64,
    /// Bytes that went to the client.
    pub sent: u64,
    /// Why it ended, if not cleanly.
    pub why: Option<Why>,
}
