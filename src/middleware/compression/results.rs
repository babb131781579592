//! What was compressed before: the same bytes need not be compressed twice.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use smallvec::SmallVec;

use super::coding::Coding;
use crate::exchange::{Exchange, Response};
use crate::http::etag::ETag;
use crate::http::{Method, StatusCode, name};

/// What a result costs beside its bytes.
const OVERHEAD: u64 = 256;
/// How many results of the largest size there is room for.
const LARGEST_MIN: u64 = 8;
/// What results are thought to weigh on average; it need not be near.
const USUAL_WEIGHT: u64 = 8 << 10;

/// What the bytes were, and how they were compressed. Most fit without an allocation.
pub(super) type Key = SmallVec<[u8; 256]>;

/// Results, shared by all workers and kept across reloads.
pub(super) struct Results {
    kept: Cache<Box<[u8]>, Known, Weigh, RandomState>,
    /// The most that one result may have.
    pub(super) result_max: u64,
}

/// What is known of some bytes.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Compressed they are these.
    Compressed(Bytes),
    /// Compressed they are no shorter.
    NoShorter,
}

impl Results {
    /// Room for so many bytes.
    pub(super) fn new(size: u64) -> Self {
        let items = usize::try_from(size / USUAL_WEIGHT).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items.max(64))
            .weight_capacity(size)
            // A few: a large result must fit into its part.
            .shards(4)
            .build()
            .expect("all that has no default was given");
        let lifecycle = DefaultLifecycle::default();
        Self {
            kept: Cache::with_options(options, Weigh, RandomState::new(), lifecycle),
            result_max: size / LARGEST_MIN,
        }
    }

    /// What is known of what this response holds, and under which key.
    pub(super) fn find(&self, key: &[u8]) -> Option<Known> {
        self.kept.get(key)
    }

    pub(super) fn keep(&self, key: &[u8], known: Known) {
        self.kept.insert(key.into(), known);
    }
}

/// Names the bytes of a response, if they have a name: a strong tag, which no two
/// representations of a URL share (RFC 9110 §8.8.1).
pub(super) fn key(x: &Exchange<'_>, response: &Response, coding: Coding, level: u8) -> Option<Key> {
    let tag = response.headers.get(&name::ETAG).and_then(ETag::parse)?;
    let reads = matches!(x.request.method, Method::Get | Method::Head);
    let length = response.body.length()?;
    if tag.weak || !reads || response.status != StatusCode::OK {
        return None;
    }
    let mut key = Key::new();
    let target = &x.request.target;
    let mut number = itoa::Buffer::new();
    for part in [
        x.route.as_bytes(),
        x.request.authority().as_bytes(),
        target.raw_path().as_bytes(),
        target.query().unwrap_or_default().as_bytes(),
        tag.opaque,
        coding.name().as_bytes(),
        number.format(length).as_bytes(),
    ] {
        key.extend_from_slice(part);
        // No part holds one.
        key.push(b'\n');
    }
    key.push(level);
    Some(key)
}

/// Gathers a result that is being made.
pub(super) struct Keep {
    results: Arc<Results>,
    key: Key,
    content: u64,
    gathered: Vec<u8>,
}

impl Keep {
    /// For content of so many bytes.
    pub(super) fn new(results: &Arc<Results>, key: Key, content: u64) -> Self {
        Self {
            results: Arc::clone(results),
            key,
            content,
            gathered: Vec::new(),
        }
    }

    /// The next piece. What grows too large is let go at once.
    pub(super) fn add(&mut self, piece: &[u8]) {
        let length = self.gathered.len().saturating_add(piece.len());
        if length as u64 <= self.results.result_max {
            self.gathered.extend_from_slice(piece);
        } else {
            // Larger than all that is kept: it will not be.
            self.content = 0;
            self.gathered = Vec::new();
        }
    }

    /// All pieces have come.
    pub(super) fn done(mut self) {
        if self.content == 0 {
            return;
        }
        self.gathered.shrink_to_fit();
        let known = if (self.gathered.len() as u64) < self.content {
            Known::Compressed(self.gathered.into())
        } else {
            Known::NoShorter
        };
        self.results.keep(&self.key, known);
    }
}

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Box<[u8]>, Known> for Weigh {
    fn weight(&self, key: &Box<[u8]>, known: &Known) -> u64 {
        let bytes = match known {
            Known::Compressed(bytes) => bytes.len(),
            Known::NoShorter => 0,
        };
        OVERHEAD.saturating_add((bytes + key.len()) as u64)
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Results({} bytes)", self.kept.weight())
    }
}
