//! Request heads (RFC 9112 §3), and what bounds every head.

use super::error::ParseError;
use super::fields::FieldParser;
use super::scan::{token_end, visible_end};
use crate::http::authority::is_host;
use crate::http::name::HOST;
use crate::http::target::Form;
use crate::http::{Method, RequestHead, Version};

/// How many empty lines before a request line are passed over: RFC 9112 §2.2 asks for at least
/// one; old clients sent one after each body.
const EMPTY_LINES_MAX: u8 = 4;

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

/// Reads request heads, one after the other, from a buffer that grows until it holds one.
#[derive(Debug, Clone, Default)]
pub struct RequestParser {
    part: Part,
    empty_lines: u8,
    /// Where the request line starts.
    line: usize,
    /// The first byte not looked at.
    at: usize,
    /// Where the word of the request line that is being read starts.
    word: usize,
    fields: FieldParser,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    Before,
    Method,
    Target,
    Version,
    Fields,
}

impl RequestParser {
    /// Reads the head at the start of `buf` into `head`: how many bytes it takes, or `None` if
    /// there is more to come. The next call must bring the same bytes and what came after them:
    /// it goes on where this one was, so that no byte is looked at twice however slowly they
    /// arrive. After a whole head the parser is as new.
    ///
    /// # Errors
    /// Whatever follows, this cannot become a head. `head` then holds as much of the request
    /// line as was read, for the log.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, ParseError> {
        if self.part != Part::Fields && !self.request_line(buf, limits, head)? {
            return Ok(None);
        }
        let length = self.fields.parse(buf, limits, &mut head.headers)?;
        if length.is_some() {
            check_host(head)?;
            self.reset();
        }
        Ok(length)
    }

    /// Whether any of a request line has come: empty lines before it are nothing yet.
    pub fn has_begun(&self) -> bool {
        self.part != Part::Before
    }

    /// Forgets what was seen of a head.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the request line is complete.
    fn request_line(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<bool, ParseError> {
        if self.part == Part::Before {
            if !self.skip_empty_lines(buf)? {
                return Ok(false);
            }
            head.clear();
            self.line = self.at;
            self.begin(Part::Method);
        }
        if self.part == Part::Method {
            self.at = token_end(buf, self.at);
            let Some(method) = self.end_word(buf, limits, ParseError::Method)? else {
                return Ok(false);
            };
            head.method = Method::from_bytes(method).ok_or(ParseError::Method)?;
            self.begin(Part::Target);
        }
        if self.part == Part::Target {
            self.at = visible_end(buf, self.at);
            let Some(target) = self.end_word(buf, limits, ParseError::StartLine)? else {
                return Ok(false);
            };
            head.target.parse(target).map_err(|_| ParseError::Target)?;
            self.begin(Part::Version);
        }
        let rest = buf.get(self.word..).unwrap_or_default();
        let Some(version) = read_version(rest)? else {
            return Ok(false);
        };
        head.version = version;
        self.at = self.word + VERSION_LENGTH;
        self.check_size(limits)?;
        if !is_line_end(rest.get(VERSION_LENGTH..).unwrap_or_default())? {
            return Ok(false);
        }
        check_form(head)?;
        self.fields = FieldParser::new(self.at + 2);
        self.part = Part::Fields;
        Ok(true)
    }

    fn begin(&mut self, part: Part) {
        self.part = part;
        self.word = self.at;
    }

    /// The word that ends at `at`, if the SP behind it is there; `at` is then behind that.
    fn end_word<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &HeadLimits,
        empty: ParseError,
    ) -> Result<Option<&'b [u8]>, ParseError> {
        self.check_size(limits)?;
        match buf.get(self.at..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b' ', ..] if self.at > self.word => {
                let word = buf.get(self.word..self.at);
                self.at += 1;
                Ok(word)
            }
            [b'\r', b'\n', ..] => Err(ParseError::StartLine),
            [b'\r' | b'\n', ..] => Err(ParseError::LineEnd),
            _ if self.part == Part::Target && self.at > self.word => Err(ParseError::Target),
            _ if self.part == Part::Method => Err(ParseError::Method),
            _ => Err(empty),
        }
    }

    fn check_size(&self, limits: &HeadLimits) -> Result<(), ParseError> {
        if self.at - self.line > limits.request_line {
            return Err(ParseError::TargetTooLong);
        }
        Ok(())
    }

    /// Whether a byte of the request line is there.
    fn skip_empty_lines(&mut self, buf: &[u8]) -> Result<bool, ParseError> {
        loop {
            match buf.get(self.at..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(false),
                [b'\r', b'\n', ..] if self.empty_lines < EMPTY_LINES_MAX => {
                    self.empty_lines += 1;
                    self.at += 2;
                }
                [b'\r', b'\n', ..] => return Err(ParseError::StartLine),
                [b'\r' | b'\n', ..] => return Err(ParseError::LineEnd),
                _ => return Ok(true),
            }
        }
    }
}

/// `HTTP/1.1`.
pub(super) const VERSION_LENGTH: usize = 8;

/// The version at the start of `rest`, once it is there: `HTTP/1.0` or any other `HTTP/1.x`,
/// which is spoken to as 1.1 (RFC 9110 §2.5). What cannot become one is refused at its first
/// byte.
pub(super) fn read_version(rest: &[u8]) -> Result<Option<Version>, ParseError> {
    const NAME: &[u8] = b"HTTP/";
    let seen = rest.len().min(NAME.len());
    if rest.get(..seen) != NAME.get(..seen) {
        return Err(ParseError::StartLine);
    }
    match rest.get(NAME.len()..).unwrap_or_default() {
        [] | [b'0'..=b'9'] | [b'0'..=b'9', b'.'] => Ok(None),
        [b'1', b'.', b'0', ..] => Ok(Some(Version::Http10)),
        [b'1', b'.', b'1'..=b'9', ..] => Ok(Some(Version::Http11)),
        [b'0'..=b'9', b'.', b'0'..=b'9', ..] => Err(ParseError::Version),
        _ => Err(ParseError::StartLine),
    }
}

/// Whether a CRLF is at the start of `rest`; `false` if it may yet come.
pub(super) fn is_line_end(rest: &[u8]) -> Result<bool, ParseError> {
    match rest {
        [] | [b'\r'] => Ok(false),
        [b'\r', b'\n', ..] => Ok(true),
        [b'\r' | b'\n', ..] => Err(ParseError::LineEnd),
        _ => Err(ParseError::StartLine),
    }
}

/// RFC 9112 §3.2.3, §3.2.4: one form is of CONNECT alone, one of OPTIONS alone.
fn check_form(head: &RequestHead) -> Result<(), ParseError> {
    let fits = match head.target.form() {
        Form::Authority => head.method == Method::Connect,
        Form::Asterisk => head.method == Method::Options,
        Form::Origin | Form::Absolute => head.method != Method::Connect,
    };
    fits.then_some(()).ok_or(ParseError::Target)
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
mod tests;
