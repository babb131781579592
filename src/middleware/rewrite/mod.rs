//! `rewrite`: another path and query for the handler, and through it for an upstream. The route
//! has been chosen already, and logs keep what the client wrote.

mod destination;
mod settings;

pub(super) use settings::KIND;

use destination::Destination;

use crate::build::Regex;
use crate::exchange::{Escape, Exchange, Flow, Middleware, Response, Template, Why, query};
use crate::http::path::strip_prefix;
use crate::http::target::Form;
use crate::http::{StatusCode, Target};

/// Changes what is asked for. In this order: the expression, the prefixes, the query.
#[derive(Debug, Clone)]
struct Rewrite {
    pattern: Option<(Regex, Destination)>,
    /// Starts with `/` and does not end with one, or is empty; so does the next.
    strip_prefix: Box<str>,
    add_prefix: Box<str>,
    query: QueryEdits,
}

/// What is done to the query: parameters removed, given where missing, set, added.
#[derive(Debug, Clone, Default)]
struct QueryEdits {
    remove: Box<[Removed]>,
    default: Box<[Parameter]>,
    set: Box<[Parameter]>,
    append: Box<[Parameter]>,
}

#[derive(Debug, Clone)]
enum Removed {
    Name(Box<str>),
    /// Every name that begins so.
    Prefix(Box<str>),
}

#[derive(Debug, Clone)]
struct Parameter {
    name: Box<str>,
    value: Template,
}

impl Middleware for Rewrite {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if !matches!(x.request.target.form(), Form::Origin | Form::Absolute) {
            return Flow::Continue;
        }
        let raw = self.rewritten(x);
        let target = &mut x.request.target;
        let changed = !is_written(target, &raw);
        if changed && (has_dot_segment(&raw) || target.rewrite(&raw).is_err()) {
            // A value of the client's made it into something that is no path.
            return Flow::Respond(Response::error(StatusCode::BAD_REQUEST, Why::BadTarget));
        }
        Flow::Continue
    }
}

impl Rewrite {
    /// The path and query to ask for.
    fn rewritten(&self, x: &Exchange<'_>) -> String {
        let target = &x.request.target;
        let mut path = Vec::from(target.upstream_path().as_bytes());
        let mut query = target.query().map(|query| Vec::from(query.as_bytes()));
        if let Some((regex, destination)) = &self.pattern {
            let mut groups = Vec::new();
            let matched = regex.capture(target.path(), |name, value| {
                groups.push((name, value.to_vec()));
            });
            if matched {
                destination.write(x, &groups, &mut path, &mut query);
            }
        }
        let mut path = String::from_utf8(path).unwrap_or_default();
        if !self.strip_prefix.is_empty()
            && let Some(rest) = strip_prefix(&path, &self.strip_prefix)
        {
            path = if rest.is_empty() { "/" } else { rest }.to_owned();
        }
        if !self.add_prefix.is_empty() {
            path.insert_str(0, &self.add_prefix);
        }
        let query = query.map(|query| String::from_utf8(query).unwrap_or_default());
        if let Some(query) = self.query.apply(x, query) {
            path.push('?');
            path.push_str(&query);
        }
        path
    }
}

impl QueryEdits {
    fn apply(&self, x: &Exchange<'_>, query: Option<String>) -> Option<String> {
        let all = [&self.default, &self.set, &self.append];
        if self.remove.is_empty() && all.iter().all(|list| list.is_empty()) {
            return query;
        }
        let before = query.unwrap_or_default();
        let has = |name: &str| query::values(&before, name).next().is_some();
        let mut after: Vec<u8> = Vec::new();
        for pair in before.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let name: Vec<u8> = query::decoded(name).collect();
            let gone = self.remove.iter().any(|removed| removed.covers(&name))
                || self.set.iter().any(|set| set.name.as_bytes() == name);
            if !gone {
                separate(&mut after);
                after.extend_from_slice(pair.as_bytes());
            }
        }
        let missing = self.default.iter().filter(|one| !has(&one.name));
        for parameter in missing.chain(&self.set).chain(&self.append) {
            separate(&mut after);
            Escape::UriComponent.write(parameter.name.as_bytes(), &mut after);
            after.push(b'=');
            parameter.value.render(x, Escape::UriComponent, &mut after);
        }
        let after = String::from_utf8(after).unwrap_or_default();
        (!after.is_empty()).then_some(after)
    }
}

impl Removed {
    fn covers(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(own) => own.as_bytes() == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
        }
    }
}

fn separate(query: &mut Vec<u8>) {
    if !query.is_empty() {
        query.push(b'&');
    }
}

/// Whether a target says this already.
fn is_written(target: &Target, raw: &str) -> bool {
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    target.raw_path() == path && target.query() == query
}

/// Whether a path has a `.` or `..` that would lead elsewhere.
fn has_dot_segment(raw: &str) -> bool {
    let path = raw.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests;
