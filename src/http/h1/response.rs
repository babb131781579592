//! Response heads as upstreams send them (RFC 9112 §4).

use super::error::ParseError;
use super::head::{HeadLimits, field_lines, is_control, read_version, split_space};
use super::scan::{Kind, Scan};
use crate::http::{Headers, StatusCode, Version};

/// A response without its body. The reason phrase is not kept: it means nothing.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The version the upstream spoke.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// The fields in the order they came.
    pub headers: Headers,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self {
            version: Version::Http11,
            status: StatusCode::OK,
            headers: Headers::new(),
        }
    }
}

/// Reads response heads from a buffer that grows until it holds a whole one.
#[derive(Debug, Clone, Default)]
pub struct ResponseParser {
    scan: Scan,
}

impl ResponseParser {
    /// Reads the head at the start of `buf` into `head`, as
    /// [`RequestParser::parse`](super::head::RequestParser::parse) does.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, ParseError> {
        let Some(extent) = self.scan.advance(buf, limits, Kind::Response)? else {
            return Ok(None);
        };
        self.reset();
        head.headers.clear();
        (head.version, head.status) = status_line(extent.first_line(buf))?;
        field_lines(extent.fields(buf), &mut head.headers)?;
        Ok(Some(extent.end))
    }

    /// Forgets what was seen of a head.
    pub fn reset(&mut self) {
        self.scan = Scan::default();
    }
}

/// `HTTP/1.1 200 OK`; the space before an empty reason may be missing, as it often is.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), ParseError> {
    let (version, rest) = split_space(line).ok_or(ParseError::StartLine)?;
    let version = read_version(version)?;
    let (digits, reason) = rest.split_first_chunk::<3>().ok_or(ParseError::StartLine)?;
    let valid = digits.iter().all(u8::is_ascii_digit)
        && matches!(reason, [] | [b' ', ..])
        && !reason.iter().any(|&byte| is_control(byte));
    if !valid {
        return Err(ParseError::StartLine);
    }
    let code = digits.iter().fold(0, |code: u16, &digit| {
        code.saturating_mul(10)
            .saturating_add(u16::from(digit & 0xf))
    });
    let status = StatusCode::new(code).ok_or(ParseError::StartLine)?;
    Ok((version, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<(usize, ResponseHead)>, ParseError> {
        let limits = HeadLimits {
            request_line: 40,
            headers: 40,
            header_count: 2,
        };
        let (mut parser, mut head) = (ResponseParser::default(), ResponseHead::default());
        let whole = parser.parse(bytes, &limits, &mut head);
        let (mut parser, mut slow) = (ResponseParser::default(), ResponseHead::default());
        let single = (0..=bytes.len())
            .map(|end| parser.parse(&bytes[..end], &limits, &mut slow))
            .find(|outcome| !matches!(outcome, Ok(None)))
            .unwrap_or(Ok(None));
        assert_eq!(whole, single);
        whole.map(|length| length.map(|length| (length, head)))
    }

    #[test]
    fn status_lines_are_read_or_refused() {
        let check = |line: &str, expected: Result<(Version, u16), ParseError>| {
            let bytes = format!("{line}\r\nA: b\r\n\r\n");
            let read = parse(bytes.as_bytes()).map(|whole| {
                let (length, head) = whole.unwrap();
                assert_eq!(length, bytes.len());
                assert!(head.headers.iter().eq([(&b"A"[..], &b"b"[..])]));
                (head.version, head.status.code())
            });
            assert_eq!(read, expected, "{line}");
        };
        check("HTTP/1.1 200 OK", Ok((Version::Http11, 200)));
        check("HTTP/1.0 404 Not  Found\u{e4}", Ok((Version::Http10, 404)));
        check("HTTP/1.1 204 ", Ok((Version::Http11, 204)));
        check("HTTP/1.1 299", Ok((Version::Http11, 299)));
        check("HTTP/2.0 200 OK", Err(ParseError::Version));
        for line in [
            "",
            "HTTP/1.1",
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1  200",
            "HTTP/1.1 099 x",
        ] {
            check(line, Err(ParseError::StartLine));
        }
        for line in [
            "ICY 200 OK",
            "HTTP/1.1 200 a\0b",
            "HTTP/1.1 +20 x",
            "HTTP 200 OK",
        ] {
            check(line, Err(ParseError::StartLine));
        }
        check(
            &format!("HTTP/1.1 200 {}", "a".repeat(28)),
            Err(ParseError::StartLine),
        );
        check("HTTP/1.1 200 OK\nA: b", Err(ParseError::LineEnd));
    }
}
