//! Heads between the house and the engine.

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::http::h1::ParseError;
use crate::http::h1::head::{HeadLimits, RequestParser};
use crate::http::{Headers, RequestHead, name};

/// The head was written by ourselves, from one that was within the limits of a listener.
const NO_LIMITS: HeadLimits = HeadLimits {
    request_line: usize::MAX,
    headers: usize::MAX,
    header_count: usize::MAX,
};

/// A request from its head as HTTP/1.1 writes it: what goes out is decided once, for either
/// protocol.
pub(super) fn request(head: &[u8], encrypted: bool) -> Result<Request<()>, ParseError> {
    let mut read = RequestHead::default();
    RequestParser::default()
        .parse(head, &NO_LIMITS, &mut read)?
        .ok_or(ParseError::StartLine)?;
    let path = PathAndQuery::try_from(read.target.raw()).map_err(|_| ParseError::Target)?;
    let authority = read.headers.get_str(&name::HOST).unwrap_or_default();
    let uri = Uri::builder()
        .scheme(if encrypted {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        })
        .authority(authority)
        .path_and_query(path)
        .build();
    let mut request = Request::new(());
    *request.uri_mut() = uri.map_err(|_| ParseError::HostInvalid)?;
    let method = read.method.as_str().as_bytes();
    *request.method_mut() = http::Method::from_bytes(method).map_err(|_| ParseError::Method)?;
    *request.headers_mut() = map(&read.headers, |field, value| match field.len() {
        // The only thing that may be said of it (RFC 9113 §8.2.2).
        2 if field.eq_ignore_ascii_case(b"te") => value.eq_ignore_ascii_case(b"trailers"),
        4 => !field.eq_ignore_ascii_case(b"host"),
        // The content goes out as the other side has room for it.
        6 => !field.eq_ignore_ascii_case(b"expect"),
        7 => !field.eq_ignore_ascii_case(b"upgrade"),
        10 => !field.eq_ignore_ascii_case(b"connection"),
        17 => !field.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => true,
    });
    Ok(request)
}

/// Trailer fields.
pub(super) fn trailers(fields: &Headers) -> HeaderMap {
    map(fields, |_, _| true)
}

fn map(headers: &Headers, keeps: impl Fn(&[u8], &[u8]) -> bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (field, value) in headers.iter().filter(|(field, value)| keeps(field, value)) {
        // Neither fails: names are tokens, and values hold no control bytes.
        let name = HeaderName::from_bytes(field);
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value));
        if let (Ok(name), Ok(value)) = (name, value) {
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
                     Connection: TE\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = request(head, true).unwrap();
        assert_eq!(request.uri(), "https://site:81/a?b");
        assert_eq!(request.method(), "POST");
        let fields: Vec<_> = request.headers().iter().collect();
        let expected = [("x-a", "1"), ("te", "trailers")];
        assert_eq!(fields.len(), expected.len(), "{fields:?}");
        for (name, value) in expected {
            assert_eq!(request.headers()[name], value);
        }
    }
}
