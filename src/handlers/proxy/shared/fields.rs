//! Heads between the house and the engine.

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::http::Headers;

/// What a head of ours holds: the usual fields of a browser and those that a proxy adds.
const USUAL_FIELDS: usize = 24;

/// A request from its head as we wrote it for HTTP/1.1: what goes out is decided once, for either
/// protocol. Its values are parts of one copy of the head.
///
/// # Errors
/// The engine takes less than the grammar gives: a target of more than 64 KiB.
pub(super) fn request(head: &[u8], encrypted: bool) -> Result<Request<()>, http::Error> {
    let head = Bytes::copy_from_slice(head);
    let mut lines = lines(&head);
    let mut words = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
    let method = Method::from_bytes(words.next().unwrap_or_default())?;
    let path = path(&head, words.next().unwrap_or_default())?;
    let mut authority = &b""[..];
    let mut fields = HeaderMap::with_capacity(USUAL_FIELDS);
    for (name, value) in lines.filter_map(field) {
        if name.eq_ignore_ascii_case(b"host") {
            authority = value;
        } else if !is_of_http1(name, value) {
            let name = HeaderName::from_bytes(name)?;
            fields.append(name, HeaderValue::from_maybe_shared(head.slice_ref(value))?);
        }
    }
    let scheme = if encrypted {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()?;
    *request.headers_mut() = fields;
    Ok(request)
}

/// The lines of a head up to the empty one.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        // No value holds one of its own.
        let (line, behind) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
        rest = behind.get(2..)?;
        Some(line).filter(|line| !line.is_empty())
    })
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// Whether this is said otherwise in HTTP/2, or not at all (RFC 9113 §8.2.2).
fn is_of_http1(name: &[u8], value: &[u8]) -> bool {
    let is = |own: &[u8]| name.eq_ignore_ascii_case(own);
    match name.len() {
        // The only thing that may be said of it.
        2 => is(b"te") && !value.eq_ignore_ascii_case(b"trailers"),
        // The content goes out as the other side has room for it.
        6 => is(b"expect"),
        7 => is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        16 => is(b"proxy-connection"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// What is asked for. Clients write more into queries than URIs may hold (RFC 3986 §3.4), and the
/// engine is strict about some of it: that is encoded.
fn path(head: &Bytes, target: &[u8]) -> Result<PathAndQuery, http::Error> {
    if let Ok(path) = PathAndQuery::from_maybe_shared(head.slice_ref(target)) {
        return Ok(path);
    }
    let mut encoded = Vec::with_capacity(target.len() + 8);
    for &byte in target {
        match byte {
            b'"' => encoded.extend_from_slice(b"%22"),
            b'<' => encoded.extend_from_slice(b"%3C"),
            b'>' => encoded.extend_from_slice(b"%3E"),
            _ => encoded.push(byte),
        }
    }
    Ok(PathAndQuery::try_from(encoded)?)
}

/// Trailer fields.
pub(super) fn trailers(fields: &Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        // Neither fails: names are tokens, and values hold no control bytes.
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Fields of the engine as the house knows them.
pub(super) fn headers(map: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        let value = value.as_bytes().trim_ascii();
        headers.append_parsed(name.as_str().as_bytes(), value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_told_in_the_words_of_either_protocol() {
        let head = b"POST /a?b HTTP/1.1\r\nHost: site:81\r\nX-A: 1\r\nTE: trailers\r\n\
                     Connection: TE\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\
                     Keep-Alive: x\r\nX-A: \r\nX-B: c:d\r\n\r\n";
        let request = request(head, true).unwrap();
        assert_eq!(request.uri(), "https://site:81/a?b");
        assert_eq!(request.method(), "POST");
        let fields: Vec<_> = request.headers().iter().collect();
        let expected = [
            ("x-a", "1"),
            ("x-a", ""),
            ("te", "trailers"),
            ("x-b", "c:d"),
        ];
        assert_eq!(fields.len(), expected.len(), "{fields:?}");
        for (name, value) in expected {
            let mut values = request.headers().get_all(name).iter();
            assert!(values.any(|own| own == value), "{name}: {value}");
        }
    }

    #[test]
    fn what_is_asked_for_is_what_was_asked_for() {
        #[track_caller]
        fn check(target: &str, expected: &str) {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let request = request(head.as_bytes(), false).unwrap();
            assert_eq!(request.uri().path_and_query().unwrap(), expected);
        }
        check("*", "*");
        check(
            "//a/../b;c=%2F?d=?&e='{|}^`\\",
            "//a/../b;c=%2F?d=?&e='{|}^`\\",
        );
        check("/?a=<\"b\">", "/?a=%3C%22b%22%3E");
    }
}
