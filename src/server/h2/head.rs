//! A request head as RFC 9113 §8 writes it, read as the rest of the house knows heads.
//!
//! The engine has refused what breaks the form of a message: pseudo-fields out of order, twice or
//! unknown, names in capitals, fields of a connection, content of another length than told. What
//! is checked here is what a message says, as strictly as an HTTP/1.1 head is read: whatever
//! passes may be written as one, byte for byte.

use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::exchange::Why;
use crate::generation::Limits;
use crate::http::authority::is_host;
use crate::http::h1::ParseError;
use crate::http::h1::chunked::is_forbidden_trailer;
use crate::http::h1::framing::{Framing, request_framing};
use crate::http::target::Form;
use crate::http::{Headers, Method, RequestHead, StatusCode, Version, name};
use crate::server::h1_head::Refusal;

/// What the request line of HTTP/1.1 has beside method and target.
const LINE_REST: usize = " HTTP/1.1".len() + 1;

/// What a field line of HTTP/1.1 has beside name and value.
const FIELD_REST: usize = ": \r\n".len();

/// What a head asks for beside what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The length of the content, if it is told.
    pub(super) length: Option<u64>,
    /// The client waits for a 100 (Continue) before it sends content.
    pub(super) expects_continue: bool,
    /// The stream shall become a tunnel (RFC 8441).
    pub(super) tunnel: bool,
}

/// Reads a head. After a refusal `head` holds the method and the target, if those are good.
///
/// # Errors
/// It is refused, and why.
pub(super) fn read(
    head: &mut RequestHead,
    parts: &Parts,
    has_content: bool,
    limits: &Limits,
) -> Result<Asked, Refusal> {
    head.clear();
    head.version = Version::Http2;
    let read = read_parts(head, parts, has_content, limits);
    if read.is_err() {
        head.headers.clear();
    }
    read
}

fn read_parts(
    head: &mut RequestHead,
    parts: &Parts,
    has_content: bool,
    limits: &Limits,
) -> Result<Asked, Refusal> {
    let method = parts.method.as_str().as_bytes();
    head.method = Method::from_bytes(method).ok_or(ParseError::Method)?;
    let protocol = parts.extensions.get::<Protocol>();
    read_target(head, parts, protocol.is_some(), limits)?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    read_host(&mut head.headers, authority, &parts.headers)?;
    read_fields(&mut head.headers, &parts.headers, limits)?;
    let mut asked = Asked {
        length: match request_framing(Version::Http2, &head.headers)? {
            Framing::Length(length) => Some(length),
            _ => head.headers.contains(&name::CONTENT_LENGTH).then_some(0),
        },
        expects_continue: false,
        tunnel: false,
    };
    if head.method == Method::Connect {
        asked.tunnel = protocol.is_some_and(|own| own.as_str() == "websocket");
        if !asked.tunnel {
            return Err(Refusal {
                status: StatusCode::NOT_IMPLEMENTED,
                reason: "this server is a tunnel for nothing but WebSockets",
                why: Why::BadMethod,
            });
        }
        ask_for_tunnel(head);
    }
    asked.expects_continue = read_expectation(&mut head.headers, has_content)?;
    Ok(asked)
}

/// Asks as an HTTP/1.1 client does (RFC 8441 §5.1); the key is made where it is drawn.
fn ask_for_tunnel(head: &mut RequestHead) {
    head.method = Method::Get;
    head.headers.append(&name::UPGRADE, "websocket");
    head.headers.append(&name::CONNECTION, "Upgrade");
}

/// The key of a WebSocket's handshake (RFC 6455 §4.1): 16 bytes in Base64, of which nobody keeps
/// a secret.
pub(super) fn websocket_key(numbers: [u64; 2]) -> [u8; 24] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u64| ALPHABET[usize::try_from(bits & 63).unwrap_or_default()];
    let mut key = *b"AAAAAAAAAAAAAAAAAAAAAA==";
    for (at, place) in key.iter_mut().take(22).enumerate() {
        let number = numbers[usize::from(at >= 10)];
        *place = letter(number >> (6 * (at % 10)));
    }
    // The last letter holds the last two bits.
    key[21] = letter(numbers[1] & 0x30);
    key
}

/// `:path` is a path with a query, or `*` (RFC 9113 §8.3.1); with CONNECT there is none.
fn read_target(
    head: &mut RequestHead,
    parts: &Parts,
    is_extended: bool,
    limits: &Limits,
) -> Result<(), ParseError> {
    let uri = &parts.uri;
    let (target, is_connect) = match uri.path_and_query() {
        Some(path) => (path.as_str(), false),
        None => (uri.authority().map_or("", |own| own.as_str()), true),
    };
    if parts.method.as_str().len() + target.len() + LINE_REST > limits.request_line {
        return Err(ParseError::TargetTooLong);
    }
    let parsed = head.target.parse(target.as_bytes());
    parsed.map_err(|_| ParseError::Target)?;
    let fits = match head.target.form() {
        Form::Origin => head.method != Method::Connect || is_extended,
        Form::Asterisk => head.method == Method::Options,
        Form::Authority => is_connect && head.method == Method::Connect,
        Form::Absolute => false,
    };
    let known_scheme = uri.scheme_str().is_none_or(|scheme| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    });
    if fits && known_scheme {
        return Ok(());
    }
    head.target.clear();
    Err(ParseError::Target)
}

/// `:authority` is what `Host` is elsewhere. Where both are, they must agree: whoever forwards the
/// request, and whoever routed it, must mean the same host (RFC 9113 §8.3.1).
fn read_host(
    headers: &mut Headers,
    authority: Option<&str>,
    fields: &HeaderMap,
) -> Result<(), ParseError> {
    let mut hosts = fields.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(ParseError::HostRepeated);
    }
    let host = host.map(http::HeaderValue::as_bytes);
    let authority = authority.map(str::as_bytes);
    let told = authority.or(host).ok_or(ParseError::HostMissing)?;
    if !is_host(told) || host.is_some_and(|host| !host.eq_ignore_ascii_case(told)) {
        return Err(ParseError::HostInvalid);
    }
    headers.append(&name::HOST, told);
    Ok(())
}

fn read_fields(
    headers: &mut Headers,
    fields: &HeaderMap,
    limits: &Limits,
) -> Result<(), ParseError> {
    let mut bytes = 0;
    for field in fields.keys() {
        if field == header::HOST {
            continue;
        }
        let values = fields
            .get_all(field)
            .iter()
            .map(http::HeaderValue::as_bytes);
        if field == header::COOKIE {
            let cookie = join_cookies(values)?;
            bytes += field.as_str().len() + cookie.len() + FIELD_REST;
            append(headers, field, &cookie, limits, bytes)?;
            continue;
        }
        for value in values {
            bytes += field.as_str().len() + value.len() + FIELD_REST;
            check_value(value)?;
            append(headers, field, value, limits, bytes)?;
        }
    }
    Ok(())
}

fn append(
    headers: &mut Headers,
    field: &http::HeaderName,
    value: &[u8],
    limits: &Limits,
    bytes: usize,
) -> Result<(), ParseError> {
    if bytes > limits.headers {
        return Err(ParseError::FieldsTooLarge);
    }
    if headers.len() >= limits.header_count {
        return Err(ParseError::TooManyFields);
    }
    headers.append_parsed(field.as_str().as_bytes(), value);
    Ok(())
}

/// RFC 9113 §8.2.1: a value neither begins nor ends with white space. That no control byte but
/// the tab is in it is the engine's to see.
fn check_value(value: &[u8]) -> Result<(), ParseError> {
    let padded = |end: Option<&u8>| matches!(end, Some(b' ' | b'\t'));
    if padded(value.first()) || padded(value.last()) {
        return Err(ParseError::FieldValue);
    }
    Ok(())
}

/// A cookie may come in crumbs, each a field line of its own (RFC 9113 §8.2.3); others know one.
fn join_cookies<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Vec<u8>, ParseError> {
    let mut cookie = Vec::new();
    for crumb in values {
        check_value(crumb)?;
        if !cookie.is_empty() {
            cookie.extend_from_slice(b"; ");
        }
        cookie.extend_from_slice(crumb);
    }
    Ok(cookie)
}

/// Whether the client waits for a 100 (RFC 9110 §10.1.1).
fn read_expectation(headers: &mut Headers, has_content: bool) -> Result<bool, Refusal> {
    let Some(expectation) = headers.get(&name::EXPECT) else {
        return Ok(false);
    };
    if !expectation.eq_ignore_ascii_case(b"100-continue") {
        return Err(Refusal {
            status: StatusCode::EXPECTATION_FAILED,
            reason: "the only expectation that can be met is 100-continue",
            why: Why::BadExpectation,
        });
    }
    if !has_content {
        headers.remove(&name::EXPECT);
    }
    Ok(has_content)
}

/// Trailer fields, less those that must not come as such.
///
/// # Errors
/// They are malformed or too large.
pub(super) fn read_trailers(fields: &HeaderMap, limits: &Limits) -> Result<Option<Headers>, Why> {
    let mut trailers = Headers::new();
    let mut bytes = 0;
    for (field, value) in fields {
        bytes += field.as_str().len() + value.len() + FIELD_REST;
        if bytes > limits.headers || trailers.len() >= limits.header_count {
            return Err(Why::HeadTooLarge);
        }
        check_value(value.as_bytes()).map_err(|_| Why::BadHead)?;
        if !is_forbidden_trailer(field.as_str().as_bytes()) {
            trailers.append_parsed(field.as_str().as_bytes(), value.as_bytes());
        }
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}

#[cfg(test)]
mod tests {
    use super::websocket_key;

    #[test]
    fn the_key_of_a_handshake_is_sixteen_bytes_in_base64() {
        assert_eq!(&websocket_key([0, 0]), b"AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(&websocket_key([u64::MAX; 2]), b"/////////////////////w==");
    }
}
