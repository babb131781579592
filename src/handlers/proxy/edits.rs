//! Fields that a route sets, adds and removes, on the way out and on the way back.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::build::{ParseContext, Problem, Section};
use crate::exchange::{Escape, Exchange, Template};
use crate::http::h1::encode::write_field;
use crate::http::token::are_alike;
use crate::http::{HeaderName, Headers};

/// As written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    set: BTreeMap<Spanned<String>, Spanned<Template>>,
    add: BTreeMap<Spanned<String>, Spanned<Template>>,
    remove: Vec<Spanned<String>>,
}

/// What is done to the fields of a head. A value that comes out empty is no field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edits {
    /// Taken away whatever they hold: those removed and those set anew.
    taken: Box<[HeaderName]>,
    /// Put there, in this order.
    given: Box<[(HeaderName, Template)]>,
}

/// Fields that say how a message is framed and where it goes: they have keys of their own, or
/// are the proxy's.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl Written {
    /// Checks the names and the variables.
    pub(super) fn read(self, section: &Section<'_>, cx: &mut ParseContext<'_>) -> Edits {
        let mut taken = Vec::new();
        let mut given = Vec::new();
        for name in &self.remove {
            taken.extend(field(name, section, cx));
        }
        let set = self.set.iter().map(|entry| (true, entry));
        let add = self.add.iter().map(|entry| (false, entry));
        for (is_set, (name, value)) in set.chain(add) {
            let at = section.at(value.span());
            cx.captured(&at, &value.get_ref().captures());
            let Some(name) = field(name, section, cx) else {
                continue;
            };
            if is_set {
                taken.push(name.clone());
            }
            given.push((name, value.get_ref().clone()));
        }
        Edits {
            taken: taken.into(),
            given: given.into(),
        }
    }
}

fn field(
    name: &Spanned<String>,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<HeaderName> {
    let text = name.get_ref();
    let mut refuse = |message, hint: &str| {
        let problem = Problem::error("E0002", section.at(name.span()), message);
        cx.problems.push(problem.hint(hint));
    };
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(text)) {
        let message = format!("`{text}` is written by the proxy itself");
        refuse(
            message,
            "the keys `host` and `forwarded` say what may be said",
        );
        return None;
    }
    let known = HeaderName::from_bytes(text.as_bytes());
    if known.is_none() {
        let message = format!("{text:?} is not the name of a field");
        refuse(message, "letters, digits and dashes: \"X-Tenant\"");
    }
    known
}

impl Edits {
    /// Whether a field of this name goes no further.
    pub(super) fn takes(&self, field: &[u8]) -> bool {
        let is = |name: &HeaderName| are_alike(field, name.as_str().as_bytes());
        self.taken.iter().any(is)
    }

    /// Writes the fields that are given.
    pub(super) fn write(&self, out: &mut Vec<u8>, x: &Exchange<'_>) {
        self.each(x, |name, value| {
            write_field(out, name.as_str().as_bytes(), value);
        });
    }

    /// Edits the fields of an answer.
    pub(super) fn apply(&self, headers: &mut Headers, x: &Exchange<'_>) {
        for name in &self.taken {
            headers.remove(name);
        }
        self.each(x, |name, value| headers.append(name, value));
    }

    fn each(&self, x: &Exchange<'_>, mut give: impl FnMut(&HeaderName, &[u8])) {
        let mut value = Vec::new();
        for (name, template) in &self.given {
            value.clear();
            template.render(x, Escape::Field, &mut value);
            let value = value.trim_ascii();
            if !value.is_empty() {
                give(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    fn read(text: &str) -> (Edits, Vec<String>) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext {
            captures: Some(Vec::new()),
            ..ParseContext::default()
        };
        let written: Written = cx.settings(&section).unwrap_or_default();
        let edits = written.read(&section, &mut cx);
        let problems = cx.problems.into_iter().map(|problem| problem.message);
        (edits, problems.collect())
    }

    #[test]
    fn mistakes_are_told() {
        let (_, problems) = read(
            "set = { Host = 'a', 'a b' = 'c', X = '{path.y}' }\nremove = ['Content-Length', 'Ok']",
        );
        assert_eq!(
            problems,
            [
                "`Content-Length` is written by the proxy itself",
                "`Host` is written by the proxy itself",
                "the path of the route captures no `y`",
                "\"a b\" is not the name of a field",
            ]
        );
    }

    #[test]
    fn fields_are_set_added_and_removed() {
        let (edits, problems) = read(
            "set = { X-Ip = '{client.ip}', X-User = '{cookie.user}' }\n\
             add = { X-Tag = 'a' }\nremove = ['Server']",
        );
        assert_eq!(problems, [""; 0]);
        let mut request = TestRequest::get("/");
        let x = request.exchange();
        let mut headers = Headers::new();
        for (name, value) in [
            ("x-ip", "no"),
            ("X-User", "no"),
            ("X-Tag", "b"),
            ("server", "c"),
        ] {
            headers.append(&HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        edits.apply(&mut headers, &x);
        let fields: Vec<(&[u8], &[u8])> = headers.iter().collect();
        assert_eq!(
            fields,
            [
                (&b"X-Tag"[..], &b"b"[..]),
                (b"X-Ip", b"192.0.2.1"),
                (b"X-Tag", b"a"),
            ]
        );
        let mut out = Vec::new();
        edits.write(&mut out, &x);
        assert_eq!(out, b"X-Ip: 192.0.2.1\r\nX-Tag: a\r\n");
        assert!(edits.takes(b"x-user") && !edits.takes(b"X-Tag"));
    }
}
