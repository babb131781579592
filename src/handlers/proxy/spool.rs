//! A request body taken in whole before an endpoint is asked, so that a slow client holds no
//! connection to one: in memory at first, then in a file that has no name.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::replay::Again;
use crate::build::{ByteSize, ParseContext, Problem, Section};
use crate::exchange::{BlockingPool, BodyError, BodyStream, LocalBoxFuture, Why};
use crate::http::Headers;
use crate::sys::temporary;

/// How much is written to and read from the file at a time: large against the cost of handing it
/// to another thread.
const BATCH: usize = 256 * 1024;

/// More than this of each body in memory, and a few hundred slow clients fill a machine.
const MEMORY_MAX: u64 = 16 << 20;

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    memory: Option<Spanned<ByteSize>>,
    #[serde(default)]
    directory: Option<PathBuf>,
}

/// How bodies are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffering {
    memory: usize,
    directory: Arc<Path>,
}

/// A body taken in whole.
#[derive(Debug)]
pub(super) struct Spool {
    /// What came first.
    pieces: Vec<Bytes>,
    in_memory: usize,
    /// What came then.
    file: Option<Arc<File>>,
    in_file: u64,
    trailers: Option<Headers>,
    blocking: BlockingPool,
}

/// Reads a body that was taken in.
struct Reader {
    spool: Rc<Spool>,
    /// The next of the pieces.
    at: usize,
    /// How much of the file was read.
    read: u64,
    left: u64,
    reading: RefCell<Option<Reading>>,
}

type Reading = LocalBoxFuture<'static, Result<Bytes, Why>>;

impl Written {
    pub(super) fn read(self, section: &Section<'_>, cx: &mut ParseContext<'_>) -> Buffering {
        let memory = self.memory.as_ref().map_or(64 * 1024, |memory| {
            let bytes = memory.get_ref().0;
            if bytes > MEMORY_MAX {
                let message = format!("more than {} of each body in memory", ByteSize(MEMORY_MAX));
                let problem = Problem::error("E0002", section.at(memory.span()), message);
                cx.problems.push(problem.hint("the rest waits in a file"));
            }
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        // Kept on a disk, where /tmp often is memory (FHS 3.0 §5.15).
        let directory = self.directory.unwrap_or_else(|| "/var/tmp".into());
        Buffering {
            memory,
            directory: directory.into(),
        }
    }
}

impl Buffering {
    /// Takes a body in. How large it may be is the server's limit.
    ///
    /// # Errors
    /// The client's body broke off, or the file cannot be written (`file_error`).
    pub(super) async fn take(
        &self,
        mut body: Box<dyn BodyStream>,
        blocking: &BlockingPool,
    ) -> Result<Spool, Why> {
        let mut spool = Spool {
            pieces: Vec::new(),
            in_memory: 0,
            file: None,
            in_file: 0,
            trailers: None,
            blocking: blocking.clone(),
        };
        let mut batch = Vec::new();
        while let Some(piece) = body.chunk().await {
            let piece = piece.map_err(|error| error.0)?;
            let in_file = spool.file.is_some() || !batch.is_empty();
            if !in_file && spool.in_memory + piece.len() <= self.memory {
                spool.keep(&piece);
                continue;
            }
            batch.extend_from_slice(&piece);
            if batch.len() >= BATCH {
                spool
                    .write(std::mem::take(&mut batch), &self.directory)
                    .await?;
            }
        }
        if !batch.is_empty() {
            spool.write(batch, &self.directory).await?;
        }
        spool.trailers = body.trailers();
        Ok(spool)
    }
}

impl Spool {
    pub(super) const fn length(&self) -> u64 {
        self.in_memory as u64 + self.in_file
    }

    pub(super) const fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// The body again and again.
    pub(super) fn shared(self) -> Rc<dyn Again> {
        Rc::new(Shared(Rc::new(self)))
    }

    /// Keeps a piece in memory. Small ones are put together, so that many of them cost no more
    /// than few.
    fn keep(&mut self, piece: &Bytes) {
        self.in_memory += piece.len();
        if let Some(last) = self.pieces.last_mut()
            && last.len() + piece.len() <= BATCH / 16
        {
            let mut together = Vec::with_capacity(last.len() + piece.len());
            together.extend_from_slice(last);
            together.extend_from_slice(piece);
            *last = together.into();
        } else {
            self.pieces.push(piece.clone());
        }
    }

    async fn write(&mut self, batch: Vec<u8>, directory: &Arc<Path>) -> Result<(), Why> {
        let (file, directory, at) = (self.file.take(), Arc::clone(directory), self.in_file);
        self.in_file += batch.len() as u64;
        let written = self.blocking.run(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(temporary::file(&directory)?),
            };
            file.write_all_at(&batch, at)?;
            std::io::Result::Ok(file)
        });
        let written = written.await.map_err(|_| Why::Overloaded)?;
        self.file = Some(written.map_err(|error| {
            tracing::error!(%error, "a request body cannot be buffered");
            Why::FileError
        })?);
        Ok(())
    }
}

#[derive(Debug)]
struct Shared(Rc<Spool>);

impl Again for Shared {
    fn reader(&self) -> Option<Box<dyn BodyStream>> {
        Some(Box::new(Reader {
            spool: Rc::clone(&self.0),
            at: 0,
            read: 0,
            left: self.0.length(),
            reading: RefCell::new(None),
        }))
    }

    fn is_whole(&self) -> bool {
        true
    }
}

impl Reader {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Why>>> {
        if let Some(piece) = self.spool.pieces.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let Some(file) = self.spool.file.as_ref() else {
            return Poll::Ready(None);
        };
        let rest = self.spool.in_file - self.read;
        if rest == 0 {
            return Poll::Ready(None);
        }
        let (offset, blocking) = (self.read, &self.spool.blocking);
        let reading = self.reading.get_mut().get_or_insert_with(|| {
            let count = usize::try_from(rest).map_or(BATCH, |rest| rest.min(BATCH));
            read(blocking.clone(), Arc::clone(file), offset, count)
        });
        let done = ready!(reading.as_mut().poll(cx));
        *self.reading.get_mut() = None;
        Poll::Ready(Some(done.inspect(|piece| self.read += piece.len() as u64)))
    }
}

/// Reads a part of the file on a thread that may wait for the disk.
fn read(blocking: BlockingPool, file: Arc<File>, offset: u64, count: usize) -> Reading {
    Box::pin(async move {
        let read = blocking.run(move || {
            let mut piece = vec![0; count];
            file.read_exact_at(&mut piece, offset).map(|()| piece)
        });
        let read = read.await.map_err(|_| Why::Overloaded)?;
        read.map(Bytes::from).map_err(|_| Why::FileError)
    })
}

impl BodyStream for Reader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = ready!(self.next(cx));
        if let Some(Ok(piece)) = &next {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(next.map(|next| next.map_err(BodyError)))
    }

    fn length(&self) -> Option<u64> {
        Some(self.left)
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.spool.trailers.clone()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} of {} bytes)", self.left, self.spool.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{TestRequest, block_on};

    #[derive(Debug)]
    struct Pieces(Vec<Bytes>);

    impl BodyStream for Pieces {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
        }
    }

    fn check(pieces: &[usize], memory: usize, in_memory: usize) {
        let request = TestRequest::get("/");
        let buffering = Buffering {
            memory,
            directory: std::env::temp_dir().into(),
        };
        let mut all = Vec::new();
        let mut sent = Vec::new();
        for (index, length) in pieces.iter().enumerate() {
            let piece = vec![u8::try_from(index % 251).unwrap(); *length];
            all.extend_from_slice(&piece);
            sent.push(Bytes::from(piece));
        }
        block_on(async {
            let taken = buffering.take(Box::new(Pieces(sent)), &request.locals.blocking);
            let spool = taken.await.unwrap();
            assert_eq!(spool.in_memory, in_memory);
            assert_eq!(spool.length(), all.len() as u64);
            let again = spool.shared();
            for _ in 0..2 {
                let mut reader = again.reader().unwrap();
                let mut read = Vec::new();
                while let Some(piece) = reader.chunk().await {
                    read.extend_from_slice(&piece.unwrap());
                }
                assert!(read == all);
                assert_eq!(reader.length(), Some(0));
            }
        });
    }

    #[test]
    fn a_body_is_had_again_wherever_it_waits() {
        check(&[], 10, 0);
        check(&[3, 4], 10, 7);
        check(&[3, 8, 1], 10, 3);
        check(&[1; 100], 50, 50);
        check(&[200_000, 200_000, 200_000, 7], 100_000, 0);
    }
}
