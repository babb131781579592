//! Finding the end of a head as its bytes arrive, looking at each byte once.

use super::error::ParseError;
use super::head::HeadLimits;

/// How many empty lines before a request line are passed over: RFC 9112 §2.2 asks for at least
/// one; old clients sent one after each body.
const EMPTY_LINES: u8 = 4;

/// What kind of message is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// Where a whole head stands in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where the first line starts.
    pub(super) start: usize,
    /// Where the first line ends, before its CRLF.
    pub(super) first_end: usize,
    /// After the empty line.
    pub(super) end: usize,
}

impl Extent {
    pub(super) fn first_line(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start..self.first_end).unwrap_or_default()
    }

    /// The field lines, each with its CRLF.
    pub(super) fn fields(self, buf: &[u8]) -> &[u8] {
        buf.get(self.first_end.saturating_add(2)..self.end.saturating_sub(2))
            .unwrap_or_default()
    }
}

/// How far a head has been looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    /// The first byte not looked at.
    scanned: usize,
    /// Where the line that byte is in starts.
    line: usize,
    first_line: Option<(usize, usize)>,
    lines: usize,
    empty_lines: u8,
}

impl Scan {
    /// Looks at what has arrived since the last call; `None` until the head is whole.
    pub(super) fn advance(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        kind: Kind,
    ) -> Result<Option<Extent>, ParseError> {
        loop {
            self.check_first_byte(buf, kind)?;
            let rest = buf.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.scanned = self.scanned.max(buf.len());
                self.check_size(self.scanned, limits, kind)?;
                return Ok(None);
            };
            let at = self.scanned.saturating_add(found);
            self.check_size(at, limits, kind)?;
            self.scanned = at;
            match rest.get(found..) {
                Some([b'\r', b'\n', ..]) => {}
                Some([b'\r']) => return Ok(None),
                _ => return Err(ParseError::LineEnd),
            }
            if let Some(extent) = self.end_line(at, limits, kind)? {
                return Ok(Some(extent));
            }
        }
    }

    /// Takes the line that ends before `at`.
    fn end_line(
        &mut self,
        at: usize,
        limits: &HeadLimits,
        kind: Kind,
    ) -> Result<Option<Extent>, ParseError> {
        let empty = at == self.line;
        let line = std::mem::replace(&mut self.line, at.saturating_add(2));
        self.scanned = self.line;
        match self.first_line {
            None if empty => {
                self.empty_lines = self.empty_lines.saturating_add(1);
                if kind == Kind::Response || self.empty_lines > EMPTY_LINES {
                    return Err(ParseError::StartLine);
                }
            }
            None => self.first_line = Some((line, at)),
            Some((start, first_end)) if empty => {
                let end = self.line;
                return Ok(Some(Extent {
                    start,
                    first_end,
                    end,
                }));
            }
            Some(_) => {
                self.lines = self.lines.saturating_add(1);
                if self.lines > limits.header_count {
                    return Err(ParseError::TooManyFields);
                }
            }
        }
        Ok(None)
    }

    /// Refuses what speaks another protocol at its first byte, a TLS handshake for one.
    fn check_first_byte(&self, buf: &[u8], kind: Kind) -> Result<(), ParseError> {
        if self.first_line.is_some() || self.scanned != self.line {
            return Ok(());
        }
        match (buf.get(self.line), kind) {
            (None | Some(b'\r' | b'\n'), _) | (Some(b'H'), Kind::Response) => Ok(()),
            (Some(_), Kind::Response) => Err(ParseError::StartLine),
            (Some(&byte), Kind::Request) if crate::http::name::is_token_byte(byte) => Ok(()),
            (Some(_), Kind::Request) => Err(ParseError::Method),
        }
    }

    /// Holds the bytes before `at` against the limits.
    fn check_size(&self, at: usize, limits: &HeadLimits, kind: Kind) -> Result<(), ParseError> {
        match (self.first_line, kind) {
            (None, _) if at.saturating_sub(self.line) <= limits.request_line => Ok(()),
            (None, Kind::Request) => Err(ParseError::TargetTooLong),
            (None, Kind::Response) => Err(ParseError::StartLine),
            (Some((_, end)), _) => {
                let fields = at.saturating_sub(end.saturating_add(2));
                if fields > limits.headers {
                    return Err(ParseError::FieldsTooLarge);
                }
                Ok(())
            }
        }
    }
}
