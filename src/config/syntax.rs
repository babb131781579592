//! TOML → tables. Every mistake of the syntax is found, not just the first.

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::sources::{Origin, Sources, line};
use crate::build::{Problem, Span};

/// How often a text is parsed again without the line that ended the parse.
const PARSES_MAX: usize = 16;

/// What was made out of the texts, and where they are broken.
#[derive(Default)]
pub(super) struct Parsed<'t> {
    /// The table of every file, as far as it could be made out.
    pub(super) tables: Vec<(usize, Spanned<DeValue<'t>>)>,
    /// Lines that are no TOML.
    lines: HashSet<(usize, usize)>,
    /// From here on a file is in something that was never closed.
    open: Vec<Span>,
}

/// Parses every file.
pub(super) fn parse<'t>(sources: &'t Sources, problems: &mut Vec<Problem>) -> Parsed<'t> {
    let mut parsed = Parsed::default();
    for (file, source) in sources.iter() {
        if source.origin != Origin::File {
            continue;
        }
        let text = &source.text;
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut found = places(&errors);
        // What stands behind a key without a value was not looked at.
        if errors.iter().any(ends_the_parse) {
            found.extend(behind(text, &errors));
        }
        found.sort_by_key(|(range, _)| range.start);
        found.dedup_by_key(|(range, _)| line(text, range.start));
        let open = found
            .iter()
            .position(|(at, message)| is_open(text, at.start, message));
        if let Some(open) = open {
            // The rest of the file was taken for a part of what is open.
            found.truncate(open + 1);
            parsed.open.extend(found.last().map(|(at, _)| Span {
                file,
                range: at.clone(),
            }));
        }
        for (range, message) in found {
            parsed.lines.insert((file, line(text, range.start)));
            problems.push(problem(file, text, range, &message));
        }
        let span = table.span();
        let table = Spanned::new(span, DeValue::Table(table.into_inner()));
        parsed.tables.push((file, table));
    }
    parsed
}

/// Whether a comma or a quote seems to be missing at the start of what must be a line of its own:
/// then an array or a table in braces was not closed.
fn is_open(text: &str, at: usize, message: &str) -> bool {
    if !message.starts_with("missing comma") && !message.starts_with("string values must") {
        return false;
    }
    let line = line_of(text, at);
    let key = line.trim_start();
    let starts_line = text.get(at..).is_some_and(|rest| rest.starts_with(key));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let behind = key.trim_start_matches(word);
    let is_setting = behind.len() < key.len() && behind.trim_start().starts_with('=');
    starts_line && (key.starts_with('[') || is_setting)
}

impl Parsed<'_> {
    /// Where there are mistakes of the syntax, and what is a problem only because of them.
    pub(super) fn explains(&self, problem: &Problem, sources: &Sources) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        // What seems to be missing may stand on the broken line.
        let missing = matches!(
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
        );
        let Some(span) = &problem.span else {
            return missing;
        };
        let text = sources.get(span.file).map_or("", |source| &source.text);
        let swallowed =
            |open: &Span| open.file == span.file && open.range.start <= span.range.start;
        missing
            || self
                .lines
                .contains(&(span.file, line(text, span.range.start)))
            || self.open.iter().any(swallowed)
    }
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
        _ if is_open(text, span.range.start, message) => {
            problem("an array or a table in braces is not closed above")
                .label("still inside of it")
                .hint("what follows here is not looked at until it is closed")
        }
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
        "string values must be quoted" => {
            let value = text.get(span.range.clone()).unwrap_or_default().trim();
            if value.is_empty() {
                problem("a value is missing").hint("write it as key = value")
            } else {
                let quoted = value.escape_default();
                problem("a string without quotes").hint(format!("write \"{quoted}\""))
            }
        }
        "key with no value" => {
            let foreign = line.trim_end().ends_with(['{', ';']);
            problem("a key without a value")
                .label("expected `=`")
                .hint(if foreign {
                    "this is written like a file of nginx or Caddy; here it is TOML: [server], \
                     then key = value"
                } else {
                    "write it as key = value; a table's header stands in [brackets]"
                })
        }
        "unclosed table" | "unclosed array table" => {
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
        "carriage return must be followed by newline" => {
            problem("a carriage return alone").hint("lines end with LF or CR LF")
        }
        "unquoted keys cannot be empty" => problem("a key is missing in front of `=`"),
        "invalid unquoted key" if text.get(span.range.clone()) == Some(":") => {
            problem("a `:` where a key is read")
                .label("expected `=`")
                .hint("this is written like YAML; here it is TOML: [server], then key = value")
        }
        "invalid key-value pair" => problem("neither `key = value` nor a [header]"),
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
