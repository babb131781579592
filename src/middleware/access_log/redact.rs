//! What must not stand in a log: the values of secret fields, parameters and cookies.

use std::sync::Arc;

use crate::exchange::{Escape, Facts, Variable, query};
use crate::http::{HeaderName, name};

/// What stands in place of a secret.
const REDACTED: &[u8] = b"REDACTED";

/// Which values are secrets. Parameters of the query that a middleware has found to be one
/// (a token, a key) are redacted wherever this is.
#[derive(Debug, Clone, Default)]
pub(super) struct Redaction {
    pub(super) headers: Box<[HeaderName]>,
    pub(super) query: Box<[Box<str>]>,
    pub(super) cookies: Box<[Box<str>]>,
}

/// The redaction of one line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redact<'r> {
    redaction: &'r Redaction,
    found: &'r [Arc<str>],
}

impl<'r> Redact<'r> {
    pub(super) fn new(redaction: &'r Redaction, facts: Option<&'r Facts>) -> Self {
        Self {
            redaction,
            found: facts.map_or(&[], |facts| &facts.secret_parameters),
        }
    }

    /// Appends a URI, or a reference to one, as it may be shown.
    pub(super) fn uri(self, uri: &[u8], escape: Escape, out: &mut Vec<u8>) {
        let mark = self
            .hides_parameters()
            .then(|| memchr::memchr(b'?', uri))
            .flatten();
        match mark.and_then(|mark| uri.split_at_checked(mark.saturating_add(1))) {
            None => escape.write(uri, out),
            Some((path, query)) => {
                escape.write(path, out);
                self.query(query, escape, out);
            }
        }
    }

    /// Appends a query as it may be shown.
    fn query(self, query: &[u8], escape: Escape, out: &mut Vec<u8>) {
        if !self.hides_parameters() {
            escape.write(query, out);
            return;
        }
        for (at, pair) in query.split(|&byte| byte == b'&').enumerate() {
            if at > 0 {
                out.push(b'&');
            }
            let end = pair.iter().position(|&byte| byte == b'=');
            let name = pair.get(..end.unwrap_or(pair.len())).unwrap_or_default();
            if end.is_some() && self.is_secret_parameter(&String::from_utf8_lossy(name)) {
                escape.write(name, out);
                out.push(b'=');
                out.extend_from_slice(REDACTED);
            } else {
                escape.write(pair, out);
            }
        }
    }

    /// Appends the value of a field as it may be shown.
    pub(super) fn field(self, field: &[u8], value: &[u8], escape: Escape, out: &mut Vec<u8>) {
        let is = |name: &HeaderName| field.eq_ignore_ascii_case(name.as_str().as_bytes());
        if self.redaction.headers.iter().any(is) {
            out.extend_from_slice(REDACTED);
        } else if is(&name::REFERER) || is(&name::LOCATION) || is(&name::CONTENT_LOCATION) {
            self.uri(value, escape, out);
        } else if is(&name::COOKIE) {
            self.cookies(value, b"; ", usize::MAX, escape, out);
        } else if is(&name::SET_COOKIE) {
            // Behind its name and value stand its attributes.
            self.cookies(value, b"; ", 1, escape, out);
        } else {
            escape.write(value, out);
        }
    }

    /// Appends pairs of which the first so many are cookies.
    fn cookies(
        self,
        value: &[u8],
        separator: &[u8],
        count: usize,
        escape: Escape,
        out: &mut Vec<u8>,
    ) {
        if self.redaction.cookies.is_empty() {
            escape.write(value, out);
            return;
        }
        for (at, pair) in value.split(|&byte| byte == b';').enumerate() {
            if at > 0 {
                out.extend_from_slice(separator);
            }
            let pair = pair.trim_ascii();
            let end = pair.iter().position(|&byte| byte == b'=');
            let name = pair.get(..end.unwrap_or(0)).unwrap_or_default();
            let mut cookies = self.redaction.cookies.iter();
            if at < count && cookies.any(|known| known.as_bytes() == name) {
                escape.write(name, out);
                out.push(b'=');
                out.extend_from_slice(REDACTED);
            } else {
                escape.write(pair, out);
            }
        }
    }

    /// Appends the value of a variable as it may be shown.
    pub(super) fn variable(
        self,
        variable: &Variable,
        value: &[u8],
        escape: Escape,
        out: &mut Vec<u8>,
    ) {
        let hidden = match variable {
            Variable::RequestUri => return self.uri(value, escape, out),
            Variable::RequestQuery => return self.query(value, escape, out),
            Variable::Header(name) => {
                return self.field(name.as_str().as_bytes(), value, escape, out);
            }
            Variable::Query(name) => self.hides_parameters() && self.is_secret_parameter(name),
            Variable::Cookie(name) => self.redaction.cookies.contains(name),
            _ => false,
        };
        if hidden {
            out.extend_from_slice(REDACTED);
        } else {
            escape.write(value, out);
        }
    }

    fn hides_parameters(self) -> bool {
        !self.redaction.query.is_empty() || !self.found.is_empty()
    }

    /// Names are compared decoded, as who reads them does, and without case, to be safe.
    fn is_secret_parameter(self, name: &str) -> bool {
        let configured = self.redaction.query.iter().map(|secret| &**secret);
        let found = self.found.iter().map(|secret| &**secret);
        configured.chain(found).any(|secret| {
            let lower = |byte: u8| byte.to_ascii_lowercase();
            query::decoded(name)
                .map(lower)
                .eq(secret.bytes().map(lower))
        })
    }
}

/// The fields whose values are secrets if nothing else is said.
pub(super) const HEADERS: [HeaderName; 4] = [
    name::AUTHORIZATION,
    name::PROXY_AUTHORIZATION,
    name::COOKIE,
    name::SET_COOKIE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        Redaction {
            headers: Box::new([name::AUTHORIZATION]),
            query: Box::new(["token".into(), "a key".into()]),
            cookies: Box::new(["session".into()]),
        }
    }

    #[track_caller]
    fn check_uri(uri: &str, expected: &str) {
        let redaction = redaction();
        let mut out = Vec::new();
        Redact::new(&redaction, None).uri(uri.as_bytes(), Escape::Log, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn parameters() {
        check_uri("/a", "/a");
        check_uri("/token=x", "/token=x");
        check_uri("/a?token=x", "/a?token=REDACTED");
        check_uri("/a?b=1&token=x&c=2", "/a?b=1&token=REDACTED&c=2");
        check_uri("/a?TOKEN=x&&token", "/a?TOKEN=REDACTED&&token");
        check_uri("/a?t%6Fken=x", "/a?t%6Fken=REDACTED");
        check_uri("/a?a+key=x&tokens=y", "/a?a+key=REDACTED&tokens=y");
        check_uri("/a?token=x=y?z", "/a?token=REDACTED");
        check_uri("?token=\"", "?token=REDACTED");
    }

    #[test]
    fn a_parameter_that_a_middleware_found_to_be_a_secret() {
        let mut facts = Facts::default();
        facts.secret_parameters.push("k".into());
        let nothing = Redaction::default();
        let mut out = Vec::new();
        Redact::new(&nothing, Some(&facts)).uri(b"/a?k=1&l=2", Escape::Json, &mut out);
        assert_eq!(out, b"/a?k=REDACTED&l=2");
    }

    #[track_caller]
    fn check_field(field: &str, value: &str, expected: &str) {
        let redaction = redaction();
        let mut out = Vec::new();
        let redact = Redact::new(&redaction, None);
        redact.field(field.as_bytes(), value.as_bytes(), Escape::Log, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn fields() {
        check_field("authorization", "Bearer x", "REDACTED");
        check_field("X-Own", "Bearer x", "Bearer x");
        check_field("Referer", "http://h/?token=1", "http://h/?token=REDACTED");
        check_field("location", "/?token=1#x", "/?token=REDACTED");
        check_field(
            "Cookie",
            "a=1;session=2; sessions=3",
            "a=1; session=REDACTED; sessions=3",
        );
        check_field("Cookie", "session", "session");
        check_field(
            "Set-Cookie",
            "session=x; Path=/; session=y",
            "session=REDACTED; Path=/; session=y",
        );
    }
}
