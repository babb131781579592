//! The connection as the engine reads and writes it: what it writes is gathered, and goes out
//! when it has no more to say.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::Watch;
use crate::server::connection::Connection;
use crate::sys::transport::More;

/// Frames are gathered up to this size before they are written: the engine asks for a write for
/// each of them.
const GATHERED_MAX: usize = 64 * 1024;

/// What is read at once: the largest frame that a client sends us, with its head.
const READ_MAX: usize = 17 * 1024;

/// How often is read in one turn: a client that sends faster than it is served would never let
/// others be.
const READS_MAX: u8 = 16;

/// Memory that busy connections of a worker borrow.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    input: RefCell<Vec<u8>>,
    output: RefCell<Vec<u8>>,
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Rc<Connection>,
    buffers: Rc<Buffers>,
    /// Bytes received that the engine has not taken, and how many of them it has.
    input: RefCell<(Vec<u8>, usize)>,
    /// What the kernel has not taken.
    output: RefCell<Vec<u8>>,
    /// How often may be read before others of the worker have their turn.
    reads: Cell<u8>,
    /// Counted up whenever the kernel takes something.
    pub(super) progress: Cell<u64>,
    pub(super) watch: RefCell<Watch>,
}

/// What the engine holds.
#[derive(Debug)]
pub(super) struct Link(pub(super) Rc<Wire>);

impl Wire {
    /// A connection on which this has come already.
    pub(super) fn new(
        connection: &Rc<Connection>,
        buffers: Rc<Buffers>,
        received: Vec<u8>,
    ) -> Self {
        Self {
            connection: Rc::clone(connection),
            buffers,
            input: RefCell::new((received, 0)),
            output: RefCell::default(),
            reads: Cell::new(READS_MAX),
            progress: Cell::new(0),
            watch: RefCell::default(),
        }
    }

    /// The connection has its turn on the worker.
    pub(super) fn begin_turn(&self) {
        self.reads.set(READS_MAX);
    }

    /// Whether something waits for the kernel.
    pub(super) fn is_blocked(&self) -> bool {
        !self.output.borrow().is_empty()
    }

    /// Writes what is gathered; ready when nothing is left.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut output = self.output.borrow_mut();
        while !output.is_empty() {
            let slices = [IoSlice::new(&output)];
            let count = ready!(self.connection.transport.poll_write(cx, &slices, More::No))?;
            self.note(count)?;
            output.drain(..count);
        }
        if output.capacity() > 0 {
            self.buffers.output.replace(std::mem::take(&mut output));
        }
        Poll::Ready(Ok(()))
    }

    fn note(&self, count: usize) -> io::Result<()> {
        self.progress.set(self.progress.get().wrapping_add(1));
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut output = self.output.borrow_mut();
        // What has been offered once is offered again before anything else: under encryption it
        // may be on its way already.
        while !output.is_empty() && output.len() + total > GATHERED_MAX {
            let all = [IoSlice::new(&output)];
            let count = ready!(self.connection.transport.poll_write(cx, &all, More::No))?;
            self.note(count)?;
            output.drain(..count);
        }
        if output.capacity() == 0 {
            *output = self.buffers.output.take();
        }
        for slice in slices {
            output.extend_from_slice(slice);
        }
        Poll::Ready(Ok(total))
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let reads = self.reads.get();
        if reads == 0 || self.watch.borrow().is_flooded() {
            // Whoever polls looks what is the matter, and comes back.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.reads.set(reads - 1);
        let (received, taken) = &mut *self.input.borrow_mut();
        if let Some(rest @ [_, ..]) = received.get(*taken..) {
            let count = self.hand(rest, into);
            *taken += count;
            if *taken == received.len() {
                (*received, *taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let mut input = self.buffers.input.take();
        input.clear();
        input.reserve(READ_MAX);
        let read = self.connection.transport.poll_read(cx, &mut input);
        if read.is_ready() {
            let count = self.hand(&input, into);
            if let Some(rest @ [_, ..]) = input.get(count..) {
                *received = rest.to_vec();
            }
        }
        self.buffers.input.replace(input);
        read.map_ok(drop)
    }

    fn hand(&self, bytes: &[u8], into: &mut ReadBuf<'_>) -> usize {
        let count = bytes.len().min(into.remaining());
        let piece = bytes.get(..count).unwrap_or_default();
        let mut watch = self.watch.borrow_mut();
        watch.read(piece);
        let counters = &self.connection.worker.locals.counters;
        counters.http2_resets.add(watch.take_resets());
        into.put_slice(piece);
        count
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, into)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Done by who polls the engine, once it has no more to say.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        Poll::Ready(self.0.connection.transport.shutdown_write())
    }
}
