//! Request targets in their four forms (RFC 9112 §3.2), decoded and normalised in one pass.

use std::borrow::Cow;

use super::authority::is_host;
pub use super::authority::split_port;
use super::query;

/// Which of the four forms a target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`, as sent to a proxy.
    Absolute,
    /// `host:port`, for CONNECT.
    Authority,
    /// `*`, for a server-wide OPTIONS.
    Asterisk,
}

/// Why a target was refused. Always the client's fault: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// None of the four forms.
    Form,
    /// A byte that RFC 3986 does not allow where it stands.
    Byte,
    /// `%` without two hexadecimal digits.
    PercentEncoding,
    /// `..` above the root.
    AboveRoot,
    /// An authority that is none.
    Authority,
}

/// A request target that was read and found valid.
#[derive(Debug, Clone, Default)]
pub struct Target {
    form: Form,
    raw: String,
    scheme: (u32, u32),
    authority: (u32, u32),
    raw_path: (u32, u32),
    query: Option<(u32, u32)>,
    /// The decoded, normalised path.
    path: Vec<u8>,
    encoded_separator: bool,
    normalised: bool,
    /// What the client wrote, if that is not `raw` any more.
    written: Option<String>,
}

impl Target {
    /// Reads a target into these buffers.
    ///
    /// The path is percent-decoded and normalised: `.` and `..` segments are resolved and
    /// repeated slashes made one. An encoded `/` (`%2F`) stays encoded, so that a segment stays
    /// a segment, with its digits in capitals (RFC 3986 §6.2.2.1);
    /// [`Self::has_encoded_separator`] tells of it. After an error the target is empty.
    pub fn parse(&mut self, raw: &[u8]) -> Result<(), TargetError> {
        self.clear();
        let outcome = self.read(raw);
        if outcome.is_err() {
            self.clear();
        }
        outcome
    }

    fn read(&mut self, raw: &[u8]) -> Result<(), TargetError> {
        let text = std::str::from_utf8(raw).map_err(|_| TargetError::Byte)?;
        // Every offset is at most the length: one check serves all conversions.
        offset(raw.len())?;
        self.raw.push_str(text);
        if raw.first() == Some(&b'/') {
            return self.read_path(raw, 0);
        }
        if raw == b"*" {
            self.form = Form::Asterisk;
            return Ok(());
        }
        let Some(colon) = memchr::memmem::find(raw, b"://") else {
            self.form = Form::Authority;
            self.authority = (0, offset(raw.len())?);
            // CONNECT has no default port (RFC 9112 §3.2.3).
            let port = split_port(text).1.unwrap_or_default();
            let valid = !port.is_empty() && is_host(raw);
            return valid.then_some(()).ok_or(TargetError::Form);
        };
        let scheme = raw.get(..colon).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(TargetError::Form);
        }
        let start = colon.saturating_add(3);
        let rest = raw.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let length = length.unwrap_or(rest.len());
        let authority = rest.get(..length).unwrap_or_default();
        if authority.first().is_none_or(|&byte| byte == b':') || !is_host(authority) {
            return Err(TargetError::Authority);
        }
        let end = start.saturating_add(length);
        self.form = Form::Absolute;
        self.scheme = (0, offset(colon)?);
        self.authority = (offset(start)?, offset(end)?);
        self.read_path(rest.get(length..).unwrap_or_default(), end)
    }

    /// Reads path and query, which start at `base` of the target.
    fn read_path(&mut self, bytes: &[u8], base: usize) -> Result<(), TargetError> {
        let (mut clean, mut begins) = (true, false);
        let mut length = bytes.len();
        for (index, &byte) in bytes.iter().enumerate() {
            match CLASS[usize::from(byte)] {
                Class::Path => begins = false,
                Class::Shaping => {
                    clean &= !begins && byte != b'%';
                    begins = byte == b'/';
                }
                _ if byte == b'?' => {
                    length = index;
                    break;
                }
                _ => return Err(TargetError::Byte),
            }
        }
        let end = base.saturating_add(length);
        self.raw_path = (offset(base)?, offset(end)?);
        if let Some(query) = bytes.get(length.saturating_add(1)..)
            && length < bytes.len()
        {
            if query
                .iter()
                .any(|&b| CLASS[usize::from(b)] == Class::Refused)
            {
                return Err(TargetError::Byte);
            }
            self.query = Some((offset(end.saturating_add(1))?, offset(self.raw.len())?));
        }
        let path = bytes.get(..length).unwrap_or_default();
        if clean && !path.is_empty() {
            self.path.extend_from_slice(path);
            return Ok(());
        }
        self.decode_path(path)
    }

    fn decode_path(&mut self, path: &[u8]) -> Result<(), TargetError> {
        self.path.push(b'/');
        let mut rest = path.get(1..).unwrap_or_default();
        let mut segment = 1;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'/' => segment = self.end_segment(segment, false)?,
                b'%' => {
                    let (digits, after) = after
                        .split_first_chunk::<2>()
                        .ok_or(TargetError::PercentEncoding)?;
                    rest = after;
                    match hex_byte(*digits).ok_or(TargetError::PercentEncoding)? {
                        byte if stays_encoded(byte) => {
                            self.path.push(b'%');
                            self.path
                                .extend(digits.map(|digit| digit.to_ascii_uppercase()));
                            self.encoded_separator = true;
                        }
                        decoded => self.path.push(decoded),
                    }
                }
                byte => self.path.push(byte),
            }
        }
        self.end_segment(segment, true).map(|_| ())
    }

    /// Ends the segment that starts at `start` of the path; where the next one starts.
    fn end_segment(&mut self, start: usize, last: bool) -> Result<usize, TargetError> {
        match self.path.get(start..).unwrap_or_default() {
            b"" => self.normalised |= !last,
            b"." => {
                self.path.truncate(start);
                self.normalised = true;
            }
            b".." => {
                let parent = self.path.get(..start.saturating_sub(1)).unwrap_or_default();
                let slash = memchr::memrchr(b'/', parent).ok_or(TargetError::AboveRoot)?;
                self.path.truncate(slash.saturating_add(1));
                self.normalised = true;
            }
            _ if last => {}
            _ => self.path.push(b'/'),
        }
        Ok(self.path.len())
    }

    /// Puts another path and query in place of these; the authority stays, and so does what
    /// [`Self::raw`] gives. After an error the target is as it was.
    pub fn rewrite(&mut self, raw: &str) -> Result<(), TargetError> {
        if !raw.starts_with('/') {
            return Err(TargetError::Form);
        }
        let mut whole = String::with_capacity(self.raw.len().saturating_add(raw.len()));
        if let (Some(scheme), Some(authority)) = (self.scheme(), self.authority()) {
            whole.push_str(scheme);
            whole.push_str("://");
            whole.push_str(authority);
        }
        whole.push_str(raw);
        let mut next = Self::default();
        next.parse(whole.as_bytes())?;
        let raw = std::mem::take(&mut self.raw);
        next.written = Some(self.written.take().unwrap_or(raw));
        *self = next;
        Ok(())
    }

    /// The path to ask an upstream for: as written, or with dot segments resolved and slashes
    /// merged where that changed something. What was percent-encoded stays so, letter by
    /// letter: decoding and encoding again could turn one resource into another.
    pub fn upstream_path(&self) -> Cow<'_, str> {
        let raw = self.raw_path();
        if raw.is_empty() && self.form == Form::Absolute {
            return Cow::Borrowed("/");
        }
        if !self.normalised {
            return Cow::Borrowed(raw);
        }
        let mut path = String::with_capacity(raw.len());
        path.push('/');
        let mut segments = raw.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            match dots(segment) {
                Some(0 | 1) => {}
                Some(_) => {
                    path.pop();
                    path.truncate(path.rfind('/').map_or(0, |slash| slash.saturating_add(1)));
                }
                None => {
                    path.push_str(segment);
                    if segments.peek().is_some() {
                        path.push('/');
                    }
                }
            }
        }
        Cow::Owned(path)
    }

    /// The value of the first pair of this name, form-decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        query::pairs(self.query().unwrap_or_default())
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Which form it has.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The target as the client wrote it, also after it was rewritten.
    pub fn raw(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.raw)
    }

    /// The scheme of an absolute-form target, lower-case or not as written.
    pub fn scheme(&self) -> Option<&str> {
        (self.form == Form::Absolute).then(|| self.slice(self.scheme))
    }

    /// The authority of an absolute- or authority-form target.
    pub fn authority(&self) -> Option<&str> {
        matches!(self.form, Form::Absolute | Form::Authority).then(|| self.slice(self.authority))
    }

    /// The path, percent-decoded and normalised. Starts with `/` in origin and absolute form,
    /// is empty in the other two. May hold any byte but NUL and what [`Self::parse`] refuses.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path as written, without the query.
    pub fn raw_path(&self) -> &str {
        self.slice(self.raw_path)
    }

    /// Whether normalising changed more than percent-encoding: dot segments or repeated slashes.
    pub fn was_normalised(&self) -> bool {
        self.normalised
    }

    /// Whether the path holds `%2F`, `%5C` or an encoded control byte, NUL included.
    /// What maps paths to files refuses these.
    pub fn has_encoded_separator(&self) -> bool {
        self.encoded_separator
    }

    /// The query without its `?`; `None` if there is no `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.slice(span))
    }

    /// Forgets the target, keeps the capacity.
    pub fn clear(&mut self) {
        self.form = Form::Origin;
        self.raw.clear();
        self.path.clear();
        self.scheme = (0, 0);
        self.authority = (0, 0);
        self.raw_path = (0, 0);
        self.query = None;
        self.encoded_separator = false;
        self.normalised = false;
        self.written = None;
    }

    fn slice(&self, (start, end): (u32, u32)) -> &str {
        self.raw
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

/// How many dots a segment is, percent-encoded or not; `None` if it is anything else.
fn dots(segment: &str) -> Option<usize> {
    let mut rest = segment.as_bytes();
    let mut count: usize = 0;
    while !rest.is_empty() && count < 3 {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        count = count.saturating_add(1);
    }
    (count < 3).then_some(count)
}

fn offset(length: usize) -> Result<u32, TargetError> {
    u32::try_from(length).map_err(|_| TargetError::Form)
}

/// Whether a byte that is percent-encoded in a path stays so in the decoded one: decoded, it
/// would divide a segment in two for whoever reads it, or end what it is written into.
pub const fn stays_encoded(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f)
}

/// The byte two hexadecimal digits stand for.
pub fn hex_byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Where a byte may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Refused,
    Query,
    Path,
    /// In a path, but what it stands for there depends on what is beside it: `/`, `.`, `%`.
    Shaping,
}

/// RFC 3986 §3.3 and §3.4, and what browsers leave unencoded: `[` and `]` anywhere, the other
/// visible bytes but `#` in the query, which nothing here decodes on the way through.
static CLASS: [Class; 256] = {
    let mut table = [Class::Refused; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        table[byte as usize] = match byte {
            b'#' => Class::Refused,
            b'?' | b'<' | b'>' | b'"' | b'\\' | b'`' | b'{' | b'}' | b'|' | b'^' => Class::Query,
            b'/' | b'.' | b'%' => Class::Shaping,
            _ => Class::Path,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
