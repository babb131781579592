//! A TOML table that knows where it stood.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::{ParseContext, Problem, Span};

/// A TOML table of a configuration, with the place of every key and value.
#[derive(Clone)]
pub struct Section<'t> {
    file: usize,
    table: Spanned<DeValue<'t>>,
}

/// How many mistakes one section may report: each is found by taking the one before away.
const MISTAKES_MAX: usize = 32;

impl<'t> Section<'t> {
    /// A table of file number `file`.
    pub const fn new(file: usize, table: Spanned<DeValue<'t>>) -> Self {
        Self { file, table }
    }

    /// Reads a table from text of its own: examples and tests.
    pub fn from_text(text: &'t str) -> Result<Self, String> {
        let table = toml::de::DeTable::parse(text).map_err(|error| error.to_string())?;
        let span = table.span();
        Ok(Self::new(
            0,
            Spanned::new(span, DeValue::Table(table.into_inner())),
        ))
    }

    /// Where the table stands.
    pub fn span(&self) -> Span {
        self.at(self.table.span())
    }

    /// A place within the file of this table.
    pub fn at(&self, range: Range<usize>) -> Span {
        Span {
            file: self.file,
            range,
        }
    }

    /// The table itself.
    pub const fn value(&self) -> &Spanned<DeValue<'t>> {
        &self.table
    }
}

impl ParseContext<'_> {
    /// Reads the settings of a section. Every mistake is reported, not just the first: what is
    /// wrong is taken out and the rest read again.
    pub fn settings<S: DeserializeOwned>(&mut self, section: &Section<'_>) -> Option<S> {
        let mut table = section.table.clone();
        let before = self.problems.len();
        for _ in 0..MISTAKES_MAX {
            match S::deserialize(ValueDeserializer::from(table.clone())) {
                Ok(settings) => return (self.problems.len() == before).then_some(settings),
                Err(error) => {
                    let range = error.span().unwrap_or_else(|| section.table.span());
                    let problem =
                        Problem::error("E0001", section.at(range.clone()), error.message());
                    self.problems.push(problem);
                    if !take_out(&mut table, &range) {
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// Takes the innermost entry that holds this place out of the table; whether there was one.
fn take_out(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> bool {
    let DeValue::Table(table) = value.get_mut() else {
        return false;
    };
    let holds = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
    let found = table
        .iter()
        .find(|(key, value)| holds(key.span()) || holds(value.span()))
        .map(|(key, _)| key.get_ref().to_string());
    let Some(key) = found else { return false };
    let inner = table.get_mut(key.as_str());
    if inner.is_some_and(|inner| take_out(inner, place)) {
        return true;
    }
    table.remove(key.as_str()).is_some()
}

impl PartialEq for Section<'_> {
    /// Equal in what is written, wherever it stands.
    fn eq(&self, other: &Self) -> bool {
        same(self.table.get_ref(), other.table.get_ref())
    }
}

fn same(a: &DeValue<'_>, b: &DeValue<'_>) -> bool {
    match (a, b) {
        (DeValue::Table(a), DeValue::Table(b)) => {
            a.len() == b.len()
                && a.iter().zip(b.iter()).all(|((ka, va), (kb, vb))| {
                    ka.get_ref() == kb.get_ref() && same(va.get_ref(), vb.get_ref())
                })
        }
        (DeValue::Array(a), DeValue::Array(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|(a, b)| same(a.get_ref(), b.get_ref()))
        }
        (DeValue::String(a), DeValue::String(b)) => a == b,
        (DeValue::Boolean(a), DeValue::Boolean(b)) => a == b,
        (DeValue::Integer(a), DeValue::Integer(b)) => {
            a.as_str() == b.as_str() && a.radix() == b.radix()
        }
        (DeValue::Float(a), DeValue::Float(b)) => a.as_str() == b.as_str(),
        (DeValue::Datetime(a), DeValue::Datetime(b)) => a == b,
        _ => false,
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({:?})", self.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[expect(dead_code, reason = "only read")]
        count: u8,
        name: Option<String>,
    }

    #[test]
    fn every_mistake_is_reported() {
        let section = Section::from_text("count = 1\nname = 7\nnaem = 1\n").unwrap();
        let mut cx = ParseContext::default();
        assert!(cx.settings::<Settings>(&section).is_none());
        assert_eq!(cx.problems.len(), 2, "{:?}", cx.problems);

        let section = Section::from_text("count = 1\nname = \"a\"").unwrap();
        let settings: Settings = ParseContext::default().settings(&section).unwrap();
        assert_eq!(settings.name.as_deref(), Some("a"));
    }
}
