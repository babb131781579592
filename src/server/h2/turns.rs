//! Whose turn it is to hand content to the connection: bounded, the urgent first.
//!
//! What has been handed to the engine is sent frame by frame, one stream after the other, and
//! cannot be called back. So only a little is handed over at a time, and who has waited for room
//! gets it by RFC 9218.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use super::priority::Priority;

/// Bytes of content that are handed over and not yet with the kernel. Four of the largest frames
/// that a client takes by default: enough to keep a socket busy between two wake-ups, little
/// enough that what is urgent does not wait long behind what is not.
const HANDED_MAX: usize = 64 * 1024;

/// Who waits, in the order in which they are served: by urgency; of those alike, the ones that
/// want to be whole in the order of their streams, then those that share, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    urgency: u8,
    incremental: bool,
    number: u64,
    stream: u32,
}

/// The content that one connection is sending.
#[derive(Debug, Default)]
pub(super) struct Turns {
    handed: Cell<usize>,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<Place, Waker>>,
}

/// One stream's right to wait.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Rc<Turns>,
    stream: u32,
    priority: Priority,
    place: Option<Place>,
}

/// A piece of content on its way, counted until the kernel has it or nobody wants it.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    turns: Rc<Turns>,
}

impl Turn {
    /// For the content of this stream.
    pub(super) fn new(turns: &Rc<Turns>, stream: u32, priority: Priority) -> Self {
        Self {
            turns: Rc::clone(turns),
            stream,
            priority,
            place: None,
        }
    }

    /// Ready when this stream may hand content over.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let turns = &self.turns;
        let mut waiting = turns.waiting.borrow_mut();
        let place = *self.place.get_or_insert_with(|| {
            let number = turns.next.get();
            turns.next.set(number + 1);
            Place {
                urgency: self.priority.urgency,
                incremental: self.priority.incremental,
                number: if self.priority.incremental { number } else { 0 },
                stream: self.stream,
            }
        });
        let first = waiting.first_key_value().map(|(first, _)| *first);
        let may = turns.handed.get() < HANDED_MAX && first.is_none_or(|first| place <= first);
        if !may {
            waiting.insert(place, cx.waker().clone());
            return Poll::Pending;
        }
        waiting.remove(&place);
        self.place = None;
        Poll::Ready(())
    }

    /// Content to be handed over now.
    pub(super) fn piece(&self, bytes: Bytes) -> Piece {
        let turns = &self.turns;
        turns.handed.set(turns.handed.get() + bytes.len());
        turns.wake_next();
        Piece {
            bytes,
            turns: Rc::clone(turns),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.turns.waiting.borrow_mut().remove(&place);
            self.turns.wake_next();
        }
    }
}

impl Turns {
    /// Content that nobody has to wait for.
    pub(super) fn piece(self: &Rc<Self>, bytes: Bytes) -> Piece {
        self.handed.set(self.handed.get() + bytes.len());
        Piece {
            bytes,
            turns: Rc::clone(self),
        }
    }

    /// Whether content may be handed over without waiting.
    pub(super) fn has_room(&self) -> bool {
        self.handed.get() < HANDED_MAX && self.waiting.borrow().is_empty()
    }

    /// So many bytes are gone.
    fn left(&self, count: usize) {
        self.handed.set(self.handed.get().saturating_sub(count));
        self.wake_next();
    }

    /// Wakes who is next, if there is room. They stay in their place until they have taken it.
    fn wake_next(&self) {
        if self.handed.get() < HANDED_MAX
            && let Some((_, waker)) = self.waiting.borrow().first_key_value()
        {
            waker.wake_by_ref();
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.turns.left(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.turns.left(self.bytes.len());
        }
    }
}
