//! A request body that may have to be sent again: what has been read of it is kept, as long as it
//! is not too much.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::exchange::{BodyError, BodyStream};
use crate::http::Headers;

/// A body that can be had more than once, one reader after the other.
pub(super) trait Again: fmt::Debug {
    /// The body from its start; `None` if that is gone.
    fn reader(&self) -> Option<Box<dyn BodyStream>>;

    /// Whether a reader would give all of it.
    fn is_whole(&self) -> bool;
}

/// What has been read of a client's body.
#[derive(Debug)]
pub(super) struct Record(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    /// The client's body; `None` once it has ended or broken off.
    source: Option<Box<dyn BodyStream>>,
    /// What it gave.
    pieces: Vec<Bytes>,
    /// How many bytes may still be kept; `None` once there were too many.
    room: Option<usize>,
    /// Why it broke off.
    broken: Option<BodyError>,
    trailers: Option<Headers>,
}

/// Reads what is kept, then on.
#[derive(Debug)]
struct Reader {
    kept: Rc<RefCell<Kept>>,
    /// The next of the pieces.
    at: usize,
}

/// How many pieces are kept. Each costs some memory of its own, however small it is.
const PIECES_MAX: usize = 1024;

impl Record {
    /// Keeps up to `limit` bytes of this body.
    pub(super) fn new(source: Box<dyn BodyStream>, limit: usize) -> Self {
        Self(Rc::new(RefCell::new(Kept {
            source: Some(source),
            pieces: Vec::new(),
            room: Some(limit),
            broken: None,
            trailers: None,
        })))
    }
}

impl Again for Record {
    fn reader(&self) -> Option<Box<dyn BodyStream>> {
        self.is_whole().then(|| {
            Box::new(Reader {
                kept: Rc::clone(&self.0),
                at: 0,
            }) as Box<dyn BodyStream>
        })
    }

    fn is_whole(&self) -> bool {
        self.0.borrow().room.is_some()
    }
}

impl Kept {
    /// Reads the next piece from the client, and keeps it.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(self.broken.map(Err));
        };
        let next = ready!(source.poll_chunk(cx));
        match &next {
            Some(Ok(piece)) => self.keep(piece),
            Some(Err(error)) => {
                self.broken = Some(*error);
                self.source = None;
            }
            None => {
                self.trailers = source.trailers();
                self.source = None;
            }
        }
        Poll::Ready(next)
    }

    fn keep(&mut self, piece: &Bytes) {
        let room = self.room.and_then(|room| room.checked_sub(piece.len()));
        self.room = room.filter(|_| self.pieces.len() < PIECES_MAX);
        if self.room.is_some() {
            self.pieces.push(piece.clone());
        } else {
            self.pieces = Vec::new();
        }
    }
}

impl BodyStream for Reader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(piece) = kept.pieces.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let next = ready!(kept.poll_source(cx));
        self.at = kept.pieces.len();
        Poll::Ready(next)
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.kept.borrow().trailers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Why;
    use crate::exchange::testing::block_on;

    /// Gives pieces, then breaks off or ends.
    #[derive(Debug)]
    struct Pieces(Vec<Result<Bytes, BodyError>>);

    impl BodyStream for Pieces {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            Poll::Ready((!self.0.is_empty()).then(|| self.0.remove(0)))
        }
    }

    fn record(pieces: &[&'static str], limit: usize) -> Record {
        let pieces = pieces
            .iter()
            .map(|text| Ok(Bytes::from_static(text.as_bytes())));
        Record::new(Box::new(Pieces(pieces.collect())), limit)
    }

    /// Reads so many pieces.
    fn read(mut stream: Box<dyn BodyStream>, count: usize) -> String {
        let read = async {
            let mut text = Vec::new();
            for _ in 0..count {
                match stream.chunk().await {
                    Some(Ok(piece)) => text.extend_from_slice(&piece),
                    Some(Err(error)) => text.extend_from_slice(error.0.as_str().as_bytes()),
                    None => text.push(b'.'),
                }
            }
            text
        };
        String::from_utf8(block_on(read)).unwrap()
    }

    #[test]
    fn a_second_reader_gets_what_the_first_had_and_the_rest() {
        let record = record(&["a", "b", "c"], 3);
        assert_eq!(read(record.reader().unwrap(), 2), "ab");
        assert_eq!(read(record.reader().unwrap(), 1), "a");
        assert_eq!(read(record.reader().unwrap(), 4), "abc.");
        assert_eq!(read(record.reader().unwrap(), 4), "abc.");
    }

    #[test]
    fn what_is_too_much_is_passed_on_and_not_kept() {
        let record = record(&["a", "b", "c"], 1);
        assert_eq!(read(record.reader().unwrap(), 1), "a");
        assert!(record.is_whole());
        assert_eq!(read(record.reader().unwrap(), 4), "abc.");
        assert!(!record.is_whole());
        assert!(record.reader().is_none());
    }

    #[test]
    fn a_body_that_broke_off_is_broken_for_the_next_too() {
        let broken = Err(BodyError(Why::ClientAbort));
        let record = Record::new(
            Box::new(Pieces(vec![Ok(Bytes::from_static(b"a")), broken])),
            9,
        );
        assert_eq!(read(record.reader().unwrap(), 2), "aclient_abort");
        assert_eq!(read(record.reader().unwrap(), 2), "aclient_abort");
    }
}
