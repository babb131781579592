//! A transport as the engine reads and writes it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sys::transport::{More, Transport};

/// What is read at once: the largest frame that a server sends us, with its head.
const READ_MAX: usize = 17 * 1024;

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    /// Read, and not taken by the engine yet.
    input: Vec<u8>,
    /// How often something has come.
    heard: Rc<Cell<u64>>,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            input: Vec::new(),
            heard: Rc::default(),
        }
    }

    /// How often something has come, also from now on.
    pub(super) fn heard(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.heard)
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.transport.poll_write(cx, slices, More::No)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            transport,
            input,
            heard,
        } = &mut *self;
        if input.is_empty() {
            // Memory is taken only once there is something to put into it.
            ready!(transport.poll_read_ready(cx))?;
            input.reserve(READ_MAX);
            let read = transport.poll_read(cx, input);
            if read.is_pending() {
                *input = Vec::new();
            }
            ready!(read)?;
            heard.set(heard.get() + 1);
        }
        let count = input.len().min(into.remaining());
        into.put_slice(input.get(..count).unwrap_or_default());
        if count == input.len() {
            *input = Vec::new();
        } else {
            input.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.transport.shutdown_write())
    }
}
