//! Fields of a response as the engine takes them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::{Headers, StatusCode};

/// The status, which is always one of three digits.
pub(super) fn status(status: StatusCode) -> http::StatusCode {
    http::StatusCode::from_u16(status.code()).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// All fields but those of a connection (RFC 9113 §8.2.2) and the length, with room for more.
pub(super) fn of(headers: &Headers, more: usize) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len() + more);
    // One piece of memory for all values, as long as one of them is needed.
    let length = headers.iter().map(|(_, value)| value.len()).sum();
    let mut values = Vec::with_capacity(length);
    headers
        .iter()
        .for_each(|(_, value)| values.extend_from_slice(value));
    let values = Bytes::from(values);
    let mut at = 0;
    for (name, value) in headers.iter() {
        let start = at;
        at += value.len();
        if ends_here(name) {
            continue;
        }
        // Neither fails: names are tokens, and values hold no control bytes that end a line.
        // What a handler has made of other ones is left out rather than sent.
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(values.slice(start..at));
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// By length first: this is asked of every field of every response.
fn ends_here(field: &[u8]) -> bool {
    let is = |name: &[u8]| field.eq_ignore_ascii_case(name);
    match field.len() {
        2 => is(b"te"),
        7 => is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length"),
        16 => is(b"proxy-connection"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// A number in decimal digits.
pub(super) fn number(number: u64) -> HeaderValue {
    HeaderValue::from(number)
}
