//! Settings that outrank the file: `HTTPSERVER_SERVER__WORKERS=4`, `--log-level debug`.
//!
//! What the file calls `workers` in `[server]` the environment calls
//! `HTTPSERVER_SERVER__WORKERS`: capitals, and two underscores where TOML nests. Each is a text of
//! its own with a place of its own, so that a mistake in it is drawn like one in a file.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Table;
use super::sources::{Origin, Sources};
use super::substitute::Environment;
use crate::build::context::nearest;
use crate::build::problem::Severity;
use crate::build::{Problem, Section, Span};

/// What every variable that sets something starts with.
const PREFIX: &str = "HTTPSERVER_";

/// Variables with the prefix that are no settings.
const OTHERS: [&str; 2] = ["HTTPSERVER_CONFIG", "HTTPSERVER_CONFIG_TEXT"];

/// An option of the command line that sets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// How the command line calls it: `--workers`.
    pub option: String,
    /// How the file calls it: `server.workers`.
    pub key: String,
    /// The value as it was given.
    pub value: String,
}

/// A key of a table that is set from outside the file.
#[derive(Debug)]
pub(super) struct Override {
    file: usize,
    table: Table,
    key: String,
    key_range: Range<usize>,
    value_range: Range<usize>,
}

/// Adds the environment and the command line to the sources, where they set something.
pub(super) fn gather(
    sources: &mut Sources,
    environment: &Environment,
    command_line: &[Setting],
    problems: &mut Vec<Problem>,
) -> Vec<Override> {
    let mut overrides = Vec::new();
    let variables = environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(name))
        .map(|(name, value)| {
            let key = name.strip_prefix(PREFIX).unwrap_or_default();
            let key = key.to_ascii_lowercase().replace("__", ".");
            (name.to_owned(), '=', key, value.to_owned())
        });
    let lines: Vec<_> = variables.collect();
    add(
        sources,
        Origin::Environment,
        lines,
        &mut overrides,
        problems,
    );
    let options = command_line.iter().cloned();
    let lines = options.map(|setting| (setting.option, ' ', setting.key, setting.value));
    add(
        sources,
        Origin::CommandLine,
        lines.collect(),
        &mut overrides,
        problems,
    );
    overrides
}

type Line = (String, char, String, String);

fn add(
    sources: &mut Sources,
    origin: Origin,
    lines: Vec<Line>,
    overrides: &mut Vec<Override>,
    problems: &mut Vec<Problem>,
) {
    if lines.is_empty() {
        return;
    }
    let name = match origin {
        Origin::CommandLine => "the command line",
        Origin::Environment | Origin::File => "the environment",
    };
    let mut text = String::new();
    let file = sources.push(origin, name.to_owned(), String::new());
    for (name, separator, key, value) in lines {
        let start = text.len();
        text.push_str(&name);
        let key_range = start..text.len();
        text.push(separator);
        let value_range = text.len()..text.len() + value.len();
        text.push_str(&value);
        text.push('\n');
        if let Some((table, key)) = table_and_key(&key) {
            overrides.push(Override {
                file,
                table,
                key: key.to_owned(),
                key_range,
                value_range,
            });
        } else {
            let range = key_range;
            problems.push(sets_nothing(Span { file, range }, &name, &key));
        }
    }
    sources.set_text(file, text);
}

/// The table and the key in it that `server.limits.body` names.
fn table_and_key(path: &str) -> Option<(Table, &str)> {
    let (table, key) = path.rsplit_once('.')?;
    let table = Table::ALL.into_iter().find(|known| known.path() == table)?;
    Some((table, key))
}

/// A variable that starts like ours and sets nothing: a warning, for it may be another's.
fn sets_nothing(span: Span, name: &str, path: &str) -> Problem {
    let problem = Problem {
        severity: Severity::Warning,
        ..Problem::error("W0009", span, format!("`{name}` sets nothing"))
    };
    let known: Vec<String> = Table::ALL
        .iter()
        .flat_map(|table| {
            let prefix = table.path().to_ascii_uppercase().replace('.', "__");
            let keys = table.keys().iter();
            keys.map(move |key| format!("{PREFIX}{prefix}__{}", key.name.to_ascii_uppercase()))
        })
        .collect();
    let tables = ["listener", "route", "upstream", "middleware"];
    if tables.iter().any(|table| path.starts_with(table)) {
        return problem.hint(
            "listeners, routes, upstreams and middleware stand in the file; \
             their strings may hold ${VARIABLES}",
        );
    }
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("settings are called like HTTPSERVER_SERVER__WORKERS"),
    }
}

/// The tables that the overrides make, the strongest last.
pub(super) fn sections<'t>(
    sources: &'t Sources,
    overrides: &[Override],
) -> Vec<(Table, Section<'t>)> {
    let mut sections = Vec::new();
    for (file, source) in sources.iter() {
        for table in Table::ALL {
            let mut entries = DeTable::new();
            let own = overrides
                .iter()
                .filter(|own| own.file == file && own.table == table);
            for own in own {
                let raw = source.text.get(own.value_range.clone()).unwrap_or_default();
                let key = Spanned::new(own.key_range.clone(), Cow::Owned(own.key.clone()));
                entries.insert(key, value(raw, &own.value_range));
            }
            if !entries.is_empty() {
                let whole = Spanned::new(0..source.text.len(), DeValue::Table(entries));
                sections.push((table, Section::new(file, table.header(), whole)));
            }
        }
    }
    sections
}

/// A number, a truth or an array if it is written like one, and a string otherwise.
fn value<'t>(raw: &'t str, range: &Range<usize>) -> Spanned<DeValue<'t>> {
    let value = match DeValue::parse(raw).map(Spanned::into_inner) {
        Ok(
            value @ (DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)),
        ) => shifted(value, range.start),
        // `"text"` with its quotes, as in the file.
        Ok(DeValue::String(text)) => DeValue::String(text),
        Ok(DeValue::Datetime(_) | DeValue::Table(_)) | Err(_) => DeValue::String(raw.into()),
    };
    Spanned::new(range.clone(), value)
}

/// The same, with its places counted from the start of the whole text.
fn shifted(value: DeValue<'_>, by: usize) -> DeValue<'_> {
    match value {
        DeValue::Array(items) => DeValue::Array(
            items
                .into_iter()
                .map(|item| {
                    let span = item.span();
                    let span = span.start + by..span.end + by;
                    Spanned::new(span, shifted(item.into_inner(), by))
                })
                .collect(),
        ),
        other => other,
    }
}
