//! serde's words for a mistake, turned into an operator's.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::context::nearest;
use super::{Problem, Section, foreign};

/// A mistake as serde tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mistake<'m> {
    /// A key nobody reads, and those that would be.
    Unknown(&'m str, Vec<&'m str>),
    /// A key that is not there.
    Missing(&'m str),
    /// A string that is none of the known ones.
    Variant(&'m str, Vec<&'m str>),
    /// A value of another type.
    Type {
        /// What was expected.
        expected: Cow<'m, str>,
    },
    /// A value of the right type, but beyond its bounds.
    Value {
        /// What was expected.
        expected: Cow<'m, str>,
    },
    /// In words of the settings' own; a line break and the way out may follow.
    Own(&'m str),
}

impl<'m> Mistake<'m> {
    /// Takes a message of serde (or of toml, or of a `Deserialize` of our own) apart.
    pub(super) fn read(message: &'m str) -> Self {
        let quoted = |text: &'m str| text.strip_prefix('`')?.split_once('`');
        if let Some((name, rest)) = message.strip_prefix("unknown field ").and_then(quoted) {
            return Self::Unknown(name, quoted_words(rest));
        }
        if let Some((name, rest)) = message.strip_prefix("unknown variant ").and_then(quoted) {
            return Self::Variant(name, quoted_words(rest));
        }
        if let Some((name, _)) = message.strip_prefix("missing field ").and_then(quoted) {
            return Self::Missing(name);
        }
        let expected = |rest: &'m str| {
            // What was found may hold anything, also ", expected".
            rest.rsplit_once(", expected ")
                .map(|(_, expected)| in_words(expected))
        };
        if let Some(expected) = message.strip_prefix("invalid type: ").and_then(expected) {
            return Self::Type { expected };
        }
        if let Some(expected) = message.strip_prefix("invalid value: ").and_then(expected) {
            return Self::Value { expected };
        }
        if let Some(expected) = message.strip_prefix("invalid length ").and_then(expected) {
            return Self::Value { expected };
        }
        match message {
            "wanted string or table" => Self::Type {
                expected: Cow::Borrowed("a string"),
            },
            "integer number overflowed" | "floating-point number overflowed" => Self::Value {
                expected: Cow::Borrowed("a smaller number"),
            },
            _ => Self::Own(message),
        }
    }
}

/// Every word in backticks.
fn quoted_words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What a Rust type is to someone who writes TOML.
fn in_words(expected: &str) -> Cow<'_, str> {
    Cow::Borrowed(match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number, 1 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        "path string" => "a string",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("an array of length ") => {
            return Cow::Owned(other.replace("of length", "of"));
        }
        other => other,
    })
}

/// A step on the way from a table to a place within it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// A place within a table: of a value, or of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    steps: Vec<Step>,
    range: Range<usize>,
}

/// The place at exactly this range.
pub(super) fn find(table: &Spanned<DeValue<'_>>, range: &Range<usize>) -> Option<Place> {
    let mut steps = Vec::new();
    descend(table, range, &mut steps).then(|| Place {
        steps,
        range: range.clone(),
    })
}

fn descend(value: &Spanned<DeValue<'_>>, range: &Range<usize>, steps: &mut Vec<Step>) -> bool {
    if value.span() == *range {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => table.iter().any(|(key, value)| {
            steps.push(Step::Key(key.get_ref().to_string()));
            let found = key.span() == *range || descend(value, range, steps);
            if !found {
                steps.pop();
            }
            found
        }),
        DeValue::Array(items) => items.iter().enumerate().any(|(index, value)| {
            steps.push(Step::Item(index));
            let found = descend(value, range, steps);
            if !found {
                steps.pop();
            }
            found
        }),
        _ => false,
    }
}

impl Place {
    /// The value that stands there, or whose key does.
    pub(super) fn value_mut<'v, 't>(
        &self,
        table: &'v mut Spanned<DeValue<'t>>,
    ) -> Option<&'v mut Spanned<DeValue<'t>>> {
        walk(table, &self.steps)
    }

    fn value<'v, 't>(&self, table: &'v Spanned<DeValue<'t>>) -> Option<&'v DeValue<'t>> {
        let mut value = table.get_ref();
        for step in &self.steps {
            value = match step {
                Step::Key(key) => value.as_table()?.get(key.as_str())?.get_ref(),
                Step::Item(index) => value.as_array()?.get(*index)?.get_ref(),
            };
        }
        Some(value)
    }

    /// Takes the value out of its table or array; the place of that table, and the key.
    pub(super) fn take_out(
        &self,
        table: &mut Spanned<DeValue<'_>>,
    ) -> Option<(Range<usize>, Option<String>)> {
        let (last, before) = self.steps.split_last()?;
        let parent = walk(table, before)?;
        let span = parent.span();
        match (last, parent.get_mut()) {
            (Step::Key(key), DeValue::Table(table)) => {
                table.remove(key.as_str())?;
                Some((span, Some(key.clone())))
            }
            (Step::Item(index), DeValue::Array(items)) if *index < items.len() => {
                let kept = items.iter().enumerate().filter(|(at, _)| at != index);
                *items = kept.map(|(_, item)| item.clone()).collect();
                Some((span, None))
            }
            _ => None,
        }
    }

    /// "`health_check.interval`", "item 2 of `servers`".
    fn in_words(&self) -> String {
        let mut words = String::new();
        let mut keys: Vec<&str> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Key(key) => keys.push(key),
                // Taking items out shifts the later ones, so that a number would lie.
                Step::Item(_) if keys.is_empty() => {}
                Step::Item(_) => {
                    words = format!("every item of `{}`", keys.join("."));
                    keys.clear();
                }
            }
        }
        match (words.is_empty(), keys.is_empty()) {
            (true, _) => format!("`{}`", keys.join(".")),
            (false, true) => words,
            (false, false) => {
                let items = words.replacen("every item", "every table", 1);
                format!("`{}` in {items}", keys.join("."))
            }
        }
    }

    /// The table that the last key stands in: "[[route]]", "`health_check` of [upstream.a]".
    fn table_in_words(&self, section: &Section<'_>, with_last: bool) -> String {
        let mut keys: Vec<&str> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Item(_) => None,
            })
            .collect();
        if !with_last {
            keys.pop();
        }
        if keys.is_empty() {
            section.name().to_owned()
        } else {
            format!("`{}` of {}", keys.join("."), section.name())
        }
    }
}

fn walk<'v, 't>(
    table: &'v mut Spanned<DeValue<'t>>,
    steps: &[Step],
) -> Option<&'v mut Spanned<DeValue<'t>>> {
    let Some((first, rest)) = steps.split_first() else {
        return Some(table);
    };
    let inner = match (first, table.get_mut()) {
        (Step::Key(key), DeValue::Table(table)) => table.get_mut(key.as_str())?,
        (Step::Item(index), DeValue::Array(items)) => items.get_mut(*index)?,
        _ => return None,
    };
    walk(inner, rest)
}

/// The problem that a mistake is, in an operator's words.
pub(super) fn problem(
    mistake: &Mistake<'_>,
    place: &Place,
    section: &Section<'_>,
    table: &Spanned<DeValue<'_>>,
    beside: &[&str],
) -> Problem {
    let span = section.at(place.range.clone());
    let what = place.in_words();
    match mistake {
        Mistake::Unknown(name, known) => {
            let table = place.table_in_words(section, false);
            let top = place.steps.len() == 1;
            let mut known = known.clone();
            known.extend(beside.iter().filter(|_| top));
            unknown_key(span, name, &table, &known)
        }
        Mistake::Missing(name) => {
            let table = place.table_in_words(section, true);
            Problem::error("E0004", span, format!("{table} needs `{name}`"))
                .label(format!("`{name}` is missing"))
        }
        Mistake::Variant(name, known) => one_of(span, &what, name, known),
        Mistake::Type { expected } => {
            let value = place.value(table);
            let found = value.map_or("something else", kind_in_words);
            let message = format!("{what} must be {expected}, found {found}");
            let problem =
                Problem::error("E0001", span, message).label(format!("must be {expected}"));
            match value.and_then(|value| retype(value, expected)) {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        }
        Mistake::Value { expected } => {
            let message = format!("{what} must be {expected}");
            Problem::error("E0002", span, message).label(format!("must be {expected}"))
        }
        Mistake::Own(message) => {
            // The last line: what comes before may quote a text of several lines.
            let (message, hint) = message.rsplit_once('\n').unwrap_or((message, ""));
            // It names what is wrong by itself; "every item of" would be too much.
            let what = what.strip_prefix("every item of ").unwrap_or(&what);
            let problem = Problem::error("E0002", span, format!("{what}: {message}"));
            if hint.is_empty() {
                problem
            } else {
                problem.hint(hint)
            }
        }
    }
}

/// A key that no table of this name reads.
pub fn unknown_key(span: super::Span, name: &str, table: &str, known: &[&str]) -> Problem {
    let message = format!("unknown key `{name}` in {table}");
    let problem = Problem::error("E0003", span, message).label("unknown key");
    let begun = known.iter().any(|key| key.starts_with(name));
    if let Some(hint) = foreign::here(name).filter(|_| !begun) {
        return problem.hint(hint);
    }
    match nearest(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem.hint(format!("{table} takes no keys")),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            problem.hint(format!("the keys of {table} are {}", list(&known, '`')))
        }
    }
}

/// A string that must be one of a few.
pub fn one_of(span: super::Span, what: &str, found: &str, known: &[&str]) -> Problem {
    let message = format!("{what} cannot be \"{found}\"");
    let problem = Problem::error("E0002", span, message).label("not one of the known values");
    match nearest(found, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
        None if known.len() == 1 => problem.hint(format!("it can be {} only", list(known, '"'))),
        None => problem.hint(format!("it is one of {}", list(known, '"'))),
    }
}

/// `a`, `b` and `c`.
pub fn list(words: &[&str], quote: char) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            text.push_str(if index + 1 == words.len() {
                " and "
            } else {
                ", "
            });
        }
        // Writing to a string cannot fail.
        write!(text, "{quote}{word}{quote}").unwrap_or_default();
    }
    text
}

/// What a value is, with its article.
pub fn kind_in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// How the same could be written as what was expected.
fn retype(value: &DeValue<'_>, expected: &str) -> Option<String> {
    match value {
        DeValue::String(text) if expected == "an array" => Some(format!(
            "write it as an array: [\"{}\"]",
            text.escape_default()
        )),
        DeValue::String(text)
            if (expected.contains("number") && text.parse::<f64>().is_ok())
                || (expected == "true or false" && matches!(&**text, "true" | "false")) =>
        {
            Some(format!("write it without quotes: {text}"))
        }
        DeValue::Integer(number) if expected == "a string" => {
            Some(format!("write it in quotes: \"{number}\""))
        }
        DeValue::Float(number) if expected == "a string" => {
            Some(format!("write it in quotes: \"{number}\""))
        }
        DeValue::Boolean(truth) if expected == "a string" => {
            Some(format!("write it in quotes: \"{truth}\""))
        }
        DeValue::Datetime(date) if expected == "a string" => {
            Some(format!("write it in quotes: \"{date}\""))
        }
        _ => None,
    }
}
