//! Which paths a route answers for, and what is captured from them.

mod segments;

use std::fmt;

use self::segments::parse;
use crate::build::Regex;
use crate::exchange::Params;

/// A pattern of paths.
///
/// Patterns are compared with the decoded, normalised path. A pattern is a list of segments:
/// - `/about` answers that path,
/// - `:name` in place of a segment stands for one segment that is not empty, and captures it,
/// - `*` or `*name` in place of the last segment stands for all the rest, also for none:
///   `/api/*` answers `/api`, `/api/` and `/api/x`, never `/apix`.
///
/// A trailing slash chooses but does not refuse: `/health` answers `/health/` too unless a
/// pattern written with the slash, or `/health/*`, is there. Who guards `/admin` guards
/// `/admin/`, which most applications behind take for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    written: Box<str>,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Segments(Segments),
    Regex(PathRegex),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    pub(super) list: Box<[Segment]>,
    /// The name under which a `*` takes the rest; empty for a `*` without one.
    pub(super) rest: Option<Box<str>>,
    /// Whether it is written with a slash behind the last segment.
    pub(super) slash: bool,
    /// Whether any of it has a name; most patterns capture nothing.
    captures: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<[u8]>),
    Param(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathRegex {
    pub(super) regex: Regex,
    /// Every path it matches starts with this.
    pub(super) prefix: Box<[u8]>,
    /// How many whole segments of literal text it starts with.
    pub(super) depth: usize,
}

/// The longest pattern; a quarter of the longest request line there is by default.
const PATTERN_BYTES_MAX: usize = 2048;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl PatternError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for PatternError {
    /// The message and, behind a line break, the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.message, self.hint)
    }
}

impl std::error::Error for PatternError {}

impl PathPattern {
    /// Reads a pattern of segments.
    ///
    /// # Errors
    /// It is none, or could never match a normalised path.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let segments = parse(text)?;
        Ok(Self {
            written: text.into(),
            shape: Shape::Segments(segments),
        })
    }

    /// Reads a regular expression over the whole path, anchored only where it says so. Named
    /// groups are captured.
    ///
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(too_long());
        }
        let regex: Regex = text.parse().map_err(|error: crate::build::UnitError| {
            let words = error.to_string();
            let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
            PatternError::new(message, hint)
        })?;
        let (prefix, whole) = literal_prefix(text);
        let slashes = memchr::memchr_iter(b'/', &prefix).count();
        // The slash in front opens the first segment; each further one ends a segment, and so
        // does the end of the path.
        let ended = slashes.saturating_sub(1);
        let open = whole && prefix.len() > 1 && !prefix.ends_with(b"/");
        Ok(Self {
            written: text.into(),
            shape: Shape::Regex(PathRegex {
                regex,
                depth: ended.saturating_add(usize::from(open)),
                prefix: prefix.into(),
            }),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it is a regular expression.
    pub fn is_regex(&self) -> bool {
        matches!(self.shape, Shape::Regex(_))
    }

    /// The names of what it captures, in order.
    pub fn names(&self) -> Vec<&str> {
        match &self.shape {
            Shape::Regex(path) => path.regex.names().collect(),
            Shape::Segments(segments) => {
                let params = segments.list.iter().filter_map(|segment| match segment {
                    Segment::Param(name) => Some(&**name),
                    Segment::Literal(_) => None,
                });
                params.chain(segments.rest_name()).collect()
            }
        }
    }

    /// Adds what it captures from a path that it matches.
    pub fn capture<'t>(&'t self, path: &[u8], params: &mut Params<'t>) {
        match &self.shape {
            Shape::Regex(regex) => {
                // Running again is cheaper than keeping groups of every candidate.
                if regex.regex.names().next().is_some() {
                    regex
                        .regex
                        .capture(path, |name, value| params.push(name, value));
                }
            }
            Shape::Segments(segments) if segments.captures => segments.capture(path, params),
            Shape::Segments(_) => {}
        }
    }
}

impl Segments {
    fn capture<'t>(&'t self, path: &[u8], params: &mut Params<'t>) {
        let mut left = path.strip_prefix(b"/").unwrap_or(path);
        for segment in &self.list {
            let (value, tail) = split_segment(left);
            left = tail.unwrap_or_default();
            if let Segment::Param(name) = segment {
                params.push(name, value);
            }
        }
        if let Some(name) = self.rest_name() {
            params.push(name, left);
        }
    }

    fn rest_name(&self) -> Option<&str> {
        self.rest.as_deref().filter(|name| !name.is_empty())
    }
}

impl PathRegex {
    pub(super) fn is_match(&self, path: &[u8]) -> bool {
        path.starts_with(&self.prefix) && self.regex.is_match(path)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The first segment of a path without its leading slash, and what follows the slash behind it.
pub(super) fn split_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path) {
        None => (path, None),
        Some(slash) => {
            let (segment, tail) = path.split_at(slash);
            (segment, tail.get(1..))
        }
    }
}

fn too_long() -> PatternError {
    PatternError::new(
        format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"),
        "no client asks for such a path",
    )
}

/// The literal text that every match of an expression starts with, as far as is easily seen;
/// and whether it is all of the path.
fn literal_prefix(text: &str) -> (Vec<u8>, bool) {
    let mut prefix = Vec::new();
    let Some(body) = text.strip_prefix('^') else {
        return (prefix, false);
    };
    // An alternative may stand anywhere and start with anything.
    if body.contains('|') {
        return (prefix, false);
    }
    let mut chars = body.chars().peekable();
    let mut whole = false;
    while let Some(c) = chars.next() {
        let literal = match c {
            // `\<` and `\>` are the ends of a word, not characters.
            '\\' => match chars.next_if(|&c| c.is_ascii_punctuation() && c != '<' && c != '>') {
                Some(escaped) => escaped,
                None => break,
            },
            '$' => {
                whole = chars.peek().is_none();
                break;
            }
            '.' | '[' | '(' | ')' | '{' | '}' | '?' | '*' | '+' | '^' => break,
            c => c,
        };
        // A repetition makes the character before it optional.
        if matches!(chars.peek(), Some('?' | '*' | '+' | '{')) {
            break;
        }
        prefix.extend_from_slice(literal.encode_utf8(&mut [0; 4]).as_bytes());
    }
    (prefix, whole)
}

#[cfg(test)]
mod tests;
