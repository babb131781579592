//! What a route may ask of the fields and of the query of a request.

use smallvec::SmallVec;

use super::pattern::PatternError;
use crate::build::{Regex, UnitError};
use crate::exchange::query;
use crate::http::{HeaderName, Headers};

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// There, whatever it is.
    Present,
    /// Exactly this.
    Exact(Box<[u8]>),
    /// Matched by this, anchored only where it says so.
    Regex(Regex),
}

impl Test {
    /// The value must be this one.
    pub fn exact(value: &str) -> Self {
        Self::Exact(value.as_bytes().into())
    }

    /// The value must match this expression.
    ///
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        let regex = text.parse().map_err(|error: UnitError| {
            let words = error.to_string();
            let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
            PatternError::new(message, hint)
        })?;
        Ok(Self::Regex(regex))
    }
}

/// A field that must be there, in one line at least of which the value passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch {
    /// The name of the field.
    pub name: HeaderName,
    /// What its value must be.
    pub test: Test,
}

impl FieldMatch {
    /// Whether these fields pass.
    pub fn matches(&self, headers: &Headers) -> bool {
        headers.get_all(&self.name).any(|value| match &self.test {
            Test::Present => true,
            Test::Exact(expected) => *value == **expected,
            Test::Regex(regex) => regex.is_match(value),
        })
    }
}

/// A parameter of the query (`?name=value&…`), one at least of whose values passes.
///
/// Names and values are compared decoded, with `+` as a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// The name of the parameter.
    pub name: Box<str>,
    /// What its value must be. A parameter without `=` has an empty value.
    pub test: Test,
}

impl QueryMatch {
    /// Whether this query, given without its `?`, passes.
    pub fn matches(&self, query: Option<&str>) -> bool {
        query::values(query.unwrap_or_default(), &self.name).any(|value| match &self.test {
            Test::Present => true,
            Test::Exact(expected) => query::decoded(value).eq(expected.iter().copied()),
            Test::Regex(regex) => {
                let value: SmallVec<[u8; 128]> = query::decoded(value).collect();
                regex.is_match(&value)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::name::{ACCEPT, COOKIE};

    #[track_caller]
    fn check_field(test: Test, expected: bool) {
        let mut headers = Headers::new();
        headers.append(&ACCEPT, "text/html");
        headers.append(&ACCEPT, "text/plain");
        let field = FieldMatch { name: ACCEPT, test };
        assert_eq!(field.matches(&headers), expected);
        let elsewhere = FieldMatch {
            name: COOKIE,
            ..field
        };
        assert!(!elsewhere.matches(&headers));
    }

    #[test]
    fn fields() {
        check_field(Test::Present, true);
        check_field(Test::exact("text/plain"), true);
        check_field(Test::exact("Text/plain"), false);
        check_field(Test::regex("^text/p").unwrap(), true);
        check_field(Test::regex("^json").unwrap(), false);
    }

    #[track_caller]
    fn check_query(query: &str, name: &str, test: Test, expected: bool) {
        let name = name.into();
        let found = QueryMatch { name, test }.matches(Some(query));
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn queries() {
        check_query("a=1&b=2", "b", Test::Present, true);
        check_query("a=1&b", "b", Test::Present, true);
        check_query("a=1&bb=2", "b", Test::Present, false);
        check_query("a=1&a=2", "a", Test::exact("2"), true);
        check_query("a", "a", Test::exact(""), true);
        check_query("%61=x+y%2Bz", "a", Test::exact("x y+z"), true);
        check_query("a=%", "a", Test::exact("%"), true);
        check_query("a=%+1", "a", Test::exact("% 1"), true);
        check_query("a=%zz", "a", Test::exact("%zz"), true);
        check_query("a=b=c", "a", Test::exact("b=c"), true);
        check_query("n=12", "n", Test::regex("^[0-9]+$").unwrap(), true);
        check_query("n=1%32x", "n", Test::regex("^[0-9]+$").unwrap(), false);
        let none = QueryMatch {
            name: "a".into(),
            test: Test::Present,
        };
        assert!(!none.matches(None));
    }

    #[test]
    fn a_broken_expression_is_an_error() {
        let error = Test::regex("(").unwrap_err();
        assert!(error.message.contains("unclosed group"));
        assert!(!error.hint.is_empty());
    }
}
