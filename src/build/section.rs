//! A TOML table that knows where it stood.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Span;
use super::settings::plain;

/// A TOML table of a configuration, with the place of every key and value.
#[derive(Clone)]
pub struct Section<'t> {
    file: usize,
    name: Cow<'static, str>,
    table: Spanned<DeValue<'t>>,
}

impl<'t> Section<'t> {
    /// A table of file number `file`. Its name is how messages speak of it: `[[route]]`.
    pub fn new(
        file: usize,
        name: impl Into<Cow<'static, str>>,
        table: Spanned<DeValue<'t>>,
    ) -> Self {
        Self {
            file,
            name: name.into(),
            table,
        }
    }

    /// A table with nothing in it, spoken of at this place.
    pub fn empty(at: Span, name: impl Into<Cow<'static, str>>) -> Self {
        let table = DeValue::Table(DeTable::new());
        Self::new(at.file, name, Spanned::new(at.range, table))
    }

    /// Reads a table from text of its own: examples and tests.
    pub fn from_text(text: &'t str) -> Result<Self, String> {
        let table = DeTable::parse(text).map_err(|error| error.to_string())?;
        let span = table.span();
        let table = Spanned::new(span, DeValue::Table(table.into_inner()));
        Ok(Self::new(0, "this table", table))
    }

    /// How messages speak of it: `[[route]]`, `[upstream.backend]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the table stands: its header, or all of it if it is written inline.
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

    /// Its keys and values, in the order of the file.
    pub fn entries(&self) -> Vec<(&str, Range<usize>, &Spanned<DeValue<'t>>)> {
        let DeValue::Table(table) = self.table.get_ref() else {
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| (&**key.get_ref(), key.span(), value))
            .collect();
        entries.sort_by_key(|(_, place, _)| place.start);
        entries
    }

    /// Takes an entry out, with the place of its key.
    pub fn take(&mut self, key: &str) -> Option<(Range<usize>, Spanned<DeValue<'t>>)> {
        let DeValue::Table(table) = self.table.get_mut() else {
            return None;
        };
        let (key, value) = table.remove_entry(key)?;
        Some((key.span(), value))
    }

    /// What is written, without its places: to compare and to print. The strings at the places
    /// of `unquoted` are the numbers and truths that they spell.
    pub fn written(&self, unquoted: &HashSet<Span>) -> toml::Table {
        let mut table = self.table.clone();
        self.unquote(&mut table, unquoted);
        let value = ValueDeserializer::from(table);
        // Only an integer beyond 64 bits cannot be had; no setting takes one.
        toml::Table::deserialize(value).unwrap_or_default()
    }

    fn unquote(&self, value: &mut Spanned<DeValue<'t>>, unquoted: &HashSet<Span>) {
        let span = self.at(value.span());
        match value.get_mut() {
            DeValue::String(Cow::Borrowed(text)) if unquoted.contains(&span) => {
                if let Some(plain) = plain(text) {
                    *value = Spanned::new(span.range, plain);
                }
            }
            DeValue::Array(items) => {
                for item in items.iter_mut() {
                    self.unquote(item, unquoted);
                }
            }
            DeValue::Table(table) => {
                for (_, value) in table.iter_mut() {
                    self.unquote(value, unquoted);
                }
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({} at {:?})", self.name, self.span())
    }
}
