//! How a value is written so that it stays a value, whatever it holds.

use crate::http::target::{hex_byte, stays_encoded};

/// The place a value is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// Plain text: as it is.
    Plain,
    /// Within the quotes of a JSON string. What is not UTF-8 becomes U+FFFD.
    Json,
    /// Text or a quoted attribute of HTML.
    Html,
    /// A field value: control bytes become spaces.
    Field,
    /// The path of a URI: `/` stays, and so does what decoded paths hold encoded: `%2F` is a
    /// slash within a segment.
    UriPath,
    /// One segment of a path, or a name or value of a query.
    UriComponent,
    /// A line of a text log: quotes, backslashes and all that is not printable ASCII become
    /// `\xHH`.
    Log,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Escape {
    /// Appends the value, escaped.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(value),
            Self::Json => json(value, out),
            Self::Html => replace(value, out, |byte| match byte {
                b'&' => Some(b"&amp;"),
                b'<' => Some(b"&lt;"),
                b'>' => Some(b"&gt;"),
                b'"' => Some(b"&quot;"),
                b'\'' => Some(b"&#39;"),
                _ => None,
            }),
            Self::Field => replace(value, out, |byte| {
                (byte.is_ascii_control() && byte != b'\t').then_some(b" ")
            }),
            Self::UriPath => uri(value, out, true),
            Self::UriComponent => uri(value, out, false),
            Self::Log => log(value, out),
        }
    }
}

/// Copies runs of bytes that need nothing at once, and what `instead` gives for the others.
fn replace<'i>(value: &[u8], out: &mut Vec<u8>, instead: impl Fn(u8) -> Option<&'i [u8]>) {
    let mut clean = 0;
    for (at, &byte) in value.iter().enumerate() {
        if let Some(escaped) = instead(byte) {
            out.extend_from_slice(value.get(clean..at).unwrap_or_default());
            out.extend_from_slice(escaped);
            clean = at + 1;
        }
    }
    out.extend_from_slice(value.get(clean..).unwrap_or_default());
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    [digit(byte >> 4), digit(byte & 15)]
}

fn log(value: &[u8], out: &mut Vec<u8>) {
    let mut clean = 0;
    for (at, &byte) in value.iter().enumerate() {
        if !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\' {
            out.extend_from_slice(value.get(clean..at).unwrap_or_default());
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(byte));
            clean = at + 1;
        }
    }
    out.extend_from_slice(value.get(clean..).unwrap_or_default());
}

fn uri(value: &[u8], out: &mut Vec<u8>, is_path: bool) {
    let mut left = value;
    while let Some((&byte, tail)) = left.split_first() {
        left = tail;
        match byte {
            // Unreserved (RFC 3986 §2.3): never needs encoding, anywhere.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            // The rest of what a segment may hold (RFC 3986 §3.3).
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b';' | b'='
                if is_path =>
            {
                out.push(byte);
            }
            b'%' if is_path && is_kept_encoded(tail) => out.push(byte),
            _ => {
                out.push(b'%');
                out.extend_from_slice(&hex(byte));
            }
        }
    }
}

/// Whether the two digits behind a `%` are of a byte that decoded paths hold encoded.
fn is_kept_encoded(tail: &[u8]) -> bool {
    let byte = tail.first_chunk::<2>().and_then(|digits| hex_byte(*digits));
    byte.is_some_and(stays_encoded)
}

fn json(value: &[u8], out: &mut Vec<u8>) {
    // Most values need nothing done.
    if value
        .iter()
        .all(|&byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // Beside what JSON asks for: DEL and the C1 controls, which terminals obey, and
                // the two line ends that scripts see and JSON does not.
                '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}' => {
                    out.extend_from_slice(b"\\u");
                    let [_, _, high, low] = u32::from(c).to_be_bytes();
                    out.extend_from_slice(&hex(high));
                    out.extend_from_slice(&hex(low));
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(escape: Escape, value: impl AsRef<[u8]>, expected: &str) {
        let mut out = b">".to_vec();
        escape.write(value.as_ref(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!(">{expected}"));
    }

    #[test]
    fn plain() {
        check(Escape::Plain, "a\"<\n", "a\"<\n");
    }

    #[test]
    fn json_stays_json() {
        check(Escape::Json, "plain text, ~", "plain text, ~");
        check(Escape::Json, "a\"b\\c", "a\\\"b\\\\c");
        check(Escape::Json, "\0\x1F\n\r\t", "\\u0000\\u001F\\n\\r\\t");
        check(
            Escape::Json,
            "é\u{85}\u{2028}\x7F",
            "é\\u0085\\u2028\\u007F",
        );
        check(Escape::Json, b"a\xFFb", "a\u{FFFD}b");
        for byte in 0..=u8::MAX {
            let mut text = b"\"".to_vec();
            Escape::Json.write(&[b'a', byte, b'z'], &mut text);
            text.push(b'"');
            let value: String = serde_json::from_slice(&text).unwrap();
            let lossy = String::from_utf8_lossy(&[b'a', byte, b'z']).into_owned();
            assert_eq!(value, lossy);
        }
    }

    #[test]
    fn html_stays_text() {
        check(
            Escape::Html,
            "<b a='\"'>&é",
            "&lt;b a=&#39;&quot;&#39;&gt;&amp;é",
        );
    }

    #[test]
    fn a_field_stays_one() {
        check(
            Escape::Field,
            "a\r\nSet-Cookie: x\0\x7F\té",
            "a  Set-Cookie: x  \té",
        );
    }

    #[test]
    fn uris() {
        check(
            Escape::UriPath,
            "a/b c?d#e%f%2Fg",
            "a/b%20c%3Fd%23e%25f%2Fg",
        );
        check(Escape::UriPath, "é\\\r\n", "%C3%A9%5C%0D%0A");
        check(
            Escape::UriPath,
            "%2f%5c%0a%7F%41%2",
            "%2f%5c%0a%7F%2541%252",
        );
        check(Escape::UriPath, "a:b@c&d=e;f", "a:b@c&d=e;f");
        check(
            Escape::UriComponent,
            "a/b&c=d+e%2F~",
            "a%2Fb%26c%3Dd%2Be%252F~",
        );
    }

    #[test]
    fn a_log_line_stays_one() {
        check(
            Escape::Log,
            "a\"b\\c\n\x1B[1m",
            "a\\x22b\\x5Cc\\x0A\\x1B[1m",
        );
        check(Escape::Log, "é", "\\xC3\\xA9");
    }
}
