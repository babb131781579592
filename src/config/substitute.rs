//! `${VAR}` and `${VAR:-default}` in strings.

use std::collections::{BTreeMap, HashSet};

use toml::Spanned;
use toml::de::DeValue;

use crate::build::context::nearest;
use crate::build::{Problem, Span};

/// The variables of the environment, taken once, so that a load sees one state of them.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process. What is not UTF-8 is left out.
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(utf8).collect())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }
}

/// A piece of a string that is being substituted.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Variable {
        name: &'t str,
        default: Option<&'t str>,
        /// All of it, `${` and `}` included.
        whole: &'t str,
    },
    /// `${` that never ends, or whose name is none.
    Broken(&'t str),
}

/// Splits a string into text and variables. `$${` stands for `${`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (before, from) = rest.split_at(dollar);
        if let Some(escaped) = before.strip_suffix('$') {
            pieces.push(Piece::Text(escaped));
            pieces.push(Piece::Text("${"));
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        pieces.push(Piece::Text(before));
        let Some(end) = from.find('}') else {
            pieces.push(Piece::Broken(from));
            return pieces;
        };
        let (whole, after) = from.split_at(end + 1);
        let inside = whole.get(2..end).unwrap_or_default();
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        pieces.push(if is_name {
            Piece::Variable {
                name,
                default,
                whole,
            }
        } else {
            Piece::Broken(whole)
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The string with its variables put in; those that are not set stay as they are.
pub(super) fn lenient(text: &str, environment: &Environment) -> String {
    let piece = |piece| match piece {
        Piece::Text(text) | Piece::Broken(text) => text,
        Piece::Variable {
            name,
            default,
            whole,
        } => environment.get(name).or(default).unwrap_or(whole),
    };
    pieces(text).into_iter().map(piece).collect()
}

/// The values of all strings that hold variables, kept for as long as the tables that use them.
#[derive(Debug, Default)]
pub struct Substituted {
    texts: Vec<String>,
    /// Where they stand.
    pub places: HashSet<Span>,
    /// Those of them that name a variable which is not set.
    unset: Vec<Span>,
}

impl Substituted {
    /// Works out every string of a table.
    pub fn collect(
        &mut self,
        file: usize,
        text: &str,
        value: &Spanned<DeValue<'_>>,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) {
        each_string(value, &mut |string, range| {
            let span = Span { file, range };
            self.texts.push(lenient(string, environment));
            let before = problems.len();
            for piece in pieces(string) {
                problems.extend(problem(&piece, &span, text, environment));
            }
            if problems.len() > before {
                self.unset.push(span.clone());
            }
            self.places.insert(span);
        });
    }

    /// Whether a problem stands in a string that names a variable which is not set: it would be
    /// another with the variable.
    pub fn explains(&self, problem: &Problem) -> bool {
        let holds = |unset: &Span, span: &Span| {
            unset.file == span.file
                && unset.range.start <= span.range.start
                && span.range.end <= unset.range.end
        };
        let span = problem.span.as_ref();
        span.is_some_and(|span| self.unset.iter().any(|unset| holds(unset, span)))
    }

    /// Puts the values in, in the order in which they were collected; `next` counts them.
    pub fn put_in<'t>(&'t self, value: &mut Spanned<DeValue<'t>>, next: &mut usize) {
        match value.get_mut() {
            DeValue::String(string) if string.contains("${") => {
                if let Some(text) = self.texts.get(*next) {
                    *string = text.as_str().into();
                }
                *next += 1;
            }
            DeValue::Array(items) => {
                for item in items.iter_mut() {
                    self.put_in(item, next);
                }
            }
            DeValue::Table(table) => {
                for (_, value) in table.iter_mut() {
                    self.put_in(value, next);
                }
            }
            _ => {}
        }
    }
}

fn each_string(value: &Spanned<DeValue<'_>>, visit: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    match value.get_ref() {
        DeValue::String(string) if string.contains("${") => visit(string, value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| each_string(item, visit)),
        DeValue::Table(table) => table.values().for_each(|value| each_string(value, visit)),
        _ => {}
    }
}

fn problem(
    piece: &Piece<'_>,
    span: &Span,
    text: &str,
    environment: &Environment,
) -> Option<Problem> {
    let (whole, name) = match piece {
        Piece::Text(_) => return None,
        Piece::Broken(whole) => (*whole, None),
        Piece::Variable {
            name,
            default,
            whole,
        } => {
            if default.is_some() || environment.get(name).is_some() {
                return None;
            }
            (*whole, Some(*name))
        }
    };
    // With escapes in the string the piece is not found as it is; then the whole string stands.
    let raw = text.get(span.range.clone()).unwrap_or_default();
    let span = match raw.find(whole) {
        Some(at) => Span {
            file: span.file,
            range: span.range.start + at..span.range.start + at + whole.len(),
        },
        None => span.clone(),
    };
    Some(match name {
        Some(name) => {
            let message = format!("the environment variable `{name}` is not set");
            let problem = Problem::error("E0007", span, message).label("not set");
            match nearest(name, environment.iter().map(|(name, _)| name)) {
                Some(near) => problem.hint(format!(
                    "did you mean ${{{near}}}? A default is written ${{{name}:-value}}"
                )),
                None => problem.hint(format!("a default is written ${{{name}:-value}}")),
            }
        }
        None => Problem::error("E0007", span, format!("`{whole}` is no variable"))
            .hint("write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let environment = Environment::from([("A", "1"), ("EMPTY", "")]);
        assert_eq!(lenient(text, &environment), expected);
    }

    #[test]
    fn variables_are_put_in() {
        check("plain", "plain");
        check("${A}", "1");
        check("x${A}y${A}", "x1y1");
        check("${EMPTY}", "");
        check("${EMPTY:-2}", "");
        check("${B:-2}", "2");
        check("${B:-}", "");
        check("${B}", "${B}");
        check("$${A}", "${A}");
        check("$A $ {A}", "$A $ {A}");
        check("${A", "${A");
        check("${1}", "${1}");
        check("${A}$", "1$");
    }
}
