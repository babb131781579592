//! Which origins are allowed.

use crate::build::Regex;

/// Which origins are allowed.
#[derive(Debug, Clone)]
pub(super) enum Origins {
    /// Every one.
    Any,
    /// Those that one of these covers.
    Listed {
        patterns: Box<[OriginPattern]>,
        expressions: Box<[Regex]>,
    },
}

/// One entry of `allow_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OriginPattern {
    /// `https://example.com`
    Exact(Box<str>),
    /// `https://*.example.com:8443`: every host below, at any depth.
    Below {
        /// `https://`
        scheme: Box<str>,
        /// `.example.com:8443`
        tail: Box<str>,
    },
}

/// Why an entry is none, and the way out.
pub(super) type Mistake = (String, &'static str);

impl Origins {
    pub(super) fn allow(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed {
                patterns,
                expressions,
            } => {
                patterns.iter().any(|pattern| pattern.covers(origin))
                    || expressions.iter().any(|regex| regex.is_match(origin))
            }
        }
    }
}

impl OriginPattern {
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let not_one = |hint| Err((format!("`{text}` is not an origin"), hint));
        if text == "null" {
            return Err((
                "the origin `null` could be anyone's: every sandboxed page has it".to_owned(),
                "leave it out",
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return not_one("write scheme and host: \"https://example.com\"");
        };
        if rest.contains(['/', '?', '#', '@']) {
            return not_one("an origin has no path: \"https://example.com\"");
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (rest, None),
        };
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return not_one("a port is a number up to 65535");
        }
        let below = host.strip_prefix("*.");
        let name = below.unwrap_or(host);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        let schemes = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(good) || !scheme.bytes().all(schemes) {
            return not_one(
                "write it like \"https://example.com\", or \"https://*.example.com\" for all \
                 hosts below",
            );
        }
        Ok(if below.is_some() {
            Self::Below {
                scheme: format!("{scheme}://").into(),
                tail: rest.trim_start_matches('*').into(),
            }
        } else {
            Self::Exact(text.into())
        })
    }

    fn covers(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(own) => origin.eq_ignore_ascii_case(own.as_bytes()),
            Self::Below { scheme, tail } => {
                let Some((given, rest)) = origin.split_at_checked(scheme.len()) else {
                    return false;
                };
                let Some(labels) = rest.len().checked_sub(tail.len()) else {
                    return false;
                };
                let (labels, end) = rest.split_at(labels);
                given.eq_ignore_ascii_case(scheme.as_bytes())
                    && end.eq_ignore_ascii_case(tail.as_bytes())
                    && !labels.is_empty()
                    && labels
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, origin: &str, expected: bool) {
        let pattern = OriginPattern::parse(pattern).unwrap();
        assert_eq!(pattern.covers(origin.as_bytes()), expected, "{origin}");
    }

    #[test]
    fn exact_and_below() {
        check("https://example.com", "https://example.com", true);
        check("https://example.com", "HTTPS://Example.com", true);
        check("https://example.com", "http://example.com", false);
        check("https://example.com", "https://example.com:8443", false);
        check("https://example.com", "https://example.com.evil", false);
        check("http://[::1]:80", "http://[::1]:80", true);
        check("https://*.example.com", "https://a.b.example.com", true);
        check("https://*.example.com", "https://example.com", false);
        check("https://*.example.com", "https://.example.com", false);
        check("https://*.example.com", "https://evilexample.com", false);
        check("https://*.example.com", "http://a.example.com", false);
        check("https://*.example.com", "https://a.example.com:81", false);
        check("https://*.example.com", "https://evil/.example.com", false);
        check("https://*.example.com", "https://", false);
        check("https://*.example.com", "", false);
        check("https://*.a.com:81", "https://x.a.com:81", true);
        check("https://*.a.com:81", "https://x.a.com", false);
    }

    #[track_caller]
    fn check_mistake(text: &str, expected: &str) {
        let (message, hint) = OriginPattern::parse(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(!hint.is_empty());
    }

    #[test]
    fn mistakes() {
        check_mistake("null", "could be anyone's");
        for text in [
            "example.com",
            "https://example.com/",
            "https://",
            "https://*.",
            "https://a.*.com",
            "https://u@example.com",
            "https://example.com:http",
            "https://ex ample.com",
            "ht tp://example.com",
        ] {
            check_mistake(text, "is not an origin");
        }
    }
}
