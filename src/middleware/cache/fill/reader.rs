//! Who reads a response that is coming: waits for its head, then follows its content, wherever
//! that is by then.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{Fill, Reader, Stage};
use crate::exchange::{BlockingPool, BodyError, BodyStream, FileSlice, Why};
use crate::middleware::file_stream::FileStream;

impl Fill {
    /// Waits for it, and reads it.
    pub(in crate::middleware::cache) fn watch(self: &Arc<Self>) -> Watch {
        let mut state = self.state();
        let id = state.next_reader;
        state.next_reader = id.wrapping_add(1);
        state.readers.insert(id, Reader::default());
        Watch {
            fill: Arc::clone(self),
            id,
        }
    }
}

/// One who waits for a response that is coming. Dropped, it waits no longer.
pub(in crate::middleware::cache) struct Watch {
    fill: Arc<Fill>,
    id: u64,
}

impl Watch {
    /// Ready when more is known than that it was asked for.
    pub(in crate::middleware::cache) fn poll_stage(&self, cx: &Context<'_>) -> Poll<Stage> {
        let mut state = self.fill.state();
        if !matches!(state.stage, Stage::Asking) {
            return Poll::Ready(state.stage.clone());
        }
        if let Some(reader) = state.readers.get_mut(&self.id) {
            reader.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Reads the content from its start; `None` if that is not here any more.
    pub(in crate::middleware::cache) fn read(self, blocking: &BlockingPool) -> Option<FillReader> {
        let mut state = self.fill.state();
        let is_in_file = state.whole && state.spilled.is_some();
        if state.gone > 0 && !is_in_file {
            return None;
        }
        state.readers.get_mut(&self.id)?.reads = true;
        let left = state.length;
        drop(state);
        Some(FillReader {
            watch: self,
            left,
            read: 0,
            file: None,
            blocking: blocking.clone(),
        })
    }

    /// What comes behind the bytes that were read.
    fn poll_next(&self, read: u64, cx: &Context<'_>) -> Poll<Next> {
        let mut guard = self.fill.state();
        let state = &mut *guard;
        let Some(reader) = state.readers.get_mut(&self.id) else {
            return Poll::Ready(Next::End(None));
        };
        if let Some(spilled) = &state.spilled
            && reader.next < state.gone
        {
            reader.next = state.gone;
            return Poll::Ready(Next::InFile(FileSlice {
                file: Arc::clone(&spilled.file),
                offset: read,
                length: spilled.bytes.saturating_sub(read),
            }));
        }
        let at = reader.next.saturating_sub(state.gone);
        let Some(piece) = state.pieces.get(at).cloned() else {
            return match state.end {
                Some(Ok(())) => Poll::Ready(Next::End(None)),
                Some(Err(why)) => Poll::Ready(Next::End(Some(why))),
                None => {
                    reader.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        reader.next = reader.next.saturating_add(1);
        state.forget();
        let pump = state.pump.take();
        drop(guard);
        if let Some(pump) = pump {
            pump.wake();
        }
        Poll::Ready(Next::Piece(piece))
    }
}

/// What a reader reads next.
enum Next {
    Piece(Bytes),
    /// It is not here any more, but in a file.
    InFile(FileSlice),
    /// Nothing; and why, if that is not the end.
    End(Option<Why>),
}

impl Drop for Watch {
    fn drop(&mut self) {
        let pump = {
            let mut state = self.fill.state();
            state.readers.remove(&self.id);
            state.forget();
            state.pump.take()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
    }
}

/// The content of a response that is coming, for one who asked.
pub(in crate::middleware::cache) struct FillReader {
    watch: Watch,
    /// How much is still to come, if that was told.
    left: Option<u64>,
    /// How much was read.
    read: u64,
    /// What it reads from the file.
    file: Option<FileStream>,
    blocking: BlockingPool,
}

impl FillReader {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(file) = &mut self.file {
                match ready!(file.poll_chunk(cx)) {
                    None => self.file = None,
                    piece => return Poll::Ready(piece),
                }
            }
            let next = match ready!(self.watch.poll_next(self.read, cx)) {
                Next::Piece(piece) => Some(Ok(piece)),
                Next::End(why) => why.map(|why| Err(BodyError(why))),
                Next::InFile(slice) => {
                    self.file = Some(FileStream::new(slice, self.blocking.clone()));
                    continue;
                }
            };
            return Poll::Ready(next);
        }
    }
}

impl BodyStream for FillReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = self.poll_piece(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            let length = piece.len() as u64;
            self.read = self.read.saturating_add(length);
            self.left = self.left.map(|left| left.saturating_sub(length));
        }
        polled
    }

    fn length(&self) -> Option<u64> {
        self.left
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.id)
    }
}

impl fmt::Debug for FillReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FillReader({:?} bytes left)", self.left)
    }
}
