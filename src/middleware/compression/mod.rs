//! `compression`: zstd, brotli, gzip and deflate for who wants them, where it pays.
//!
//! What is short is compressed at once, what is longer in slices, and what is slow on the blocking
//! pool. The result of content that has a strong tag is kept: the same bytes are compressed once.

mod brotli_stream;
mod coding;
mod results;
mod settings;
mod stream;
mod zlib_stream;
mod zstd_stream;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::file_stream::FileStream;
use coding::{Coding, Encoder, Encoders, Levels};
use results::{Keep, Known, Results};
pub(super) use settings::KIND;
use stream::{EncodeStream, Unsent};

use crate::exchange::{Body, Exchange, Middleware, Response};
use crate::http::accept::best_coding;
use crate::http::etag::ETag;
use crate::http::{Method, StatusCode, name};

/// Content up to this size is compressed at once, which takes some 400 µs at level 6, and its
/// length told; longer content is compressed in slices, between which others have their turn.
const AT_ONCE_BYTES_MAX: usize = 32 << 10;
/// The same for codings that are slow: what takes as long.
const AT_ONCE_SLOW_BYTES_MAX: usize = 4 << 10;

/// Compresses content.
#[derive(Debug)]
struct Compression {
    /// Those on offer, what is preferred first.
    codings: Box<[Coding]>,
    /// Their names.
    names: Box<[&'static str]>,
    levels: Levels,
    /// `None` if nothing is kept.
    results: Option<Arc<Results>>,
    min_size: u64,
    /// Media types without parameters, in lower case; sorted.
    types: Box<[Box<str>]>,
}

impl Middleware for Compression {
    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if response.status == StatusCode::NOT_MODIFIED {
            // What it confirms may be there compressed or not (RFC 9110 §15.4.5).
            response.headers.add_member(&name::VARY, "Accept-Encoding");
            return;
        }
        if !self.is_worth_it(x, response) {
            return;
        }
        // Also who gets it as it is must know that others do not.
        response.headers.add_member(&name::VARY, "Accept-Encoding");
        let best = best_coding(&x.request.headers, &self.names);
        let wanted = |coding: &&Coding| Some(coding.name()) == best;
        let Some(&coding) = self.codings.iter().find(wanted) else {
            return;
        };
        let key = self.key(x, response, coding);
        match self.known(key.as_deref()) {
            Some(Known::Compressed(bytes)) => {
                response.head_length = None;
                response.body = Body::Bytes(bytes);
            }
            Some(Known::NoShorter) => return,
            // Short content may not become shorter, and is then sent as it is: HEAD does the
            // work, to say what GET would.
            None if x.request.method == Method::Head && !is_short_body(&response.body, coding) => {
                // As for GET, but for the length, which nobody knows without doing the work.
                response.head_length = None;
                response.body = Body::Stream(Box::new(Unsent));
            }
            None => {
                let keep = self.keep(key, &response.body);
                if !self.compress(x, coding, keep, &mut response.body) {
                    return;
                }
            }
        }
        mark(response, coding);
    }
}

impl Compression {
    /// Whether the response would be compressed for a client that takes it.
    fn is_worth_it(&self, x: &Exchange<'_>, response: &Response) -> bool {
        let headers = &response.headers;
        let length = response.head_length.or_else(|| response.body.length());
        let is_whole = !response.status.is_informational()
            && !response.status.forbids_content()
            && response.status != StatusCode::PARTIAL_CONTENT
            && !headers.contains(&name::CONTENT_RANGE);
        let may_change = !headers.has_token(&name::CACHE_CONTROL, "no-transform")
            && !x
                .request
                .headers
                .has_token(&name::CACHE_CONTROL, "no-transform");
        let is_plain = !headers.contains(&name::CONTENT_ENCODING);
        let is_body = !matches!(response.body, Body::Tunnel(_) | Body::Parts(_));
        is_whole
            && is_plain
            && is_body
            && length.is_none_or(|length| length >= self.min_size)
            && length != Some(0)
            && self.is_listed(headers.get(&name::CONTENT_TYPE).unwrap_or_default())
            && may_change
    }

    fn is_listed(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|&byte| byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let listed = |known: &str| known.as_bytes().eq_ignore_ascii_case(essence);
        self.types.iter().any(|known| listed(known))
    }

    /// Under which name the result is kept, if it is.
    fn key(&self, x: &Exchange<'_>, response: &Response, coding: Coding) -> Option<results::Key> {
        self.results.as_ref()?;
        // What comes as it comes has no end that could be waited for.
        if !matches!(response.body, Body::Bytes(_) | Body::File(_)) {
            return None;
        }
        results::key(x, response, coding, self.levels.of(coding))
    }

    fn known(&self, key: Option<&[u8]>) -> Option<Known> {
        self.results.as_ref()?.find(key?)
    }

    fn keep(&self, key: Option<results::Key>, body: &Body) -> Option<Keep> {
        let results = self.results.as_ref()?;
        Some(Keep::new(results, key?, body.length()?))
    }

    /// Replaces the body by its compressed self; whether it is one.
    fn compress(
        &self,
        x: &Exchange<'_>,
        coding: Coding,
        keep: Option<Keep>,
        body: &mut Body,
    ) -> bool {
        let encoders = x.locals.keep::<Encoders>();
        let Ok(encoder) = encoders.take(coding, self.levels.of(coding)) else {
            return false;
        };
        let pool = x.locals.blocking.clone();
        let stream = match std::mem::take(body) {
            Body::Bytes(bytes) if is_short(&bytes, coding) => {
                return at_once(&encoders, encoder, keep, bytes, body);
            }
            Body::Bytes(bytes) => EncodeStream::of_bytes(encoders, encoder, bytes, pool),
            Body::File(slice) => {
                let file = Box::new(FileStream::new(slice, pool.clone()));
                EncodeStream::around(encoders, encoder, file, pool)
            }
            Body::Stream(inner) => EncodeStream::around(encoders, encoder, inner, pool),
            other @ (Body::Empty | Body::Parts(_) | Body::Tunnel(_)) => {
                *body = other;
                return false;
            }
        };
        *body = Body::Stream(Box::new(stream.keeping(keep)));
        true
    }
}

/// Whether content is compressed without a pause.
const fn is_short(content: &[u8], coding: Coding) -> bool {
    let max = if coding.is_slow() {
        AT_ONCE_SLOW_BYTES_MAX
    } else {
        AT_ONCE_BYTES_MAX
    };
    content.len() <= max
}

fn is_short_body(body: &Body, coding: Coding) -> bool {
    matches!(body, Body::Bytes(bytes) if is_short(bytes, coding))
}

/// Compresses content without a pause; whether it has become shorter.
fn at_once(
    encoders: &Rc<Encoders>,
    mut encoder: Encoder,
    keep: Option<Keep>,
    bytes: Bytes,
    body: &mut Body,
) -> bool {
    let compressed = encoder.whole(&bytes);
    encoders.give_back(encoder);
    if let Some(mut keep) = keep {
        keep.add(compressed.as_ref().unwrap_or(&bytes));
        keep.done();
    }
    let done = compressed.is_some();
    *body = Body::Bytes(compressed.unwrap_or(bytes));
    done
}

/// What the fields must say of compressed content.
fn mark(response: &mut Response, coding: Coding) {
    let headers = &mut response.headers;
    headers.set(&name::CONTENT_ENCODING, coding.name());
    // Ranges would be those of the compressed content, which is made anew for each request.
    headers.remove(&name::ACCEPT_RANGES);
    let tag = headers.get(&name::ETAG).and_then(ETag::parse);
    if let Some(tag) = tag
        && !tag.weak
    {
        // Other bytes than those the tag is for, though as good (RFC 9110 §8.8.3.3).
        let weak = [b"W/\"", tag.opaque, b"\""].concat();
        headers.set(&name::ETAG, weak);
    }
}

/// Undoes a coding, as far as it has come.
#[cfg(test)]
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;

    let mut reader: Box<dyn std::io::Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "zstd" => Box::new(zstd::Decoder::new(bytes).expect("a decoder")),
        other => panic!("{other}"),
    };
    let mut content = Vec::new();
    let mut piece = [0; 4096];
    // A stream that was flushed and not finished ends in an error behind all that is there.
    while let Ok(1..) = reader.read(&mut piece).inspect(|read| {
        content.extend_from_slice(piece.get(..*read).unwrap_or_default());
    }) {}
    content
}

#[cfg(test)]
mod tests;
