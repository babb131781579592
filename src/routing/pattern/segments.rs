//! Reading a pattern of segments, with a way out for each way that other servers write them.

use super::{PATTERN_BYTES_MAX, PatternError, Segment, Segments, too_long};

/// The most segments of a pattern: the tree is walked by recursion.
const SEGMENTS_MAX: usize = 64;

/// Reads `/users/:id/*rest`.
pub(super) fn parse(text: &str) -> Result<Segments, PatternError> {
    let Some(path) = text.strip_prefix('/') else {
        return Err(PatternError::new(
            format!("the path `{text}` does not start with `/`"),
            match text.chars().next() {
                Some('~' | '^') => "a regular expression is written path_regex = '…'".to_owned(),
                _ => format!("write \"/{text}\""),
            },
        ));
    };
    if text.len() > PATTERN_BYTES_MAX {
        return Err(too_long());
    }
    let (path, slash) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let mut segments = Segments {
        list: Box::default(),
        rest: None,
        slash,
        captures: false,
    };
    let mut list = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    // The path `/` has no segment.
    let mut left = (!path.is_empty() || slash).then_some(path);
    while let Some(tail) = left {
        let (segment, rest) = match tail.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (tail, None),
        };
        left = rest;
        if let Some(name) = segment.strip_prefix('*') {
            if rest.is_some() || slash {
                return Err(PatternError::new(
                    format!("`*{name}` is not the last segment of `{text}`"),
                    "a `*` takes all the rest of the path; one segment is `:name`",
                ));
            }
            segments.rest = Some(match name {
                "" => Box::default(),
                name => parse_name(text, name, &mut names)?,
            });
        } else if let Some(name) = segment.strip_prefix(':') {
            list.push(Segment::Param(parse_name(text, name, &mut names)?));
        } else {
            list.push(Segment::Literal(parse_literal(text, segment)?));
        }
    }
    if list.len() > SEGMENTS_MAX {
        return Err(PatternError::new(
            format!("the pattern has more than {SEGMENTS_MAX} segments"),
            "let a `*` take the rest",
        ));
    }
    segments.list = list.into();
    segments.captures = !names.is_empty();
    Ok(segments)
}

fn parse_name<'n>(
    text: &str,
    name: &'n str,
    names: &mut Vec<&'n str>,
) -> Result<Box<str>, PatternError> {
    let mut bytes = name.bytes();
    let good = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !good {
        return Err(PatternError::new(
            format!("`{name}` in `{text}` is not a name"),
            if name.starts_with('.') {
                "for parts of a segment use `path_regex`"
            } else {
                "names have letters, digits and `_`, and start with no digit: `:user_id`, `*rest`"
            },
        ));
    }
    if names.contains(&name) {
        return Err(PatternError::new(
            format!("`{text}` captures `{name}` twice"),
            "give each captured segment a name of its own",
        ));
    }
    names.push(name);
    Ok(name.into())
}

fn parse_literal(text: &str, segment: &str) -> Result<Box<[u8]>, PatternError> {
    let refuse = |message: String, hint: String| Err(PatternError::new(message, hint));
    if segment.is_empty() {
        return refuse(
            format!("`{text}` has an empty segment"),
            "repeated slashes of a request are made one before it is compared".to_owned(),
        );
    }
    if matches!(segment, "." | "..") {
        return refuse(
            format!("`{text}` has a segment `{segment}`"),
            "dot segments of a request are resolved before it is compared".to_owned(),
        );
    }
    if segment.contains(['{', '}']) {
        let name = segment.trim_matches(['{', '}', '*', '.']);
        return refuse(
            format!("`{segment}` in `{text}` has a brace"),
            format!(
                "one segment is captured by `:{name}`, all the rest by `*{name}`; \
                 for a brace itself use `path_regex`"
            ),
        );
    }
    if segment.contains('*') {
        return refuse(
            format!("`{segment}` in `{text}` has a `*` within a segment"),
            "a `*` stands alone, as the last segment; for parts of one use `path_regex`".to_owned(),
        );
    }
    if let Some(mark) = segment.chars().find(|c| matches!(c, '?' | '#')) {
        return refuse(
            format!("`{text}` has a `{mark}`, which ends the path of a request"),
            "match the query with `query = { name = \"value\" }`".to_owned(),
        );
    }
    if segment.bytes().any(|byte| byte.is_ascii_control()) {
        return refuse(
            format!("{text:?} has a control character"),
            "no path of a request has one".to_owned(),
        );
    }
    for (at, _) in segment.match_indices('%') {
        let digits = segment.get(at.saturating_add(1)..at.saturating_add(3));
        let encoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // An encoded slash stays encoded in the path of a request too.
        if encoded.is_some() && digits != Some("2F") {
            return refuse(
                format!("`{segment}` in `{text}` is percent-encoded"),
                "write the character itself: requests are decoded before they are compared; \
                 only an encoded slash stays, as `%2F`"
                    .to_owned(),
            );
        }
    }
    Ok(segment.as_bytes().into())
}
