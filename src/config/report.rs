//! Problems, drawn like a compiler's: the place, the line, a caret, a way out.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin as Location, Renderer, Snippet};

use super::sources::Sources;
use super::veil::veiled;
use crate::build::problem::Severity;
use crate::build::{Files, Problem, Span};

/// How many problems are drawn. Who has more has one mistake that shows everywhere.
const DRAWN_MAX: usize = 100;

/// All that was found wrong with a configuration, and in what.
#[derive(Debug, Clone)]
pub struct Report {
    problems: Vec<Problem>,
    sources: Arc<Sources>,
    /// The texts of those of them that have problems, without their secrets, by their numbers.
    drawn: BTreeMap<usize, String>,
    files: Files,
}

impl Report {
    /// A report, in the order of the texts.
    pub fn new(mut problems: Vec<Problem>, sources: Arc<Sources>) -> Self {
        problems.sort_by_key(|problem| {
            let span = problem.span.clone().unwrap_or_default();
            (
                problem.span.is_some(),
                span.file,
                span.range.start,
                problem.code,
            )
        });
        problems.dedup();
        for problem in &mut problems {
            problem.message = one_line_of(&problem.message);
            problem.label = one_line_of(&problem.label);
        }
        let places = problems.iter().flat_map(|problem| {
            let notes = problem.notes.iter().map(|(at, _)| at);
            problem.span.iter().chain(notes)
        });
        let mut drawn = BTreeMap::new();
        for file in places.map(|at| at.file) {
            let text = || {
                sources
                    .get(file)
                    .map_or_else(String::new, |one| veiled(&one.text))
            };
            drawn.entry(file).or_insert_with(text);
        }
        Self {
            problems,
            sources,
            drawn,
            files: Files::default(),
        }
    }

    /// With what was read beside the configuration.
    pub(super) fn with_files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Every file whose change may mend what is wrong.
    pub fn watched(&self) -> Vec<PathBuf> {
        let files = self.files.paths().map(Path::to_path_buf);
        self.sources.files().iter().cloned().chain(files).collect()
    }

    /// Every problem, in the order of the texts.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What was read, also of a configuration that cannot run: what to watch for a change.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// "2 errors, 1 warning".
    pub fn summary(&self) -> String {
        let count = |severity, word: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {word}")),
            count => Some(format!("{count} {word}s")),
        };
        let parts: Vec<String> = [
            count(Severity::Error, "error"),
            count(Severity::Warning, "warning"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            "no problems".to_owned()
        } else {
            parts.join(", ")
        }
    }

    /// One line a problem, for a log: `httpserver.toml:12: error[E0003]: unknown key …`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| {
            let hint = problem.hint.as_ref();
            let hint = hint.map(|hint| one_line_of(&format!(" ({})", hint.replace('\n', " "))));
            let (head, message) = (self.head(problem), &problem.message);
            format!("{head}: {message}{}", hint.unwrap_or_default())
        })
    }

    /// Which error is the first, and how many there are: `httpserver.toml:12: error[E0003], the
    /// first of 2 errors`. Nothing out of the configuration, for those who may not read that.
    pub fn outline(&self) -> String {
        let is_error = |problem: &&Problem| problem.severity == Severity::Error;
        let first = self.problems.iter().find(is_error);
        match (first, self.count(Severity::Error)) {
            (Some(first), 1) => self.head(first),
            (Some(first), count) => format!("{}, the first of {count} errors", self.head(first)),
            (None, _) => self.summary(),
        }
    }

    /// `httpserver.toml:12: error[E0003]`
    fn head(&self, problem: &Problem) -> String {
        let place = problem.span.as_ref().map(|span| self.sources.place(span));
        let place = place.map(|place| place + ": ").unwrap_or_default();
        format!("{place}{}[{}]", word(problem.severity), problem.code)
    }

    /// All problems, drawn; with colours for a terminal.
    pub fn text(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for problem in self.problems.iter().take(DRAWN_MAX) {
            text.push_str(&renderer.render(&self.draw(problem)));
            text.push_str("\n\n");
        }
        if let Some(more) = self
            .problems
            .len()
            .checked_sub(DRAWN_MAX)
            .filter(|n| *n > 0)
        {
            // Writing to a string cannot fail.
            write!(text, "… and {more} more\n\n").unwrap_or_default();
        }
        text
    }

    fn draw<'r>(&'r self, problem: &'r Problem) -> Vec<Group<'r>> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&*problem.message).id(problem.code));
        match &problem.span {
            Some(span) => {
                let (near, far): (Vec<_>, Vec<_>) = problem
                    .notes
                    .iter()
                    .partition(|(at, _)| at.file == span.file);
                group = group.element(self.snippet(span, &problem.label, &near));
                for (at, text) in far {
                    group = group.element(self.snippet_of(at, &[(at, text, false)]));
                }
            }
            None => {
                if let Some((_, first)) = self.sources.iter().next() {
                    group = group.element(Location::path(&*first.name));
                }
            }
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(&**hint));
        }
        vec![group]
    }

    fn snippet<'r>(
        &'r self,
        span: &'r Span,
        label: &'r str,
        near: &[&'r (Span, String)],
    ) -> Snippet<'r, annotate_snippets::Annotation<'r>> {
        let mut marks = vec![(span, label, true)];
        marks.extend(near.iter().map(|(at, text)| (at, text.as_str(), false)));
        self.snippet_of(span, &marks)
    }

    fn snippet_of<'r>(
        &'r self,
        span: &Span,
        marks: &[(&'r Span, impl AsRef<str> + 'r, bool)],
    ) -> Snippet<'r, annotate_snippets::Annotation<'r>> {
        let name = self
            .sources
            .get(span.file)
            .map_or("", |source| &source.name);
        let text = self.drawn.get(&span.file).map_or("", |text| text);
        let ranges = marks.iter().map(|(at, _, _)| one_line(text, &at.range));
        let ranges: Vec<Range<usize>> = ranges.collect();
        let (from, to, line) = around(text, &ranges);
        let shown = text.get(from..to).unwrap_or_default();
        let mut snippet = Snippet::source(shown).path(name).line_start(line);
        for ((_, label, primary), range) in marks.iter().zip(ranges) {
            let kind = if *primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let range = range.start - from..range.end - from;
            let mark = kind.span(range);
            let label = label.as_ref();
            snippet = snippet.annotation(if label.is_empty() {
                mark
            } else {
                mark.label(label.to_owned())
            });
        }
        snippet
    }

    /// All problems as JSON: an object with `problems`, `errors` and `warnings`.
    pub fn json(&self) -> String {
        let place = |span: &Span| {
            let Some(source) = self.sources.get(span.file) else {
                return serde_json::Value::Null;
            };
            let (line, column) = position(&source.text, span.range.start);
            let (end_line, end_column) = position(&source.text, span.range.end);
            serde_json::json!({
                "file": source.name,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
            })
        };
        let problems: Vec<_> = self
            .problems
            .iter()
            .map(|problem| {
                let notes: Vec<_> = problem
                    .notes
                    .iter()
                    .map(|(at, text)| serde_json::json!({ "at": place(at), "text": text }))
                    .collect();
                serde_json::json!({
                    "severity": word(problem.severity),
                    "code": problem.code,
                    "message": problem.message,
                    "label": problem.label,
                    "hint": problem.hint,
                    "at": problem.span.as_ref().map(place),
                    "notes": notes,
                })
            })
            .collect();
        let report = serde_json::json!({
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "problems": problems,
        });
        format!("{report:#}")
    }
}

impl fmt::Display for Report {
    /// Drawn without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

impl std::error::Error for Report {}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A message quotes what it is about, and that may hold anything: control characters, which a
/// terminal would obey and which make two lines of a log out of one, are written as escapes, and
/// what is too long to be read is cut.
fn one_line_of(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if line.len() >= MESSAGE_BYTES_MAX {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}

/// Ten lines of a terminal.
const MESSAGE_BYTES_MAX: usize = 800;

/// A range within the text, cut at the end of its first line: a table of ten lines is shown by
/// its first.
fn one_line(text: &str, range: &Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let rest = text.get(start..range.end.clamp(start, text.len()));
    let length = match rest {
        Some(rest) => rest.find(['\n', '\r']).unwrap_or(rest.len()),
        None => 0,
    };
    start..start + length
}

/// The whole lines around some ranges, and the number of the first.
fn around(text: &str, ranges: &[Range<usize>]) -> (usize, usize, usize) {
    let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
    let last = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    let before = text.get(..first).unwrap_or_default();
    let from = before.rfind('\n').map_or(0, |newline| newline + 1);
    let to = text
        .get(last..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |newline| last + newline);
    (from, to, super::sources::line(text, from))
}

/// Line and column of a byte, both counted from 1, columns in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (super::sources::line(text, at), column + 1)
}
