//! Paths as they are written, percent-encoded.

use super::target::hex_byte;

/// What is behind a prefix that ends where a segment does; `prefix` has no slash at its end.
/// What is percent-encoded is compared decoded, as routes are found.
pub fn strip_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    if let Some(rest) = path.strip_prefix(prefix)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return Some(rest);
    }
    let mut rest = path;
    for wanted in prefix.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (segment, behind) = rest.split_at(end);
        if !decoded(segment).eq(decoded(wanted)) {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}

/// The bytes that a part of a path stands for.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        if let [b'%', high, low, behind @ ..] = rest
            && let Some(byte) = hex_byte([*high, *low])
        {
            rest = behind;
            return Some(byte);
        }
        let (first, behind) = rest.split_first()?;
        rest = behind;
        Some(*first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_segments_do() {
        let check = |path, prefix, expected| assert_eq!(strip_prefix(path, prefix), expected);
        check("/api/x", "/api", Some("/x"));
        check("/api", "/api", Some(""));
        check("/apix", "/api", None);
        check("/%61pi/%78", "/api", Some("/%78"));
        check("/api/x", "/%61%70i", Some("/x"));
        check("/a%2Fb/x", "/a/b", None);
        check("/x", "", Some("/x"));
        check("/a%", "/a%", Some(""));
    }
}
