//! Request heads (RFC 9112 §3), and the field lines all heads share (§5).

use super::error::ParseError;
use super::scan::{Kind, Scan};
use crate::http::authority::is_host;
use crate::http::name::{HOST, is_token_byte};
use crate::http::target::Form;
use crate::http::{Headers, Method, RequestHead, Version};

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The first line in bytes, without its CRLF. 8192: RFC 9112 §3 asks for at least 8000.
    pub request_line: usize,
    /// All field lines together in bytes. 32768: four cookies of the 4096 bytes browsers keep,
    /// a token of a few KiB, and as much again.
    pub headers: usize,
    /// How many field lines. 100: several times what browsers behind proxies send.
    pub header_count: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            request_line: 8192,
            headers: 32768,
            header_count: 100,
        }
    }
}

/// Reads request heads from a buffer that grows until it holds a whole one.
#[derive(Debug, Clone, Default)]
pub struct RequestParser {
    scan: Scan,
}

impl RequestParser {
    /// Reads the head at the start of `buf` into `head`: how many bytes it takes, or `None` if
    /// there is more to come. The next call must bring the same bytes and what came after them;
    /// no byte is looked for line ends twice. After a whole head the parser is as new.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, ParseError> {
        let Some(extent) = self.scan.advance(buf, limits, Kind::Request)? else {
            return Ok(None);
        };
        self.reset();
        head.clear();
        request_line(extent.first_line(buf), head)?;
        field_lines(extent.fields(buf), &mut head.headers)?;
        check_host(head)?;
        Ok(Some(extent.end))
    }

    /// Forgets what was seen of a head.
    pub fn reset(&mut self) {
        self.scan = Scan::default();
    }
}

fn request_line(line: &[u8], head: &mut RequestHead) -> Result<(), ParseError> {
    let (method, rest) = split_space(line).ok_or(ParseError::StartLine)?;
    head.method = Method::from_bytes(method).ok_or(ParseError::Method)?;
    let (target, version) = split_space(rest).ok_or(ParseError::StartLine)?;
    head.version = read_version(version)?;
    head.target.parse(target).map_err(|_| ParseError::Target)?;
    // RFC 9112 §3.2.3, §3.2.4: one form is of CONNECT alone, one of OPTIONS alone.
    let fits = match head.target.form() {
        Form::Authority => head.method == Method::Connect,
        Form::Asterisk => head.method == Method::Options,
        Form::Origin | Form::Absolute => head.method != Method::Connect,
    };
    fits.then_some(()).ok_or(ParseError::Target)
}

pub(super) fn split_space(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    Some((before, after.get(1..)?))
}

/// `HTTP/1.0` or any other `HTTP/1.x`, which is spoken to as 1.1 (RFC 9110 §2.5).
pub(super) fn read_version(version: &[u8]) -> Result<Version, ParseError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            let spoken = *major == b'1';
            spoken.then_some(Version::Http11).ok_or(ParseError::Version)
        }
        _ => Err(ParseError::StartLine),
    }
}

/// Reads field lines, each of which ends with CRLF and has no other CR or LF.
pub(super) fn field_lines(mut lines: &[u8], headers: &mut Headers) -> Result<(), ParseError> {
    while !lines.is_empty() {
        let end = memchr::memchr(b'\r', lines).ok_or(ParseError::LineEnd)?;
        let (line, rest) = lines.split_at_checked(end).ok_or(ParseError::LineEnd)?;
        lines = rest.get(2..).unwrap_or_default();
        let (name, value) = field_line(line)?;
        headers.append_parsed(name, value);
    }
    Ok(())
}

/// Reads one field line without its CRLF: name and value (RFC 9112 §5).
pub fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(ParseError::Fold);
    }
    let length = line.iter().position(|&byte| !is_token_byte(byte));
    let (name, rest) = length
        .and_then(|length| line.split_at_checked(length))
        .ok_or(ParseError::NoColon)?;
    match rest.split_first() {
        Some((b':', value)) if !name.is_empty() => {
            if value.iter().any(|&byte| is_control(byte)) {
                return Err(ParseError::FieldValue);
            }
            Ok((name, trim(value)))
        }
        _ if memchr::memchr(b':', rest).is_none() => Err(ParseError::NoColon),
        _ => Err(ParseError::FieldName),
    }
}

/// Any control byte but HTAB (RFC 9110 §5.5).
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Without the optional white space around it, which is SP and HTAB only (RFC 9110 §5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9112 §3.2: one Host, which may be left out in HTTP/1.0 only.
fn check_host(head: &RequestHead) -> Result<(), ParseError> {
    let mut hosts = head.headers.get_all(&HOST);
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::Http10 => Ok(()),
        (None, _) => Err(ParseError::HostMissing),
        (Some(_), Some(_)) => Err(ParseError::HostRepeated),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(ParseError::HostInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        request_line: 40,
        headers: 60,
        header_count: 3,
    };

    /// What comes of the bytes at once, which must be what comes of them one by one.
    fn parse(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>, ParseError> {
        let (mut parser, mut head) = (RequestParser::default(), RequestHead::default());
        let whole = parser.parse(bytes, &LIMITS, &mut head);
        let (mut parser, mut slow) = (RequestParser::default(), RequestHead::default());
        let single = (0..=bytes.len())
            .map(|end| parser.parse(&bytes[..end], &LIMITS, &mut slow))
            .find(|outcome| !matches!(outcome, Ok(None)))
            .unwrap_or(Ok(None));
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(whole, single, "{shown}");
        if let Ok(Some(_)) = whole {
            assert!(head.headers.iter().eq(slow.headers.iter()), "{shown}");
        }
        whole.map(|length| length.map(|length| (length, head)))
    }

    #[test]
    fn heads_are_read() {
        let check = |bytes: &str, method, target, version, fields: &[(&str, &str)]| {
            let (length, head) = parse(format!("{bytes}rest").as_bytes()).unwrap().unwrap();
            assert_eq!(length, bytes.len(), "{bytes}");
            assert_eq!(head.method.as_str(), method);
            assert_eq!(head.target.raw(), target);
            assert_eq!(head.version, version);
            let read = head.headers.iter();
            assert!(
                read.eq(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))),
                "{bytes}"
            );
        };
        let v11 = Version::Http11;
        check(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET",
            "/",
            v11,
            &[("Host", "a")],
        );
        check(
            "GET / HTTP/1.7\r\nhost:\r\n\r\n",
            "GET",
            "/",
            v11,
            &[("host", "")],
        );
        check(
            "\r\n\r\n\r\n\r\nX / HTTP/1.0\r\n\r\n",
            "X",
            "/",
            Version::Http10,
            &[],
        );
        check(
            "POST /a HTTP/1.1\r\nHost:a\r\nA: \t b\tc \t\r\nB:\u{e4}: \r\n\r\n",
            "POST",
            "/a",
            v11,
            &[("Host", "a"), ("A", "b\tc"), ("B", "\u{e4}:")],
        );
        check(
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS",
            "*",
            v11,
            &[("Host", "a")],
        );
        check(
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT",
            "a:1",
            v11,
            &[("Host", "a")],
        );
    }

    #[test]
    fn what_is_not_whole_waits() {
        for bytes in [
            "",
            "\r",
            "\r\n",
            "GET",
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
            "X / y",
        ] {
            assert!(matches!(parse(bytes.as_bytes()), Ok(None)), "{bytes}");
        }
    }

    #[test]
    fn first_lines_are_refused() {
        use ParseError::{LineEnd, Method, StartLine, Target, TargetTooLong, Version};
        let check = |line: &str, error| {
            let bytes = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(parse(bytes.as_bytes()).err(), Some(error), "{line}");
        };
        for line in [
            "GET /",
            "GET",
            "GET / HTTP/1.1 ",
            "GET  / HTTP/1.1",
            "GET / http/1.1",
        ] {
            check(line, StartLine);
        }
        check("GET / HTTP/1.10", StartLine);
        check("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", StartLine);
        for line in [
            "\x16\x03\x01",
            " GET / HTTP/1.1",
            "G\t / HTTP/1.1",
            "G(T / HTTP/1.1",
        ] {
            check(line, Method);
        }
        for line in [
            "GET a HTTP/1.1",
            "GET * HTTP/1.1",
            "GET a:1 HTTP/1.1",
            "CONNECT / HTTP/1.1",
        ] {
            check(line, Target);
        }
        check("PRI * HTTP/2.0", Version);
        check("GET /a\rb HTTP/1.1", LineEnd);
        check("GET / HTTP/1.1\n", LineEnd);
        check(&format!("GET /{} HTTP/1.1", "a".repeat(27)), TargetTooLong);
        check(
            &format!("GET /{}\n HTTP/1.1", "a".repeat(40)),
            TargetTooLong,
        );
    }

    #[test]
    fn fields_are_refused() {
        use ParseError::{
            FieldName, FieldValue, FieldsTooLarge, Fold, HostInvalid, HostMissing, HostRepeated,
            LineEnd, NoColon, TooManyFields,
        };
        let check = |fields: &str, error| {
            let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(parse(bytes.as_bytes()).err(), Some(error), "{fields}");
        };
        check(" a: b", Fold);
        check("Host: a\r\n\tb", Fold);
        check("a", NoColon);
        check("a b", NoColon);
        for name in ["a : b", ": b", "a b: c", "\u{e4}: b", "a\0: b"] {
            check(name, FieldName);
        }
        check("a: b\x7f", FieldValue);
        check("a: b\0c", FieldValue);
        for line in ["a: b\nc: d", "a: b\rc: d", "a: b\r\r"] {
            check(line, LineEnd);
        }
        check("a: b", HostMissing);
        check("Host: a\r\nhost: a", HostRepeated);
        check("Host: a b", HostInvalid);
        check("Host: a\r\na:\r\na:\r\na:", TooManyFields);
        check(&format!("Host: a\r\na: {}", "b".repeat(60)), FieldsTooLarge);
    }

    #[test]
    fn limits_are_exact() {
        let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(26));
        assert!(matches!(parse(line.as_bytes()), Ok(Some(_))));
        let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(52));
        assert!(matches!(parse(fields.as_bytes()), Ok(Some(_))));
        let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(53));
        assert_eq!(
            parse(fields.as_bytes()).err(),
            Some(ParseError::FieldsTooLarge)
        );
    }
}
