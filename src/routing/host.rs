//! Which hosts a route answers for.

use std::fmt;
use std::net::Ipv6Addr;

use super::pattern::PatternError;

/// A pattern of hosts. Compared without case; a dot behind the host and its port do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host, in lower case.
    Exact(Box<str>),
    /// `*.example.com`: every host below this one at any depth, not this one itself. Holds
    /// `example.com`, in lower case.
    Wildcard(Box<str>),
    /// Every host, also none.
    Any,
}

/// The longest name DNS can carry (RFC 1035 §2.3.4).
pub(super) const HOST_BYTES_MAX: usize = 255;

impl HostPattern {
    /// Reads `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]` or `*`.
    ///
    /// # Errors
    /// It is none of these, with the way out.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(address) = text.strip_prefix('[') {
            return parse_ipv6(text, address);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(below) => (true, below),
            None => (false, text),
        };
        check_name(text, name)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = name.to_ascii_lowercase().into_boxed_str();
        Ok(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }

    /// Whether it answers for this host, given without port.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(own) => host.eq_ignore_ascii_case(own),
            Self::Wildcard(below) => {
                let dot_at = host.len().checked_sub(below.len().saturating_add(1));
                dot_at.is_some_and(|dot_at| {
                    let tail = host.as_bytes().get(dot_at..).unwrap_or_default();
                    dot_at > 0
                        && tail.first() == Some(&b'.')
                        && tail
                            .get(1..)
                            .is_some_and(|tail| tail.eq_ignore_ascii_case(below.as_bytes()))
                })
            }
            Self::Any => true,
        }
    }
}

fn parse_ipv6(text: &str, address: &str) -> Result<HostPattern, PatternError> {
    let Some((address, "")) = address.split_once(']') else {
        return Err(PatternError::new(
            format!("`{text}` is not a host"),
            "an IPv6 address stands in brackets, without a port: \"[2001:db8::1]\"",
        ));
    };
    let address: Ipv6Addr = address.parse().map_err(|_| {
        PatternError::new(
            format!("`{address}` is not an IPv6 address"),
            "write it like \"[2001:db8::1]\"",
        )
    })?;
    Ok(HostPattern::Exact(format!("[{address}]").into()))
}

fn check_name(text: &str, name: &str) -> Result<(), PatternError> {
    let refuse = |message: String, hint: &str| Err(PatternError::new(message, hint));
    if name.contains("://") || name.contains('/') {
        return refuse(
            format!("`{text}` is not a host"),
            "write the host alone; what follows it belongs into `path`",
        );
    }
    if name.contains(':') {
        return refuse(
            format!("`{text}` has a port: hosts are compared without"),
            "leave the port out; to serve one port only, name its `listener`",
        );
    }
    if name.contains('*') {
        return refuse(
            format!("`{text}` has a `*` where none can stand"),
            "a `*` stands for all labels on the left: \"*.example.com\", or alone for every host",
        );
    }
    if !name.is_ascii() {
        return refuse(
            format!("`{text}` is not written as it comes in a request"),
            "write the name as DNS has it, beginning with `xn--`",
        );
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.len() > HOST_BYTES_MAX || bare.split('.').any(|label| !is_label(label)) {
        return refuse(
            format!("`{text}` is not a host"),
            "write it like \"example.com\" or \"*.example.com\"",
        );
    }
    Ok(())
}

/// Letters, digits, `-` and `_`: more than host names may have, all that is seen in them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(below) => write!(f, "*.{below}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, host: &str, expected: bool) {
        let parsed = HostPattern::parse(pattern).unwrap();
        assert_eq!(parsed.matches(host), expected, "{pattern} on {host}");
    }

    #[track_caller]
    fn check_error(pattern: &str, message: &str) {
        let error = HostPattern::parse(pattern).unwrap_err();
        assert!(error.message.contains(message), "{error}");
        assert!(!error.hint.is_empty());
    }

    #[test]
    fn exact() {
        check("example.com", "example.com", true);
        check("Example.com.", "eXample.COM", true);
        check("example.com", "example.com.", true);
        check("example.com", "www.example.com", false);
        check("example.com", "", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("[2001:DB8:0::1]", "[2001:db8::1]", true);
        check("_dmarc.a-b.example", "_dmarc.a-b.example", true);
    }

    #[test]
    fn wildcard() {
        check("*.example.com", "a.example.com", true);
        check("*.EXAMPLE.com", "a.B.Example.com.", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "badexample.com", false);
        check("*.example.com", "com", false);
        check("*.b\u{2d}c", "é.b-c", true);
        check("*", "", true);
        check("*", "anything", true);
    }

    #[test]
    fn mistakes() {
        check_error("", "is not a host");
        check_error("a..b", "is not a host");
        check_error("a b", "is not a host");
        check_error("*.", "is not a host");
        check_error("example.com:8080", "has a port");
        check_error("http://example.com", "is not a host");
        check_error("example.com/a", "is not a host");
        check_error("www.*.com", "`*` where none can stand");
        check_error("*example.com", "`*` where none can stand");
        check_error("bücher.example", "not written as it comes");
        check_error("[::1]:80", "is not a host");
        check_error("[::g]", "is not an IPv6 address");
        check_error(&"a.".repeat(200), "is not a host");
    }

    #[test]
    fn shown_as_understood() {
        for text in ["example.com", "*.example.com", "*", "[::1]"] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), text);
        }
    }
}
