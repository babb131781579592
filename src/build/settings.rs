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
        let mut reading = Reading {
            section,
            beside,
            substituted: self.substituted,
            table: section.value().clone(),
            removed: Vec::new(),
            stand_in: None,
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
fn plain(text: &str) -> Option<DeValue<'_>> {
    let value = DeValue::parse(text).ok()?.into_inner();
    matches!(
        value,
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)
    )
    .then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{HumanDuration, Rate};

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(default)]
        interval: Option<HumanDuration>,
        path: String,
    }

    #[derive(Debug, Clone, Copy, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Balance {
        RoundRobin,
        LeastConnections,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        count: u8,
        name: String,
        rate: Rate,
        #[serde(default)]
        balance: Option<Balance>,
        #[serde(default)]
        servers: Vec<Spanned<String>>,
        #[serde(default)]
        check: Option<Inner>,
        #[serde(default)]
        on: bool,
    }

    /// Every problem of a text, one a line: the message, and the hint behind a bar.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext::default();
        let settings = cx.settings_beside::<Settings>(&section, &["proxy"]);
        let mut problems: Vec<String> = cx
            .problems
            .iter()
            .map(|problem| match &problem.hint {
                Some(hint) => format!("{}|{hint}", problem.message),
                None => problem.message.clone(),
            })
            .collect();
        problems.sort();
        assert_eq!(problems, expected, "{text}");
        assert_eq!(settings.is_some(), expected.is_empty());
    }

    const GOOD: &str = "count = 1\nname = 'a'\nrate = '1/s'\n";

    fn check_with(text: &str, expected: &[&str]) {
        check(&format!("{GOOD}{text}"), expected);
    }

    #[test]
    fn right_settings_are_read() {
        check_with("", &[]);
        check_with("servers = ['a']\ncheck = { path = '/' }\non = true", &[]);
        check_with("balance = 'round_robin'", &[]);
        check_with("balance = 'least_connections'", &[]);
    }

    #[test]
    fn every_mistake_is_found_in_one_pass() {
        check(
            "count = 700\nname = 7\nservers = ['a', 1, 2]\nnaem = 1\n[check]\ninterval = 7\n",
            &[
                "`check.interval`: `7` has no unit|\
                 write \"7s\" for seconds, \"7ms\" for milliseconds",
                "`check` of this table needs `path`",
                "`count` must be a whole number from 0 to 255",
                "`name` must be a string, found an integer|write it in quotes: \"7\"",
                "every item of `servers` must be a string, found an integer|\
                 write it in quotes: \"1\"",
                "every item of `servers` must be a string, found an integer|\
                 write it in quotes: \"2\"",
                "this table needs `rate`",
                "unknown key `naem` in this table|did you mean `name`?",
            ],
        );
        check(
            "cuont = 1\nname = ''\nrate = '1/s'",
            &["unknown key `cuont` in this table|did you mean `count`?"],
        );
        check(
            "",
            &[
                "this table needs `count`",
                "this table needs `name`",
                "this table needs `rate`",
            ],
        );
    }

    #[test]
    fn each_mistake_says_what_to_write() {
        for (text, expected) in [
            (
                "proxi = 1",
                "unknown key `proxi` in this table|did you mean `proxy`?",
            ),
            (
                "zzz = 1",
                "unknown key `zzz` in this table|the keys of this table are `balance`, `check`, \
                 `count`, `name`, `on`, `proxy`, `rate` and `servers`",
            ),
            (
                "[check]\npath = ''\nzzz = 1",
                "unknown key `zzz` in `check` of this table|\
                 the keys of `check` of this table are `interval` and `path`",
            ),
            (
                "servers = 'a'",
                "`servers` must be an array, found a string|write it as an array: [\"a\"]",
            ),
            (
                "on = 'true'",
                "`on` must be true or false, found a string|write it without quotes: true",
            ),
            (
                "balance = 'round_robn'",
                "`balance` cannot be \"round_robn\"|did you mean \"round_robin\"?",
            ),
            (
                "balance = 'best'",
                "`balance` cannot be \"best\"|\
                 it is one of \"round_robin\" and \"least_connections\"",
            ),
            (
                "balance = 1.5",
                "`balance` must be a string, found a number with a point|\
                 write it in quotes: \"1.5\"",
            ),
            (
                "balance = true",
                "`balance` must be a string, found a boolean|write it in quotes: \"true\"",
            ),
            (
                "[check]\npath = 1979-05-27",
                "`check.path` must be a string, found a date|write it in quotes: \"1979-05-27\"",
            ),
            ("check = 1", "`check` must be a table, found an integer"),
            ("on = []", "`on` must be true or false, found an array"),
            ("on = {}", "`on` must be true or false, found a table"),
        ] {
            check_with(text, &[expected]);
        }
        check(
            "count = '7'\nname = ''\nrate = '1/s'",
            &[
                "`count` must be a whole number from 0 to 255, found a string|\
               write it without quotes: 7",
            ],
        );
        check(
            "count = 99999999999999999999999999999999999999999\nname = ''\nrate = '1/s'",
            &["`count` must be a smaller number"],
        );
    }

    #[test]
    fn a_substituted_string_may_be_a_number() {
        let section = Section::from_text("count = '7'\nname = '7'\nrate = '1/s'\non = 'true'");
        let section = section.unwrap();
        let substituted = HashSet::from([8..11, 19..22, 41..47].map(|range| section.at(range)));
        let mut cx = ParseContext {
            substituted: &substituted,
            ..ParseContext::default()
        };
        let settings: Settings = cx.settings(&section).unwrap();
        assert_eq!((settings.count, settings.name.as_str()), (7, "7"));
        assert!(settings.on);
        assert_eq!(settings.rate.count, 1);
        assert!(settings.balance.is_none() && settings.servers.is_empty());
        assert!(
            settings
                .check
                .is_none_or(|check| check.path.is_empty() && check.interval.is_none())
        );
    }
}
