//! Bodies that compress as they are pulled.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::coding::{Encoder, Encoders, Failed};
use super::results::Keep;
use crate::exchange::{BlockingPool, BodyError, BodyStream, LocalBoxFuture, Why};
use crate::http::Headers;

/// How much is compressed before others on this worker have their turn: some 200 µs at level 6.
const SLICE: usize = 16 << 10;
/// How much is compressed at a time on the blocking pool: more than going there costs.
const POOL_SLICE: usize = 64 << 10;
/// How much is gathered before it is sent on, as long as more is at hand: a chunk should carry
/// more than its own framing and the call that writes it.
const CHUNK: usize = 8 << 10;

/// Content, compressed.
pub(super) struct EncodeStream {
    encoders: Rc<Encoders>,
    /// Gone while the blocking pool has it, and once the stream has ended.
    encoder: Option<Encoder>,
    inner: Option<Box<dyn BodyStream>>,
    /// Taken from `inner` and not compressed yet.
    taken: Bytes,
    out: Vec<u8>,
    /// Something was compressed and is not in `out` yet.
    held: bool,
    /// How much was compressed since others had their turn.
    worked: usize,
    /// Where slow codings are made.
    pool: BlockingPool,
    job: Option<(Job, Step)>,
    /// Where the result goes once it is whole.
    keep: Option<Keep>,
}

/// What is done with an encoder next.
#[derive(Debug, Clone)]
enum Work {
    Add(Bytes),
    Flush,
    Finish,
}

/// What was done.
#[derive(Debug, Clone, Copy)]
enum Step {
    Added,
    Flushed,
    Finished,
}

type Job = LocalBoxFuture<'static, Result<(Encoder, Vec<u8>), Failed>>;

type Chunk = Poll<Option<Result<Bytes, BodyError>>>;

impl Work {
    fn step(&self) -> Step {
        match self {
            Self::Add(_) => Step::Added,
            Self::Flush => Step::Flushed,
            Self::Finish => Step::Finished,
        }
    }

    fn run(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Failed> {
        match self {
            Self::Add(content) => encoder.add(content, out),
            Self::Flush => encoder.flush(out),
            Self::Finish => encoder.finish(out),
        }
    }

    fn run_owned(&self, mut encoder: Encoder) -> Result<(Encoder, Vec<u8>), Failed> {
        let mut out = Vec::new();
        self.run(&mut encoder, &mut out)?;
        Ok((encoder, out))
    }
}

/// Runs it on the blocking pool; here, if that has no room: the client waits for it either way.
async fn on_pool(
    pool: BlockingPool,
    encoder: Encoder,
    work: Work,
) -> Result<(Encoder, Vec<u8>), Failed> {
    let ours = Arc::new(Mutex::new(Some(encoder)));
    let theirs = Arc::clone(&ours);
    let take =
        |from: &Mutex<Option<Encoder>>| from.lock().unwrap_or_else(PoisonError::into_inner).take();
    let same = work.clone();
    let done = pool.run(move || take(&theirs).map(|encoder| same.run_owned(encoder)));
    match done.await {
        Ok(Some(done)) => done,
        Ok(None) | Err(_) => match take(&ours) {
            Some(encoder) => work.run_owned(encoder),
            None => Err(Failed),
        },
    }
}

impl EncodeStream {
    /// Compresses what comes out of this.
    pub(super) fn around(
        encoders: Rc<Encoders>,
        encoder: Encoder,
        inner: Box<dyn BodyStream>,
        pool: BlockingPool,
    ) -> Self {
        Self {
            encoders,
            encoder: Some(encoder),
            inner: Some(inner),
            taken: Bytes::new(),
            out: Vec::new(),
            held: false,
            worked: 0,
            pool,
            job: None,
            keep: None,
        }
    }

    /// Compresses this.
    pub(super) fn of_bytes(
        encoders: Rc<Encoders>,
        encoder: Encoder,
        bytes: Bytes,
        pool: BlockingPool,
    ) -> Self {
        Self {
            encoders,
            encoder: Some(encoder),
            inner: None,
            taken: bytes,
            out: Vec::new(),
            held: false,
            worked: 0,
            pool,
            job: None,
            keep: None,
        }
    }

    /// Keeps the result once it is whole.
    pub(super) fn keeping(mut self, keep: Option<Keep>) -> Self {
        self.keep = keep;
        self
    }

    /// What is to be done next; `None` if there is nothing to do it with yet.
    fn poll_work(&mut self, cx: &mut Context<'_>, slice: usize) -> Poll<Result<Work, BodyError>> {
        loop {
            if !self.taken.is_empty() {
                let slice = self.taken.split_to(self.taken.len().min(slice));
                return Poll::Ready(Ok(Work::Add(slice)));
            }
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(Ok(Work::Finish));
            };
            match inner.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.taken = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(Work::Finish)),
                // Who waits for more has the client wait for nothing that is here already.
                Poll::Pending if self.held => return Poll::Ready(Ok(Work::Flush)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What is sent on after a step, if anything is.
    fn after(&mut self, step: Step) -> Option<Bytes> {
        match step {
            Step::Added => self.held = true,
            Step::Flushed => self.held = false,
            Step::Finished => {
                if let Some(encoder) = self.encoder.take() {
                    self.encoders.give_back(encoder);
                }
            }
        }
        let enough = match step {
            Step::Added => CHUNK,
            Step::Flushed | Step::Finished => 1,
        };
        if self.out.len() < enough {
            return None;
        }
        let chunk = Bytes::from(std::mem::take(&mut self.out));
        if let Some(keep) = &mut self.keep {
            keep.add(&chunk);
        }
        if matches!(step, Step::Finished)
            && let Some(keep) = self.keep.take()
        {
            keep.done();
        }
        Some(chunk)
    }
}

fn failed() -> Chunk {
    Poll::Ready(Some(Err(BodyError(Why::BodyTruncated))))
}

impl BodyStream for EncodeStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Chunk {
        loop {
            let step = if let Some((job, step)) = &mut self.job {
                let step = *step;
                match Pin::as_mut(job).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(Failed)) => return failed(),
                    Poll::Ready(Ok((encoder, mut out))) => {
                        self.encoder = Some(encoder);
                        self.out.append(&mut out);
                    }
                }
                self.job = None;
                step
            } else {
                if self.worked >= SLICE {
                    self.worked = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let Some(encoder) = &self.encoder else {
                    return Poll::Ready(None);
                };
                let is_slow = encoder.coding().is_slow();
                let slice = if is_slow { POOL_SLICE } else { SLICE };
                let work = match self.poll_work(cx, slice) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Ok(work)) => work,
                };
                let step = work.step();
                if is_slow && let Some(encoder) = self.encoder.take() {
                    let job = Box::pin(on_pool(self.pool.clone(), encoder, work));
                    self.job = Some((job, step));
                    continue;
                }
                if let Work::Add(content) = &work {
                    self.worked += content.len();
                }
                let encoder = self.encoder.as_mut();
                let done = encoder.map(|encoder| work.run(encoder, &mut self.out));
                if done != Some(Ok(())) {
                    return failed();
                }
                step
            };
            if let Some(chunk) = self.after(step) {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.inner.as_mut()?.trailers()
    }
}

impl Drop for EncodeStream {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.encoders.give_back(encoder);
        }
    }
}

impl std::fmt::Debug for EncodeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncodeStream({:?})", self.encoder)
    }
}

/// The content of a response to HEAD: of unknown length, and never sent.
#[derive(Debug)]
pub(super) struct Unsent;

impl BodyStream for Unsent {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Chunk {
        Poll::Ready(None)
    }
}
