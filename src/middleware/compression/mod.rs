//! `compression`: gzip for who wants it, where it pays.

mod gzip;
mod settings;
mod stream;

use gzip::Gzips;
pub(super) use settings::KIND;
use stream::{FileStream, GzipStream, Unsent};

use crate::exchange::{Body, Exchange, Middleware, Response};
use crate::http::accept::best_coding;
use crate::http::etag::ETag;
use crate::http::{Method, StatusCode, name};

/// Content up to this size is compressed at once, which takes some 400 µs at level 6, and its
/// length told; longer content is compressed in slices, between which others have their turn.
const AT_ONCE_BYTES_MAX: usize = 32 << 10;

/// Compresses content.
#[derive(Debug)]
struct Compression {
    level: u8,
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
        if best_coding(&x.request.headers, &["gzip"]).is_none() {
            return;
        }
        let is_short =
            matches!(&response.body, Body::Bytes(bytes) if bytes.len() <= AT_ONCE_BYTES_MAX);
        // Short content may not become shorter, and is then sent as it is: HEAD does the work, to
        // say what GET would.
        if x.request.method == Method::Head && !is_short {
            // As for GET, but for the length, which nobody knows without doing the work.
            response.head_length = None;
            response.body = Body::Stream(Box::new(Unsent));
        } else if !self.compress(x, &mut response.body) {
            return;
        }
        mark(response);
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

    /// Replaces the body by its compressed self; whether it is one.
    fn compress(&self, x: &Exchange<'_>, body: &mut Body) -> bool {
        let gzips = x.locals.keep::<Gzips>();
        let stream = match std::mem::take(body) {
            Body::Bytes(bytes) if bytes.len() <= AT_ONCE_BYTES_MAX => {
                let mut gzip = gzips.take(self.level);
                let compressed = gzip.whole(&bytes);
                gzips.give_back(gzip);
                let done = compressed.is_some();
                *body = Body::Bytes(compressed.unwrap_or(bytes));
                return done;
            }
            Body::Bytes(bytes) => GzipStream::of_bytes(gzips, self.level, bytes),
            Body::File(slice) => {
                let file = FileStream::new(slice, x.locals.blocking.clone());
                GzipStream::around(gzips, self.level, Box::new(file))
            }
            Body::Stream(inner) => GzipStream::around(gzips, self.level, inner),
            other @ (Body::Empty | Body::Parts(_) | Body::Tunnel(_)) => {
                *body = other;
                return false;
            }
        };
        *body = Body::Stream(Box::new(stream));
        true
    }
}

/// What the fields must say of compressed content.
fn mark(response: &mut Response) {
    let headers = &mut response.headers;
    headers.set(&name::CONTENT_ENCODING, "gzip");
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

#[cfg(test)]
mod tests;
