//! When the next piece may go.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use super::source::Source;
use crate::clock;
use crate::exchange::{BodyError, BodyStream};
use crate::http::Headers;
use crate::middleware::rate_limit::buckets::Buckets;
use crate::telemetry::Count;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speed {
    /// Bytes a second; never 0.
    pub(super) rate: u64,
    /// Bytes that may go at once.
    pub(super) burst: u64,
}

/// What a piece is at most: a twentieth of a second's worth, so that a stream flows and does not
/// come in lumps; and within these bounds, so that neither the worker nor the pieces suffer.
const PIECES_A_SECOND: u64 = 20;
const PIECE_MIN: u64 = 1024;
const PIECE_MAX: u64 = 64 * 1024;

/// The most buckets that are kept for one limit, at some 60 bytes each; above it those go that
/// are owed the most.
const KEYS_MAX: usize = 1_000_000;

/// When the next piece may go.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    owed: Owed,
    bytes: Count,
    worker: usize,
}

/// What was sent ahead of its time.
#[derive(Debug)]
enum Owed {
    /// By this exchange alone: a bucket of its own under a key of its own.
    Alone(Box<Buckets>),
    /// By all that share a key.
    Shared(Arc<Buckets>, u64),
}

impl Speed {
    /// The longest piece.
    pub(super) fn piece(&self) -> usize {
        let piece = (self.rate / PIECES_A_SECOND).clamp(PIECE_MIN, PIECE_MAX);
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    /// How long so many bytes take, in nanoseconds.
    fn nanoseconds(&self, bytes: u64) -> u64 {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1));
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }
}
