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

pub(super) mod reader;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::entry::Head;
use crate::exchange::Why;

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

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fill")
    }
}
