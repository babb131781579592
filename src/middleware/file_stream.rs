//! Content of files, as who compresses or paces it pulls it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::exchange::{
    BlockingPool, BodyError, BodyStream, FileSlice, LocalBoxFuture, PoolFull, Why,
};

/// How much of a file is read at a time.
const READ: usize = 64 << 10;

/// A part of a file, read on the blocking pool: who changes it pulls bytes through this
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
