//! Where each value of a configuration was set.

use std::collections::HashMap;

use super::sources::{Origin, Sources};
use crate::build::Span;

/// Where each value was set, by its path: `server.limits.body`. What is not in it is a default.
#[derive(Debug, Clone, Default)]
pub struct Provenance(HashMap<String, Span>);

impl Provenance {
    /// Remembers where a value was set.
    pub(super) fn set(&mut self, path: String, span: Span) {
        self.0.insert(path, span);
    }

    /// Where the value of this path was set; `None` for a default.
    pub(super) fn place(&self, path: &str) -> Option<&Span> {
        self.0.get(path)
    }

    /// `httpserver.toml:12`, `HTTPSERVER_LOG__LEVEL`, `--workers` or `default`.
    pub fn of(&self, path: &str, sources: &Sources) -> String {
        match self.0.get(path) {
            Some(span) => place(span, sources),
            None => "default".to_owned(),
        }
    }
}

/// The place of a value, in words: a file and a line, a variable, an option.
pub(super) fn place(span: &Span, sources: &Sources) -> String {
    let Some(source) = sources.get(span.file) else {
        return String::new();
    };
    if source.origin == Origin::File {
        return sources.place(span);
    }
    let line = source.text.get(..span.range.start).unwrap_or_default();
    let line = line.rsplit('\n').next().unwrap_or_default();
    line.trim_end_matches([' ', '=']).to_owned()
}
