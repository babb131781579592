//! One fetch for many: a response that is coming, read by all who asked for it while it does.
//!
//! ```text
//!   Asking ──head may be kept──▶ Coming ──end──▶ Kept        (the store has it)
//!     │                             └──broken off─▶ Failed
//!     ├──head may not be kept──▶ Refused                     (each asks for itself)
//!     └──no answer, dropped────▶ Failed                      (the next one asks)
//! ```
//!
//! Who fetches may be on another worker than who waits: the pieces are shared, and a lock is held
//! for as long as it takes to look at a list.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use super::entry::Head;
use crate::exchange::{BlockingPool, BodyError, BodyStream, FileSlice, Why};
use crate::middleware::file_stream::FileStream;

/// What may wait for the slowest reader of a response that turned out too large to be kept.
/// Enough for a socket's buffer of the next one.
const SPILL_MAX: u64 = 256 << 10;

/// A response that is coming.
pub(super) struct Fill(Mutex<State>);

/// How far it is.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Its head is not here yet.
    Asking,
    /// Its content is coming.
    Coming(Arc<Head>),
    /// It is in the store.
    Kept,
    /// It may not be kept.
    Refused,
    /// It did not come, or not whole.
    Failed,
}

struct State {
    stage: Stage,
    /// Of all the content, if that was told.
    length: Option<u64>,
    pieces: VecDeque<Bytes>,
    /// Pieces that all have read and that are not here any more.
    gone: usize,
    /// Where pieces are that are not here any more, if they are kept.
    spilled: Option<Spilled>,
    /// The bytes that are here, held against the store's bound.
    charge: Charge,
    end: Option<Result<(), Why>>,
    /// All of it will be kept, as far as is known.
    whole: bool,
    /// It was dropped before it had come: it may be older than what dropped it.
    doomed: bool,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    pump: Option<Waker>,
}

/// What is in a file.
struct Spilled {
    file: Arc<File>,
    bytes: u64,
}

#[derive(Default)]
struct Reader {
    /// The piece it reads next, counted from the first there was.
    next: usize,
    /// It waits for content; before, it waits for the head.
    reads: bool,
    waker: Option<Waker>,
}

impl Fill {
    pub(super) fn new(charge: Charge) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            stage: Stage::Asking,
            length: None,
            pieces: VecDeque::new(),
            gone: 0,
            spilled: None,
            charge,
            end: None,
            whole: true,
            doomed: false,
            readers: BTreeMap::new(),
            next_reader: 0,
            pump: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it, and reads it.
    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let mut state = self.state();
        let id = state.next_reader;
        state.next_reader = id.wrapping_add(1);
        state.readers.insert(id, Reader::default());
        Watch {
            fill: Arc::clone(self),
            id,
        }
    }

    /// Its head is here, and its content, of this length if that was told, is coming.
    pub(super) fn coming(&self, head: &Arc<Head>, length: Option<u64>) {
        self.change(|state| {
            state.stage = Stage::Coming(Arc::clone(head));
            state.length = length;
        });
    }

    /// It is decided what became of it. What was decided before stays.
    pub(super) fn settle(&self, stage: Stage) {
        self.change(|state| {
            let is_over = matches!(state.stage, Stage::Kept | Stage::Refused | Stage::Failed);
            if !is_over {
                state.stage = stage;
            }
            if state.end.is_none() {
                state.end = Some(Err(Why::BodyTruncated));
            }
        });
    }

    /// The next piece, and whether it can all be kept with it: `fits` tells of so many bytes.
    pub(super) fn push(&self, piece: Bytes, fits: impl FnOnce(&Charge, u64) -> bool) -> bool {
        let mut whole = false;
        self.change(|state| {
            let length = piece.len() as u64;
            state.whole = state.whole && fits(&state.charge, length);
            whole = state.whole;
            state.charge.add(length);
            state.pieces.push_back(piece);
            state.forget();
        });
        whole
    }

    /// What comes next is written to this file, and so is what is here, which this gives; `None`
    /// if not all of it is here.
    pub(super) fn spill(&self, file: &Arc<File>) -> Option<Vec<Bytes>> {
        let mut state = self.state();
        if !state.whole || state.gone > 0 {
            return None;
        }
        state.spilled = Some(Spilled {
            file: Arc::clone(file),
            bytes: 0,
        });
        Some(state.pieces.iter().cloned().collect())
    }

    /// So many more pieces are in the file: who reads them, reads them there.
    pub(super) fn written(&self, pieces: usize) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(spilled) = &mut state.spilled else {
            return;
        };
        for piece in state.pieces.drain(..pieces.min(state.pieces.len())) {
            let length = piece.len() as u64;
            spilled.bytes = spilled.bytes.saturating_add(length);
            state.charge.take(length);
            state.gone = state.gone.saturating_add(1);
        }
    }

    /// It cannot be written on: it will not be kept. Who reads it, goes on.
    pub(super) fn spoil(&self) {
        self.change(|state| {
            state.whole = false;
            state.forget();
        });
    }

    /// It has come to its end; all of it, if it is to be kept.
    pub(super) fn end(&self, end: Result<(), Why>) -> Option<Vec<Bytes>> {
        let mut whole = None;
        self.change(|state| {
            state.end = Some(end);
            whole = (end.is_ok() && state.whole).then(|| state.pieces.iter().cloned().collect());
        });
        whole
    }

    /// Has it not be kept, if `is_meant` says so of how far it is; whether it does.
    pub(super) fn doom(&self, is_meant: impl FnOnce(&Stage) -> bool) -> bool {
        let mut state = self.state();
        let is_meant = is_meant(&state.stage);
        state.doomed |= is_meant;
        is_meant
    }

    /// Whether it was dropped before it had come.
    pub(super) fn is_doomed(&self) -> bool {
        self.state().doomed
    }

    /// Whether there is room for another piece; false if it never will be, because nobody wants
    /// it: it is too large to be kept, and who read it has gone.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if state.whole {
            return Poll::Ready(true);
        }
        if !state.readers.values().any(|reader| reader.reads) {
            return Poll::Ready(false);
        }
        if state.charge.bytes() < SPILL_MAX {
            return Poll::Ready(true);
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers: Vec<Waker> = {
            let mut state = self.state();
            change(&mut state);
            let readers = state.readers.values_mut();
            readers.filter_map(|reader| reader.waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Lets go of what every reader has read, once it is not to be kept.
    fn forget(&mut self) {
        if self.whole {
            return;
        }
        let readers = self.readers.values().filter(|reader| reader.reads);
        let slowest = readers.map(|reader| reader.next).min();
        let end = self.gone.saturating_add(self.pieces.len());
        while self.gone < slowest.unwrap_or(end) {
            let Some(piece) = self.pieces.pop_front() else {
                break;
            };
            self.charge.take(piece.len() as u64);
            self.gone = self.gone.saturating_add(1);
        }
    }
}

/// Bytes of a response that is coming, counted with those of all others.
#[derive(Debug)]
pub(super) struct Charge {
    total: Arc<AtomicU64>,
    bytes: u64,
}

impl Charge {
    /// Of a response of which nothing is here yet; `total` counts those of all.
    pub(super) fn new(total: &Arc<AtomicU64>) -> Self {
        Self {
            total: Arc::clone(total),
            bytes: 0,
        }
    }

    /// Its own bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Those of all responses that are coming.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.take(self.bytes);
    }
}

/// One who waits for a response that is coming. Dropped, it waits no longer.
pub(super) struct Watch {
    fill: Arc<Fill>,
    id: u64,
}

impl Watch {
    /// Ready when more is known than that it was asked for.
    pub(super) fn poll_stage(&self, cx: &Context<'_>) -> Poll<Stage> {
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
    pub(super) fn read(self, blocking: &BlockingPool) -> Option<FillReader> {
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
pub(super) struct FillReader {
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

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fill")
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
