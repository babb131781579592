//! Bodies that compress as they are pulled.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::gzip::{Gzip, Gzips};
use crate::exchange::{
    BlockingPool, BodyError, BodyStream, FileSlice, LocalBoxFuture, PoolFull, Why,
};
use crate::http::Headers;

/// How much is compressed before others on this worker have their turn: some 200 µs at level 6.
const SLICE: usize = 16 << 10;
/// How much is gathered before it is sent on, as long as more is at hand: a chunk should carry
/// more than its own framing and the call that writes it.
const CHUNK: usize = 8 << 10;
/// How much of a file is read at a time.
const READ: usize = 64 << 10;

/// Content, compressed.
#[derive(Debug)]
pub(super) struct GzipStream {
    gzips: Rc<Gzips>,
    /// Gone once the stream has ended.
    gzip: Option<Gzip>,
    inner: Option<Box<dyn BodyStream>>,
    /// Taken from `inner` and not compressed yet.
    taken: Bytes,
    out: Vec<u8>,
    /// Something was compressed and is not in `out` yet.
    held: bool,
    /// How much was compressed since others had their turn.
    worked: usize,
}

impl GzipStream {
    pub(super) fn around(gzips: Rc<Gzips>, level: u8, inner: Box<dyn BodyStream>) -> Self {
        Self {
            gzip: Some(gzips.take(level)),
            gzips,
            inner: Some(inner),
            taken: Bytes::new(),
            out: Vec::new(),
            held: false,
            worked: 0,
        }
    }

    pub(super) fn of_bytes(gzips: Rc<Gzips>, level: u8, bytes: Bytes) -> Self {
        Self {
            gzip: Some(gzips.take(level)),
            gzips,
            inner: None,
            taken: bytes,
            out: Vec::new(),
            held: false,
            worked: 0,
        }
    }

    fn chunk(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(Some(Ok(std::mem::take(&mut self.out).into())))
    }

    fn end(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(mut gzip) = self.gzip.take() else {
            return Poll::Ready(None);
        };
        let done = gzip.finish(&mut self.out);
        self.gzips.give_back(gzip);
        match done {
            Ok(()) => self.chunk(),
            Err(_) => failed(),
        }
    }
}

fn failed() -> Poll<Option<Result<Bytes, BodyError>>> {
    Poll::Ready(Some(Err(BodyError(Why::BodyTruncated))))
}

impl BodyStream for GzipStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.worked >= SLICE {
                self.worked = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(gzip) = &mut self.gzip else {
                return Poll::Ready(None);
            };
            if !self.taken.is_empty() {
                let slice = self.taken.split_to(self.taken.len().min(SLICE));
                self.worked += slice.len();
                self.held = true;
                if gzip.add(&slice, &mut self.out).is_err() {
                    return failed();
                }
                if self.out.len() >= CHUNK {
                    return self.chunk();
                }
                continue;
            }
            let Some(inner) = &mut self.inner else {
                return self.end();
            };
            match inner.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.taken = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return self.end(),
                // Who waits for more has the client wait for nothing that is here already.
                Poll::Pending if self.held => {
                    self.held = false;
                    return match gzip.flush(&mut self.out) {
                        Ok(()) => self.chunk(),
                        Err(_) => failed(),
                    };
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.inner.as_mut()?.trailers()
    }
}

impl Drop for GzipStream {
    fn drop(&mut self) {
        if let Some(gzip) = self.gzip.take() {
            self.gzips.give_back(gzip);
        }
    }
}

/// A part of a file, read on the blocking pool: who compresses pulls bytes through this
/// process, and a disk may be slow.
pub(super) struct FileStream {
    file: Arc<File>,
    offset: u64,
    left: u64,
    blocking: BlockingPool,
    reading: Option<Reading>,
}

type Reading = LocalBoxFuture<'static, Result<std::io::Result<Vec<u8>>, PoolFull>>;

impl FileStream {
    pub(super) fn new(slice: FileSlice, blocking: BlockingPool) -> Self {
        Self {
            file: slice.file,
            offset: slice.offset,
            left: slice.length,
            blocking,
            reading: None,
        }
    }

    fn read(&self) -> Reading {
        let length = usize::try_from(self.left).map_or(READ, |left| left.min(READ));
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let blocking = self.blocking.clone();
        Box::pin(async move {
            let read = move || {
                let mut bytes = vec![0; length];
                let read = file.read_at(&mut bytes, offset)?;
                bytes.truncate(read);
                Ok(bytes)
            };
            blocking.run(read).await
        })
    }
}

impl BodyStream for FileStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.read(),
        };
        let Poll::Ready(done) = Pin::as_mut(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let why = match done {
            Ok(Ok(bytes)) if !bytes.is_empty() => {
                self.offset += bytes.len() as u64;
                self.left = self.left.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Some(Ok(bytes.into())));
            }
            Ok(Ok(_)) => Why::FileTruncated,
            Ok(Err(_)) => Why::FileError,
            Err(PoolFull) => Why::Overloaded,
        };
        Poll::Ready(Some(Err(BodyError(why))))
    }

    fn length(&self) -> Option<u64> {
        Some(self.left)
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStream({} bytes left)", self.left)
    }
}

/// The content of a response to HEAD: of unknown length, and never sent.
#[derive(Debug)]
pub(super) struct Unsent;

impl BodyStream for Unsent {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(None)
    }
}
