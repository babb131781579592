//! How long a message's content is: RFC 9112 §6.3, in its order.

use super::ParseError;
use crate::http::{Headers, Method, StatusCode, Version, name};

/// How the end of the content is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// By the chunked coding.
    Chunked,
    /// Where the connection ends. Responses only.
    UntilClose,
}

/// The framing of a request.
///
/// # Errors
/// Framing that two readers could understand differently.
pub fn request_framing(version: Version, headers: &Headers) -> Result<Framing, ParseError> {
    // Rules 1 and 2 are about responses. Rules 3 to 6:
    told_framing(version, headers)
        // 7. A request that tells nothing has no content.
        .map(|framing| framing.unwrap_or(Framing::None))
}

/// The framing of a response to a request with this method.
///
/// # Errors
/// Framing that two readers could understand differently.
pub fn response_framing(
    request_method: &Method,
    status: StatusCode,
    version: Version,
    headers: &Headers,
) -> Result<Framing, ParseError> {
    // 1. Responses to HEAD, 1xx, 204 and 304 end with their head, whatever the fields say.
    if *request_method == Method::Head || status.forbids_content() {
        return Ok(Framing::None);
    }
    // 2. A 2xx to CONNECT turns the connection into a tunnel; we never send CONNECT.
    // 3. to 6.
    told_framing(version, headers)
        // 8. A response that tells nothing ends with the connection.
        .map(|framing| framing.unwrap_or(Framing::UntilClose))
}

fn told_framing(version: Version, headers: &Headers) -> Result<Option<Framing>, ParseError> {
    let coded = headers.contains(&name::TRANSFER_ENCODING);
    let measured = headers.contains(&name::CONTENT_LENGTH);
    // 3. Both: request smuggling or a mistake. The RFC lets a server refuse it, so we do.
    if coded && measured {
        return Err(ParseError::BothFramings);
    }
    // 4. The last coding must be chunked, and we know no other.
    if coded {
        return transfer_coding(version, headers).map(Some);
    }
    // 5. and 6. One decimal number; repeated ones are refused even where they agree.
    if measured {
        return content_length(headers).map(Some);
    }
    Ok(None)
}

fn transfer_coding(version: Version, headers: &Headers) -> Result<Framing, ParseError> {
    // HTTP/1.0 has no transfer codings; whoever sends one there frames by something else.
    if version == Version::Http10 {
        return Err(ParseError::TransferEncoding);
    }
    let codings: Vec<&[u8]> = headers.list(&name::TRANSFER_ENCODING).collect();
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match codings.as_slice() {
        [only] if chunked(only) => Ok(Framing::Chunked),
        [before @ .., last] if chunked(last) => {
            // Chunked twice is forbidden (§6.1); anything else before it we cannot decode.
            if before.iter().any(|coding| chunked(coding)) {
                Err(ParseError::TransferEncoding)
            } else {
                Err(ParseError::UnknownCoding)
            }
        }
        [last] if !is_known(last) => Err(ParseError::UnknownCoding),
        _ => Err(ParseError::TransferEncoding),
    }
}

/// Codings of the registry: without chunked behind them they frame nothing.
fn is_known(coding: &[u8]) -> bool {
    [
        &b"gzip"[..],
        b"x-gzip",
        b"deflate",
        b"compress",
        b"x-compress",
        b"identity",
    ]
    .iter()
    .any(|known| coding.eq_ignore_ascii_case(known))
}

fn content_length(headers: &Headers) -> Result<Framing, ParseError> {
    let mut values = headers.get_all(&name::CONTENT_LENGTH);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ParseError::ContentLength);
    };
    if value.is_empty() {
        return Err(ParseError::ContentLength);
    }
    let mut length: u64 = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err(ParseError::ContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(byte - b'0')))
            .ok_or(ParseError::ContentLength)?;
    }
    Ok(if length == 0 {
        Framing::None
    } else {
        Framing::Length(length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append_parsed(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Result<Framing, ParseError>) {
        assert_eq!(request_framing(Version::Http11, &headers(fields)), expected);
    }

    #[test]
    fn requests() {
        use ParseError::{BothFramings, ContentLength, TransferEncoding, UnknownCoding};
        let te = |value| [("Transfer-Encoding", value)];
        let cl = |value| [("content-length", value)];
        check(&[], Ok(Framing::None));
        check(&cl("0"), Ok(Framing::None));
        check(&cl("0042"), Ok(Framing::Length(42)));
        check(&cl("18446744073709551615"), Ok(Framing::Length(u64::MAX)));
        for bad in [
            "18446744073709551616",
            "",
            "-1",
            "+1",
            "1 2",
            "0x1",
            "1,1",
            "1;",
            "a",
        ] {
            check(&cl(bad), Err(ContentLength));
        }
        check(
            &[("Content-Length", "1"), ("Content-Length", "1")],
            Err(ContentLength),
        );
        check(&te("chunked"), Ok(Framing::Chunked));
        check(&te("CHUNKED"), Ok(Framing::Chunked));
        check(&te("gzip, chunked"), Err(UnknownCoding));
        check(&te("chunked, chunked"), Err(TransferEncoding));
        check(&te("chunked, gzip"), Err(TransferEncoding));
        check(&te("identity"), Err(TransferEncoding));
        check(&te("gzip"), Err(TransferEncoding));
        check(&te("xchunked"), Err(UnknownCoding));
        check(&te(""), Err(TransferEncoding));
        check(&te("\"chunked\""), Err(UnknownCoding));
        check(
            &[("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
            Err(BothFramings),
        );
        let chunked = headers(&te("chunked"));
        assert_eq!(
            request_framing(Version::Http10, &chunked),
            Err(TransferEncoding)
        );
    }

    #[test]
    fn responses() {
        let told = headers(&[("Content-Length", "7")]);
        let framing = |method, status, headers: &Headers| {
            response_framing(method, status, Version::Http11, headers)
        };
        assert_eq!(
            framing(&Method::Head, StatusCode::OK, &told),
            Ok(Framing::None)
        );
        assert_eq!(
            framing(&Method::Get, StatusCode::NOT_MODIFIED, &told),
            Ok(Framing::None)
        );
        assert_eq!(
            framing(&Method::Get, StatusCode::NO_CONTENT, &told),
            Ok(Framing::None)
        );
        assert_eq!(
            framing(&Method::Get, StatusCode::OK, &told),
            Ok(Framing::Length(7))
        );
        assert_eq!(
            framing(&Method::Get, StatusCode::OK, &Headers::new()),
            Ok(Framing::UntilClose)
        );
    }
}
