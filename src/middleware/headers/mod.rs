//! `headers`: changes fields of the request before the handler sees it, and of the response
//! before the client does.

mod settings;

use smallvec::SmallVec;

pub(super) use settings::KIND;

use super::told::take_away;
use crate::build::Statuses;
use crate::exchange::{Escape, Exchange, Flow, Middleware, Outcome, Response, Template};
use crate::http::{HeaderName, Headers};

/// Changes fields.
#[derive(Debug, Clone)]
struct EditHeaders {
    request: Edits,
    response: Edits,
    /// Which responses; empty for all.
    statuses: Box<[Statuses]>,
}

/// What is done to fields, in this order: removed, given where there is none, set, added to.
#[derive(Debug, Clone, Default)]
struct Edits {
    remove: Box<[Removed]>,
    default: Box<[Field]>,
    set: Box<[Field]>,
    append: Box<[Field]>,
    /// Whether any value has variables.
    has_variables: bool,
}

#[derive(Debug, Clone)]
enum Removed {
    Name(HeaderName),
    /// Every name that begins so.
    Prefix(Box<str>),
}

/// A field with its values, one a line.
#[derive(Debug, Clone)]
struct Field {
    name: HeaderName,
    values: Box<[Value]>,
}

#[derive(Debug, Clone)]
enum Value {
    Fixed(Box<[u8]>),
    /// One that comes out empty is no field at all.
    Made(Template),
}

impl Middleware for EditHeaders {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if !self.request.is_empty() {
            let made = self.request.make(x, None);
            self.request.apply(&mut x.request.headers, made);
        }
        Flow::Continue
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let concerned = self.statuses.is_empty()
            || self
                .statuses
                .iter()
                .any(|statuses| statuses.contains(response.status));
        if !concerned || self.response.is_empty() {
            return;
        }
        let made = if self.response.has_variables {
            let outcome = Outcome::so_far(x, response);
            self.response.make(x, Some(&outcome))
        } else {
            Made::new()
        };
        self.response.apply(&mut response.headers, made);
    }
}

/// The values that had to be made, in the order in which they are used.
type Made = SmallVec<[Vec<u8>; 4]>;

impl Edits {
    fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.default.is_empty()
            && self.set.is_empty()
            && self.append.is_empty()
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.default.iter().chain(&self.set).chain(&self.append)
    }

    /// Makes all values before any field is changed: they may name the fields that change.
    fn make(&self, x: &Exchange<'_>, outcome: Option<&Outcome>) -> Made {
        let mut made = Made::new();
        if !self.has_variables {
            return made;
        }
        for value in self.fields().flat_map(|field| &*field.values) {
            if let Value::Made(template) = value {
                let mut text = Vec::new();
                template.render_at(x, outcome, Escape::Field, &mut text);
                made.push(text);
            }
        }
        made
    }

    fn apply(&self, headers: &mut Headers, made: Made) {
        let mut made = made.into_iter();
        for removed in &self.remove {
            match removed {
                Removed::Name(name) => drop(headers.remove(name)),
                Removed::Prefix(prefix) => headers.retain(|name, _| {
                    let start = name.get(..prefix.len()).unwrap_or_default();
                    !start.eq_ignore_ascii_case(prefix.as_bytes())
                }),
            }
        }
        for field in &self.default {
            let wanted = !headers.contains(&field.name);
            field.add(headers, &mut made, wanted);
        }
        for field in &self.set {
            // Also where the new value comes out empty: what a client sent must not pass for it.
            take_away(headers, &field.name);
            field.add(headers, &mut made, true);
        }
        for field in &self.append {
            field.add(headers, &mut made, true);
        }
    }
}

impl Field {
    /// Appends the values that are not empty, if `wanted`.
    fn add(&self, headers: &mut Headers, made: &mut impl Iterator<Item = Vec<u8>>, wanted: bool) {
        for value in &self.values {
            let text;
            let bytes = match value {
                Value::Fixed(bytes) => &**bytes,
                Value::Made(_) => {
                    text = made.next().unwrap_or_default();
                    text.as_slice()
                }
            };
            if wanted && !bytes.is_empty() {
                headers.append(&self.name, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests;
