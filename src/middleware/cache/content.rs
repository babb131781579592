//! The content of a stored response: in memory, or in a file.

use std::sync::Arc;

use bytes::Bytes;

use super::shelf::OnDisk;
use crate::exchange::{Body, FileSlice, Part};
use crate::http::range::ByteRange;

/// Content, whole.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// In memory.
    Memory(Bytes),
    /// In a file, which stays as long as this does, and its place among those that are kept.
    File(FileSlice, Arc<OnDisk>),
}

impl Content {
    /// The length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(slice, _) => slice.length,
        }
    }

    /// All of it, to be sent.
    pub(super) fn body(&self) -> Body {
        match self {
            Self::Memory(bytes) => Body::from(bytes.clone()),
            Self::File(slice, _) => Body::File(slice.clone()),
        }
    }

    /// A range, which lies within the content it was selected of.
    pub(super) fn part(&self, range: ByteRange) -> Part {
        match self {
            Self::Memory(bytes) => {
                let at = |offset| {
                    usize::try_from(offset).map_or(bytes.len(), |at: usize| at.min(bytes.len()))
                };
                Part::Bytes(bytes.slice(at(range.start)..at(range.end)))
            }
            Self::File(slice, _) => Part::File(FileSlice {
                file: Arc::clone(&slice.file),
                offset: slice.offset.saturating_add(range.start),
                length: range.end.saturating_sub(range.start),
            }),
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}
