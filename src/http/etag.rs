//! Entity tags and their two comparisons (RFC 9110 §8.8.3).

/// An entity tag as a field holds it: `"abc"` or `W/"abc"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag<'a> {
    /// Whether it is weak: equal tags mean "as good as", not "the same bytes".
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> ETag<'a> {
    /// The strong tag with this between its quotes.
    pub const fn strong(opaque: &'a [u8]) -> Self {
        let weak = false;
        Self { weak, opaque }
    }

    /// Reads one tag that is the whole value.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (tag, rest) = take(value)?;
        rest.is_empty().then_some(tag)
    }

    /// Both strong and the same: byte for byte one representation (RFC 9110 §8.8.3.2).
    pub fn strong_eq(&self, other: &ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// The same, strong or weak.
    pub fn weak_eq(&self, other: &ETag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The tags of an `If-Match` or `If-None-Match` line; [`Tags::is_any`] for `*`.
///
/// Not the general list grammar: a backslash in a tag escapes nothing and a comma in one
/// separates nothing. Behind something that is no tag nothing more is read, so that a broken
/// list matches less, never more.
#[derive(Debug, Clone)]
pub struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// The tags of this field value.
    pub const fn of(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// Whether the value is `*`: any representation there is.
    pub fn is_any(&self) -> bool {
        self.0.trim_ascii() == b"*"
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = ETag<'a>;

    fn next(&mut self) -> Option<ETag<'a>> {
        let start = skip(self.0, |byte| matches!(byte, b' ' | b'\t' | b','));
        let found = take(start).filter(|(_, rest)| {
            let rest = skip(rest, |byte| matches!(byte, b' ' | b'\t'));
            matches!(rest.first(), None | Some(b','))
        });
        self.0 = found.map_or(&[], |(_, rest)| rest);
        found.map(|(tag, _)| tag)
    }
}

fn take(value: &[u8]) -> Option<(ETag<'_>, &[u8])> {
    let (weak, quoted) = match value.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, value),
    };
    let inner = quoted.strip_prefix(b"\"")?;
    let end = inner.iter().position(|&byte| !is_tag_byte(byte))?;
    let (opaque, rest) = inner.split_at_checked(end)?;
    let rest = rest.strip_prefix(b"\"")?;
    Some((ETag { weak, opaque }, rest))
}

/// `etagc`: what is printable but a quote, and any byte above ASCII.
const fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

fn skip(bytes: &[u8], what: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|&byte| !what(byte));
    start.and_then(|start| bytes.get(start..)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strong(opaque: &str) -> ETag<'_> {
        ETag::strong(opaque.as_bytes())
    }

    fn weak(opaque: &str) -> ETag<'_> {
        ETag {
            weak: true,
            ..strong(opaque)
        }
    }

    #[test]
    fn one_tag() {
        let check = |value: &str, expected| assert_eq!(ETag::parse(value.as_bytes()), expected);
        check("\"\"", Some(strong("")));
        check("\"a,b\\\"", Some(strong("a,b\\")));
        check("W/\"é\"", Some(weak("é")));
        for bad in [
            "", "a", "\"", "\"a", "a\"", "w/\"a\"", "W/a", "\"a b\"", "\"a\"b", " \"a\"",
            "\"\x7f\"",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn comparisons_are_those_of_the_table_in_the_rfc() {
        for (a, b, strongly, weakly) in [
            (weak("1"), weak("1"), false, true),
            (weak("1"), weak("2"), false, false),
            (weak("1"), strong("1"), false, true),
            (strong("1"), strong("1"), true, true),
        ] {
            assert_eq!((a.strong_eq(&b), a.weak_eq(&b)), (strongly, weakly));
            assert_eq!((b.strong_eq(&a), b.weak_eq(&a)), (strongly, weakly));
        }
    }

    #[test]
    fn lists_end_at_what_is_no_tag() {
        #[track_caller]
        fn check(value: &str, expected: &[ETag<'_>]) {
            let tags: Vec<_> = Tags::of(value.as_bytes()).collect();
            assert_eq!(tags, expected, "{value}");
        }
        check("", &[]);
        check("*", &[]);
        check("\"a\"", &[strong("a")]);
        check(
            " , \"a\" ,W/\"b,c\",\"\"\t,, ",
            &[strong("a"), weak("b,c"), strong("")],
        );
        check("\"a\", b, \"c\"", &[strong("a")]);
        check("\"a\" \"b\"", &[]);
        check("\"a\"\"b\"", &[]);
        check("\"a", &[]);
        assert!(Tags::of(b" * ").is_any());
        assert!(!Tags::of(b"\"*\"").is_any());
        assert!(!Tags::of(b"*, \"a\"").is_any());
    }
}
