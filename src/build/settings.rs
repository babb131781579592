//! How settings are read out of a section: every mistake in one pass.
//!
//! serde stops at the first mistake. So what it stumbled over is taken out of the table (or, if
//! it was missing, put in), and the rest is read again, until all is right.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::wording::{self, Mistake, Place};
use super::{ParseContext, Problem, Section, Span};

/// How many times one section is read. Each reading finds one mistake, or tries one stand-in
/// for a missing value; nobody mends more mistakes at a time than this.
const READINGS_MAX: usize = 128;

/// Where stand-ins stand: no file is that long.
const NOWHERE: Range<usize> = usize::MAX..usize::MAX;

/// What is put in for a missing value, one after the other, so that the rest can be read.
const STAND_INS: [&str; 8] = [
    "\"\"", "1", "true", "[]", "{}", "\"1s\"", "\"1/s\"", "\"GET\"",
];

impl ParseContext<'_> {
    /// Reads the settings of a section. Every mistake is reported, not just the first.
    pub fn settings<S: DeserializeOwned>(&mut self, section: &Section<'_>) -> Option<S> {
        self.settings_beside(section, &[])
    }

    /// Reads the settings of a section from which these keys were taken out before: they are
    /// offered where a key is unknown.
    pub fn settings_beside<S: DeserializeOwned>(
        &mut self,
        section: &Section<'_>,
        beside: &[&str],
    ) -> Option<S> {
        let (settings, good) = self.settings_mended(section, beside);
        settings.filter(|_| good)
    }

    /// Like [`Self::settings_beside`], but gives what could be read without the mistakes, and
    /// whether there were none. For who can say more of the rest.
    pub fn settings_mended<S: DeserializeOwned>(
        &mut self,
        section: &Section<'_>,
        beside: &[&str],
    ) -> (Option<S>, bool) {
        #[cfg(test)]
        self.fields.extend(super::fields::of::<S>());
        let mut reading = Reading {
            section,
            beside,
            substituted: self.substituted,
            table: section.value().clone(),
            removed: Vec::new(),
            stand_in: None,
            unquoted: Vec::new(),
            problems: Vec::new(),
        };
        let mut settings = None;
        for _ in 0..READINGS_MAX {
            match S::deserialize(ValueDeserializer::from(reading.table.clone())) {
                Ok(read) => {
                    settings = Some(read);
                    break;
                }
                Err(error) => {
                    if !reading.mend(&error) {
                        break;
                    }
                }
            }
        }
        let good = reading.problems.is_empty();
        self.unquoted.extend(reading.unquoted.drain(..));
        self.problems.extend(reading.into_problems());
        (settings, good)
    }
}

struct Reading<'s, 't> {
    section: &'s Section<'t>,
    beside: &'s [&'s str],
    substituted: &'s HashSet<Span>,
    table: Spanned<DeValue<'t>>,
    /// Keys that were taken out, and from which table: they are not missing.
    removed: Vec<(Range<usize>, String)>,
    /// The key that a stand-in was put in for last, its table, and which stand-in.
    stand_in: Option<(Range<usize>, String, usize)>,
    unquoted: Vec<Span>,
    problems: Vec<Problem>,
}

impl Reading<'_, '_> {
    /// All problems, but for keys that are missing only because they are misspelt.
    fn into_problems(self) -> Vec<Problem> {
        let hints: HashSet<String> = self
            .problems
            .iter()
            .filter(|problem| problem.code == "E0003")
            .filter_map(|problem| problem.hint.clone())
            .collect();
        let misspelt = |label: &str| {
            let name = label.strip_suffix(" is missing");
            name.is_some_and(|name| hints.contains(&format!("did you mean {name}?")))
        };
        self.problems
            .into_iter()
            .filter(|problem| problem.code != "E0004" || !misspelt(&problem.label))
            .collect()
    }

    /// Reports a mistake and takes it away; whether reading again makes sense.
    fn mend(&mut self, error: &toml::de::Error) -> bool {
        let range = error.span().unwrap_or_else(|| self.table.span());
        if range == NOWHERE {
            return self.next_stand_in();
        }
        let Some(place) = wording::find(&self.table, &range) else {
            let span = self.section.at(range);
            let problem = Problem::error("E0001", span, error.message());
            self.problems.push(problem);
            return false;
        };
        let mistake = Mistake::read(error.message());
        if self.unquote(&mistake, &place, &self.section.at(range.clone())) {
            return true;
        }
        if let Mistake::Missing(name) = &mistake {
            let was_there = self
                .removed
                .iter()
                .any(|(table, key)| *table == range && key == name);
            if !was_there {
                self.report(&mistake, &place);
            }
            return self.put_in(&range, name, 0);
        }
        self.report(&mistake, &place);
        self.take_out(&place)
    }

    fn report(&mut self, mistake: &Mistake<'_>, place: &Place) {
        let problem = wording::problem(mistake, place, self.section, &self.table, self.beside);
        self.problems.push(problem);
    }

    /// A substituted string that should be a number or a truth becomes one: `"${PORT}"` has no
    /// quotes to leave out.
    fn unquote(&mut self, mistake: &Mistake<'_>, place: &Place, span: &Span) -> bool {
        if !matches!(mistake, Mistake::Type { .. }) || !self.substituted.contains(span) {
            return false;
        }
        let Some(value) = place.value_mut(&mut self.table) else {
            return false;
        };
        let DeValue::String(Cow::Borrowed(text)) = *value.get_ref() else {
            return false;
        };
        let Some(plain) = plain(text) else {
            return false;
        };
        *value = Spanned::new(span.range.clone(), plain);
        self.unquoted.push(span.clone());
        true
    }

    fn take_out(&mut self, place: &Place) -> bool {
        let Some((table, key)) = place.take_out(&mut self.table) else {
            return false;
        };
        if let Some(key) = key {
            self.removed.push((table, key));
        }
        true
    }

    fn put_in(&mut self, table: &Range<usize>, key: &str, which: usize) -> bool {
        let Some(text) = STAND_INS.get(which) else {
            return false;
        };
        let value = DeValue::parse(text).map(Spanned::into_inner);
        let (Ok(value), Some(place)) = (value, wording::find(&self.table, table)) else {
            return false;
        };
        let Some(DeValue::Table(inner)) = place.value_mut(&mut self.table).map(Spanned::get_mut)
        else {
            return false;
        };
        inner.insert(
            Spanned::new(NOWHERE, Cow::Owned(key.to_owned())),
            Spanned::new(NOWHERE, value),
        );
        self.stand_in = Some((table.clone(), key.to_owned(), which));
        true
    }

    fn next_stand_in(&mut self) -> bool {
        match self.stand_in.take() {
            Some((table, key, which)) => self.put_in(&table, &key, which + 1),
            None => false,
        }
    }
}

/// The number or truth that a text spells.
pub(super) fn plain(text: &str) -> Option<DeValue<'_>> {
    let value = DeValue::parse(text).ok()?.into_inner();
    matches!(
        value,
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)
    )
    .then_some(value)
}

#[cfg(test)]
mod tests;
