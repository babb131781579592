//! Response heads as upstreams send them (RFC 9112 §4).

use super::error::ParseError;
use super::fields::FieldParser;
use super::head::{HeadLimits, VERSION_LENGTH, is_line_end, read_version};
use super::scan::value_end;
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
            // What most upstreams send, and what is added on the way; each about 512 bytes, a
            // size at which the allocator has a piece ready.
            headers: Headers::with_capacity(25, 512),
        }
    }
}

/// Reads response heads, one after the other, in the manner of
/// [`RequestParser`](super::head::RequestParser).
#[derive(Debug, Clone, Default)]
pub struct ResponseParser {
    /// The first byte of the reason phrase not looked at; 0 before that has begun.
    at: usize,
    /// Once the status line is complete.
    fields: Option<FieldParser>,
}

/// `HTTP/1.1 200`.
const STATUS_LENGTH: usize = VERSION_LENGTH + 4;

impl ResponseParser {
    /// Reads the head at the start of `buf` into `head`, as
    /// [`RequestParser::parse`](super::head::RequestParser::parse) does.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, ParseError> {
        if self.fields.is_none() {
            self.fields = self.status_line(buf, limits, head)?;
        }
        let Some(fields) = &mut self.fields else {
            return Ok(None);
        };
        let length = fields.parse(buf, limits, &mut head.headers)?;
        if length.is_some() {
            self.reset();
        }
        Ok(length)
    }

    /// Forgets what was seen of a head.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What reads the fields, once the status line is complete. The space before an empty
    /// reason may be missing, as it often is.
    fn status_line(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<FieldParser>, ParseError> {
        if self.at == 0 {
            let Some((version, status)) = version_and_status(buf)? else {
                return Ok(None);
            };
            (head.version, head.status) = (version, status);
            head.headers.clear();
            self.at = STATUS_LENGTH;
        }
        self.at = value_end(buf, self.at);
        let reason = buf.get(STATUS_LENGTH..self.at).unwrap_or_default();
        if self.at > limits.request_line || !matches!(reason, [] | [b' ', ..]) {
            return Err(ParseError::StartLine);
        }
        let ended = is_line_end(buf.get(self.at..).unwrap_or_default())?;
        Ok(ended.then(|| FieldParser::new(self.at.saturating_add(2))))
    }
}

/// What a status line starts with, once it is there.
fn version_and_status(buf: &[u8]) -> Result<Option<(Version, StatusCode)>, ParseError> {
    let Some(version) = read_version(buf)? else {
        return Ok(None);
    };
    match buf.get(VERSION_LENGTH..).unwrap_or_default() {
        [b' ', digits @ ..] if digits.iter().take(3).all(u8::is_ascii_digit) => {
            let Some(digits) = digits.first_chunk::<3>() else {
                return Ok(None);
            };
            let code = digits.iter().fold(0, |code: u16, &digit| {
                code.saturating_mul(10)
                    .saturating_add(u16::from(digit & 0xf))
            });
            let status = StatusCode::new(code).ok_or(ParseError::StartLine)?;
            Ok(Some((version, status)))
        }
        [] => Ok(None),
        _ => Err(ParseError::StartLine),
    }
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
