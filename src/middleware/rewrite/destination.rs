//! Where an expression leads: a path with the values of its groups, and perhaps a query.

use crate::exchange::template::TemplateError;
use crate::exchange::{Escape, Exchange, Template, Variable};

/// A path and a query, each in pieces.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    path: Box<[Piece]>,
    query: Option<Box<[Piece]>>,
    /// Whether the query of the request goes along.
    keep_query: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Template(Template),
    /// What a named group of the expression has matched.
    Group(Box<str>),
}

impl Destination {
    /// Reads `/new/{rest}?id={id}`, where `groups` are the names that the expression captures.
    ///
    /// # Errors
    /// What is wrong, and the way out behind a line break.
    pub(super) fn parse(text: &str, groups: &[&str], keep_query: bool) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!(
                "`{text}` is not a path\nstart it with `/`; another host is a matter of `redirect`"
            ));
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(format!(
                "`{text}` leads up\nwrite the path that is meant, without `.` and `..`"
            ));
        }
        if path.contains("{{") || path.contains("}}") {
            return Err(String::from(
                "a path cannot hold a brace\nwrite it percent-encoded: `%7B` and `%7D`",
            ));
        }
        let is_uri = |byte: u8| byte.is_ascii_graphic() && !b"#<>\"\\^`|".contains(&byte);
        if let Some(bad) = text.chars().find(|c| !c.is_ascii() || !is_uri(*c as u8)) {
            return Err(format!(
                "a path cannot hold {bad:?}\nwrite it percent-encoded: `%20` is a space"
            ));
        }
        Ok(Self {
            path: pieces(path, groups)?,
            query: query.map(|query| pieces(query, groups)).transpose()?,
            keep_query,
        })
    }

    /// Puts this in place of a path and a query.
    pub(super) fn write(
        &self,
        x: &Exchange<'_>,
        groups: &[(&str, Vec<u8>)],
        path: &mut Vec<u8>,
        query: &mut Option<Vec<u8>>,
    ) {
        path.clear();
        render(&self.path, x, groups, Escape::UriPath, path);
        let own = self.query.as_ref().map(|pieces| {
            let mut own = Vec::new();
            render(pieces, x, groups, Escape::UriComponent, &mut own);
            own
        });
        let kept = query.take().filter(|_| self.keep_query);
        *query = match (own, kept) {
            (Some(own), Some(kept)) => Some([own, kept].join(&b'&')),
            (own, kept) => own.or(kept),
        };
    }
}

/// What a group has matched is a part of a path; what is said elsewhere is one segment at most.
fn render(
    pieces: &[Piece],
    x: &Exchange<'_>,
    groups: &[(&str, Vec<u8>)],
    escape: Escape,
    out: &mut Vec<u8>,
) {
    for piece in pieces {
        match piece {
            Piece::Template(template) => template.render(x, Escape::UriComponent, out),
            Piece::Group(name) => {
                let group = groups.iter().find(|(known, _)| **known == **name);
                if let Some((_, value)) = group {
                    escape.write(value, out);
                }
            }
        }
    }
}

fn pieces(text: &str, groups: &[&str]) -> Result<Box<[Piece]>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, found) = rest.split_at(at);
        plain.push_str(before);
        let name = found.get(1..).and_then(|inner| inner.split('}').next());
        let group = name.filter(|name| groups.contains(name));
        let taken = match group {
            Some(name) => {
                pieces.push(template(&std::mem::take(&mut plain), groups)?);
                pieces.push(Piece::Group(name.into()));
                name.len() + 2
            }
            None if found.starts_with("{{") => 2,
            None => 1,
        };
        let (taken, behind) = found.split_at(taken.min(found.len()));
        if group.is_none() {
            plain.push_str(taken);
        }
        rest = behind;
    }
    plain.push_str(rest);
    pieces.push(template(&plain, groups)?);
    Ok(pieces.into())
}

fn template(text: &str, groups: &[&str]) -> Result<Piece, String> {
    let template: Template =
        text.parse()
            .map_err(|error: TemplateError| match error.to_string() {
                words if words.starts_with("there is no variable") && !groups.is_empty() => {
                    let (message, _) = words.split_once('\n').unwrap_or((&words, ""));
                    format!("{message}\nthe expression captures {}", groups.join(", "))
                }
                words => words,
            })?;
    let whole = template
        .variables()
        .any(|variable| matches!(variable, Variable::RequestUri | Variable::RequestQuery));
    if whole {
        return Err(
            "the whole target or query cannot stand within another\nthe query goes along anyway"
                .to_owned(),
        );
    }
    Ok(Piece::Template(template))
}
