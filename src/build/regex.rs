//! Regular expressions, as settings write them: bounded in size, and linear in time on any input.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

use super::from_text::{FromText, UnitError};

/// How many bytes a compiled expression may take. `[a-z]{1,1000}` needs a fifth of it; what
/// needs more is a list that wants to be written as routes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How many bytes the lazily built automaton of one worker may take before it starts anew.
const CACHE_BYTES_MAX: usize = 1 << 18;

/// A regular expression over bytes, anchored only where it says so.
///
/// A clone has a cache of its own: threads that each match with their own clone never wait for
/// one another.
#[derive(Clone)]
pub struct Regex(regex::bytes::Regex);

impl Regex {
    /// Whether the expression matches somewhere in these bytes.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The names of its groups, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }

    /// Hands each named group that took part in the first match to `found`; whether there was
    /// a match.
    pub fn capture<'r>(&'r self, bytes: &[u8], mut found: impl FnMut(&'r str, &[u8])) -> bool {
        let Some(captures) = self.0.captures(bytes) else {
            return false;
        };
        for (name, group) in self.0.capture_names().zip(captures.iter()) {
            if let (Some(name), Some(group)) = (name, group) {
                found(name, group.as_bytes());
            }
        }
        true
    }
}

impl FromStr for Regex {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let compiled = regex::bytes::RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build();
        compiled.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => UnitError::new(
                format!("the regular expression `{text}` is too large"),
                "compiled it would take more than 1 MiB: repeat less, or split it",
            ),
            other => {
                // The crate draws a picture of several lines; its last line says what is wrong.
                let picture = other.to_string();
                let reason = picture.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                UnitError::new(
                    format!("`{text}` is not a regular expression: {reason}"),
                    "the syntax is that of https://docs.rs/regex, without back-references \
                     and look-around",
                )
            }
        })
    }
}

impl<'de> Deserialize<'de> for Regex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText {
            expecting: "a regular expression",
            integer: |number| number.to_string().parse(),
        })
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({})", self.as_str())
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = text.parse::<Regex>().unwrap_err().to_string();
        assert_eq!(error.lines().next(), Some(expected));
    }

    #[test]
    fn mistakes_are_told_in_a_line() {
        check_error("a(b", "`a(b` is not a regular expression: unclosed group");
        check_error(
            "a{1000}{1000}",
            "the regular expression `a{1000}{1000}` is too large",
        );
        check_error(
            r"(a)\1",
            r"`(a)\1` is not a regular expression: backreferences are not supported",
        );
    }

    #[test]
    fn named_groups_are_captured_and_others_are_not() {
        let regex: Regex = "^/v(?<version>[0-9]+)/(x)?(?<rest>y)?".parse().unwrap();
        let mut found = Vec::new();
        assert!(regex.capture(b"/v12/x", |name, value| {
            found.push((name.to_owned(), value.to_vec()));
        }));
        assert_eq!(found, [("version".to_owned(), b"12".to_vec())]);
        assert_eq!(regex.names().collect::<Vec<_>>(), ["version", "rest"]);
        assert!(!regex.capture(b"/w", |_, _| {}));
        assert_eq!(regex, regex.clone());
    }
}
