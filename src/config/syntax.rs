//! TOML → tables. Every mistake of the syntax is found, not just the first.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::sources::{Origin, Sources, line};
use crate::build::{Problem, Span};

/// How often a text is parsed again without the line that ended the parse.
const PARSES_MAX: usize = 16;

/// The table of every file, as far as it could be made out.
pub(super) fn parse<'t>(
    sources: &'t Sources,
    problems: &mut Vec<Problem>,
) -> Vec<(usize, Spanned<DeValue<'t>>)> {
    let mut tables = Vec::new();
    for (file, source) in sources.iter() {
        if source.origin != Origin::File {
            continue;
        }
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let mut found = places(&errors);
        // Without its byte order mark and such, the first pass may have given up early: what
        // stands behind a key without a value is not looked at.
        if errors.iter().any(ends_the_parse) {
            found.extend(behind(&source.text, &errors));
        }
        found.sort_by_key(|(range, _)| range.start);
        found.dedup_by_key(|(range, _)| line(&source.text, range.start));
        problems.extend(
            found
                .into_iter()
                .map(|(range, message)| problem(file, &source.text, range, &message)),
        );
        let span = table.span();
        tables.push((file, Spanned::new(span, DeValue::Table(table.into_inner()))));
    }
    tables
}

/// Whether a problem may be nothing but a consequence of broken syntax elsewhere: what seems to
/// be missing may stand on the broken line.
pub(super) fn may_follow(problem: &Problem) -> bool {
    matches!(
        problem.code,
        "E0004"
            | "E0102"
            | "E0103"
            | "E0104"
            | "W0107"
            | "W0108"
            | "E0304"
            | "E0305"
            | "E0401"
            | "E0403"
            | "E0407"
    )
}

fn places(errors: &[Error]) -> Vec<(Range<usize>, String)> {
    errors
        .iter()
        .map(|error| (error.span().unwrap_or_default(), error.message().to_owned()))
        .collect()
}

fn ends_the_parse(error: &Error) -> bool {
    error.message().starts_with("key with no value")
}

/// What is wrong behind the lines that end the parse: they are blanked out one by one, so that
/// every place stays what it is.
fn behind(text: &str, errors: &[Error]) -> Vec<(Range<usize>, String)> {
    let mut text = text.to_owned();
    let mut found = Vec::new();
    let mut last = errors.to_vec();
    for _ in 0..PARSES_MAX {
        let Some(place) = last.iter().find(|error| ends_the_parse(error)) else {
            break;
        };
        let at = place.span().unwrap_or_default().start;
        let Some(blanked) = without_line(&text, at) else {
            break;
        };
        text = blanked;
        last = DeTable::parse_recoverable(&text).1;
        found.extend(places(&last));
    }
    found
}

/// The text with the line of this byte made blank.
fn without_line(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text
        .get(at..)?
        .find('\n')
        .map_or(text.len(), |newline| at + newline);
    let blank = " ".repeat(end - start);
    if blank.is_empty() || text.get(start..end)? == blank {
        return None;
    }
    Some([text.get(..start)?, &blank, text.get(end..)?].concat())
}

/// A mistake of the syntax, in an operator's words.
fn problem(file: usize, text: &str, range: Range<usize>, message: &str) -> Problem {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let line = line_of(text, range.start);
    let span = Span { file, range };
    let problem = |message: &str| Problem::error("E0005", span.clone(), message);
    match what {
        "duplicate key" => {
            let key = text.get(span.range.clone()).unwrap_or_default().trim();
            let header = line.trim_start().starts_with('[');
            let hint = if header {
                format!("a table stands once; tables of a list are written [[{key}]]")
            } else {
                "take one of them out".to_owned()
            };
            problem(&format!("`{key}` is written twice"))
                .label("written again here")
                .hint(hint)
        }
        "string values must be quoted" => problem("a value is missing, or a string without quotes")
            .hint("strings are written in quotes: key = \"value\""),
        "key with no value" => problem("a key without a value")
            .label("expected `=`")
            .hint("write it as key = value; a table's header stands in [brackets]"),
        "unclosed table" | "unclosed array of tables" => {
            problem("the header of a table is not closed").label("expected `]`")
        }
        "invalid basic string" | "invalid literal string" => problem("a string is not closed")
            .label("expected a quote")
            .hint("a string ends on its line; one of several lines stands in three quotes"),
        "unclosed array" => problem("an array is not closed").label("expected `]`"),
        "unclosed inline table" => problem("an inline table is not closed").label("expected `}`"),
        "missing comma between array elements" | "missing comma between key-value pairs" => {
            problem("a comma is missing").label("expected `,`")
        }
        _ if expected.is_empty() => problem(what),
        _ => problem(&format!("{what}: expected {expected}")),
    }
}

/// The line that holds this byte.
fn line_of(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    text.get(start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
}
