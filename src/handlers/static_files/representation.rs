//! A file, ready to be sent: its fields prepared, its content in memory or open.

use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;

use super::content;
use super::settings::{Coding, Presentation};
use crate::clock;
use crate::exchange::{Body, FileSlice, Part, Response};
use crate::http::conditional::{self, Validators, Verdict};
use crate::http::etag::ETag;
use crate::http::range::{self, Boundary, ByteRange, Selection};
use crate::http::{Headers, RequestHead, StatusCode, accept, date, mime, name};

/// What a request path stands for: a file, plain and precompressed.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) plain: Representation,
    pub(super) coded: Vec<(Coding, Representation)>,
}

impl Resource {
    /// Answers with the representation the client wants most.
    pub(super) fn respond(&self, request: &RequestHead) -> Response {
        self.choose(&request.headers).respond(request)
    }

    /// Every representation.
    pub(super) fn all(&self) -> impl Iterator<Item = &Representation> {
        let coded = self.coded.iter().map(|(_, representation)| representation);
        std::iter::once(&self.plain).chain(coded)
    }

    /// Whether none of the files was being changed while it was read: small ones are in memory
    /// then.
    pub(super) fn is_settled(&self) -> bool {
        self.all()
            .all(|representation| match representation.content {
                Content::Memory(_) => true,
                Content::Open(_, length) => length > content::SMALL,
            })
    }

    fn choose(&self, headers: &Headers) -> &Representation {
        if self.coded.is_empty() {
            return &self.plain;
        }
        let names: Vec<_> = self.coded.iter().map(|(coding, _)| coding.name()).collect();
        let best = accept::best_coding(headers, &names);
        let coded = self
            .coded
            .iter()
            .find(|(coding, _)| Some(coding.name()) == best);
        coded.map_or(&self.plain, |(_, representation)| representation)
    }
}

/// One file and its prepared fields.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) identity: Identity,
    pub(super) content: Content,
    /// The fields of a 200.
    headers: Headers,
    /// What stands between the quotes of the entity tag.
    opaque: Option<Box<[u8]>>,
    /// Seconds since 1970.
    modified: u64,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Content {
    /// A small file.
    Memory(Bytes),
    /// A file of this many bytes, open.
    Open(Arc<File>, u64),
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Whether this was made before that was last changed. Two seconds are no difference:
    /// archives and some file systems keep no more than even ones.
    pub(super) const fn is_older_than(&self, other: &Self) -> bool {
        self.modified.0.saturating_add(2) < other.modified.0
    }

    /// Strong: it names the time of the last change to the nanosecond and the size. Not the
    /// inode, so that machines that were given the same files name them alike.
    fn opaque_tag(&self, coding: Option<Coding>) -> Box<[u8]> {
        let (seconds, nanos) = self.modified;
        let suffix = coding.map(|coding| ["-", coding.extension()].concat());
        let suffix = suffix.unwrap_or_default();
        let tag = format!("{seconds:x}{nanos:08x}-{:x}{suffix}", self.size);
        tag.into_bytes().into()
    }
}

impl Content {
    const fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Open(_, length) => *length,
        }
    }

    fn whole(&self) -> Body {
        match self {
            Self::Memory(bytes) => Body::from(bytes.clone()),
            Self::Open(file, length) => Body::File(FileSlice {
                file: Arc::clone(file),
                offset: 0,
                length: *length,
            }),
        }
    }

    fn part(&self, range: ByteRange) -> Part {
        match self {
            Self::Memory(bytes) => {
                // A range lies within the content, and what is in memory has an index.
                let at = |offset| usize::try_from(offset).unwrap_or(0).min(bytes.len());
                Part::Bytes(bytes.slice(at(range.start)..at(range.end)))
            }
            Self::Open(file, _) => Part::File(FileSlice {
                file: Arc::clone(file),
                offset: range.start,
                length: range.length(),
            }),
        }
    }
}

impl Representation {
    /// Prepares the fields for a file of this name.
    pub(super) fn new(
        identity: Identity,
        content: Content,
        name: &[u8],
        coding: Option<Coding>,
        presentation: &Presentation,
    ) -> Self {
        // A time of change that is still to come must not be told (RFC 9110 §8.8.2.1).
        let modified = u64::try_from(identity.modified.0).unwrap_or(0);
        let modified = modified.min(clock::unix_now().as_secs());
        let opaque = presentation.etag.then(|| identity.opaque_tag(coding));
        let mut headers = Headers::with_capacity(7, 320);
        let content_type = mime::content_type(name, &presentation.charset);
        headers.append(&name::CONTENT_TYPE, content_type.as_bytes());
        if let Some(coding) = coding {
            headers.append(&name::CONTENT_ENCODING, coding.name());
        }
        headers.append(&name::LAST_MODIFIED, date::imf_fixdate(modified));
        if let Some(opaque) = &opaque {
            headers.append(&name::ETAG, [b"\"", &**opaque, b"\""].concat());
        }
        headers.append(&name::ACCEPT_RANGES, "bytes");
        if !presentation.precompressed.is_empty() {
            headers.append(&name::VARY, "Accept-Encoding");
        }
        if let Some(cache_control) = &presentation.cache_control {
            headers.append(&name::CACHE_CONTROL, cache_control.as_bytes());
        }
        Self {
            identity,
            content,
            headers,
            opaque,
            modified,
        }
    }

    /// Answers a GET or HEAD: preconditions first, then ranges.
    fn respond(&self, request: &RequestHead) -> Response {
        let validators = Validators {
            etag: self.opaque.as_deref().map(ETag::strong),
            last_modified: Some(self.modified),
        };
        let now = clock::unix_now().as_secs();
        let (method, headers) = (&request.method, &request.headers);
        match conditional::evaluate(method, headers, &validators, now) {
            Verdict::Proceed => {}
            Verdict::NotModified => return self.not_modified(),
            Verdict::PreconditionFailed => {
                let status = StatusCode::PRECONDITION_FAILED;
                return Response::error_text(status, status.reason());
            }
        }
        match range::select(method, headers, &validators, self.content.length(), now) {
            Selection::Whole => self.with_body(StatusCode::OK, self.content.whole()),
            Selection::Single(range) => self.single(range),
            Selection::Multi(ranges) => self.multi(&ranges),
            Selection::Unsatisfiable => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let complete = range::unsatisfied(self.content.length());
                Response::error_text(status, status.reason()).with(&name::CONTENT_RANGE, complete)
            }
        }
    }

    fn with_body(&self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(status);
        response.headers = self.headers.clone();
        response.body = body;
        response
    }

    /// Has what a cache needs to bring its copy up to date, and nothing about the content
    /// (RFC 9110 §15.4.5).
    fn not_modified(&self) -> Response {
        let mut response = Response::new(StatusCode::NOT_MODIFIED);
        let validator = match self.opaque {
            Some(_) => name::ETAG,
            None => name::LAST_MODIFIED,
        };
        for field in [validator, name::VARY, name::CACHE_CONTROL] {
            if let Some(value) = self.headers.get(&field) {
                response.headers.append(&field, value);
            }
        }
        response
    }

    fn single(&self, range: ByteRange) -> Response {
        let body = match self.content.part(range) {
            Part::Bytes(bytes) => Body::from(bytes),
            Part::File(slice) => Body::File(slice),
        };
        let complete = self.content.length();
        self.with_body(StatusCode::PARTIAL_CONTENT, body)
            .with(&name::CONTENT_RANGE, range.content_range(complete))
    }

    fn multi(&self, ranges: &[ByteRange]) -> Response {
        // Keyed with what no client knows.
        let random = RandomState::new();
        let number = u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1));
        let boundary = Boundary::new(number);
        let complete = self.content.length();
        let content_type = self.headers.get(&name::CONTENT_TYPE).unwrap_or_default();
        let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
        for &range in ranges {
            let head = boundary.part_head(content_type, range, complete);
            parts.push(Part::Bytes(head.into()));
            parts.push(self.content.part(range));
        }
        parts.push(Part::Bytes(boundary.end().into()));
        self.with_body(StatusCode::PARTIAL_CONTENT, Body::Parts(parts))
            .with(&name::CONTENT_TYPE, boundary.content_type())
    }
}
