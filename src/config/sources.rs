//! The texts that a configuration is made of: files, the environment, the command line.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::substitute::{self, Environment};
use crate::build::{Problem, Span};

/// Where a text comes from. A later one outranks an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file.
    File,
    /// `HTTPSERVER_…` in the environment.
    Environment,
    /// An option.
    CommandLine,
}

/// One text of a configuration.
#[derive(Debug, Clone)]
pub struct Source {
    /// How it is shown: the path as it was given, or what else it is.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What it holds.
    pub text: String,
}

/// Every text of a configuration. [`Span::file`] counts them in this order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

/// Files within files within files; a house of a hundred sites needs two.
const DEPTH_MAX: usize = 8;

/// A thousand sites with a file each fit; a pattern that caught a whole disk does not.
const FILES_MAX: usize = 2048;

/// No configuration is larger. Ten thousand routes are one and a half megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A file that waits to be read, and the place that asked for it.
struct Wanted {
    path: PathBuf,
    depth: usize,
    by: Option<Span>,
}

impl Sources {
    /// Reads a file and all that it includes.
    pub fn read(path: &Path, environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        let mut sources = Self::default();
        let mut wanted = VecDeque::from([Wanted {
            path: path.to_path_buf(),
            depth: 0,
            by: None,
        }]);
        let mut seen: Vec<(PathBuf, Option<Span>)> = Vec::new();
        while let Some(next) = wanted.pop_front() {
            if sources.list.len() >= FILES_MAX {
                let span = next.by.unwrap_or_default();
                let message = format!("more than {FILES_MAX} files are included");
                problems.push(Problem::error("E0008", span, message));
                break;
            }
            let real = fs::canonicalize(&next.path).unwrap_or_else(|_| next.path.clone());
            if let Some((_, first)) = seen.iter().find(|(path, _)| *path == real) {
                problems.push(included_twice(&next, first.as_ref()));
                continue;
            }
            seen.push((real, next.by.clone()));
            sources.files.push(next.path.clone());
            match read(&next.path) {
                Ok(text) => {
                    let file = sources.push(Origin::File, next.path.display().to_string(), text);
                    sources.includes(file, &next, environment, &mut wanted, problems);
                }
                Err(error) => problems.push(unreadable(&next, &error)),
            }
        }
        sources
    }

    /// One text that stands in no file.
    pub fn text(name: &str, text: &str) -> Self {
        let mut sources = Self::default();
        sources.push(Origin::File, name.to_owned(), text.to_owned());
        sources
    }

    /// Adds a text; its number.
    pub fn push(&mut self, origin: Origin, name: String, text: String) -> usize {
        self.list.push(Source { name, origin, text });
        self.list.len() - 1
    }

    /// Fills in a text that was added before it was known.
    pub(super) fn set_text(&mut self, file: usize, text: String) {
        if let Some(source) = self.list.get_mut(file) {
            source.text = text;
        }
    }

    /// The texts, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.list.iter().enumerate()
    }

    /// The text of a number.
    pub fn get(&self, file: usize) -> Option<&Source> {
        self.list.get(file)
    }

    /// Every file that was read, or would have been if it could.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The folders whose files an `include` names by a pattern: a new file there belongs too.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// "httpserver.toml:12", for a line of a log.
    pub fn place(&self, span: &Span) -> String {
        match self.get(span.file) {
            Some(source) if source.origin == Origin::File => {
                format!("{}:{}", source.name, line(&source.text, span.range.start))
            }
            Some(source) => source.name.clone(),
            None => String::new(),
        }
    }

    fn includes(
        &mut self,
        file: usize,
        including: &Wanted,
        environment: &Environment,
        wanted: &mut VecDeque<Wanted>,
        problems: &mut Vec<Problem>,
    ) {
        let text = self.list.get(file).map(|source| source.text.clone());
        let Some(text) = text.filter(|text| text.contains("include")) else {
            return;
        };
        let (table, _) = DeTable::parse_recoverable(&text);
        let Some(include) = table.get_ref().get("include") else {
            return;
        };
        let at = |range| Span { file, range };
        let DeValue::Array(patterns) = include.get_ref() else {
            let message = "`include` must be an array of strings";
            problems.push(
                Problem::error("E0001", at(include.span()), message)
                    .hint("write it like include = [\"conf.d/*.toml\"]"),
            );
            return;
        };
        for pattern in patterns {
            let span = at(pattern.span());
            let DeValue::String(pattern) = pattern.get_ref() else {
                let message = "`include` must be an array of strings";
                problems.push(Problem::error("E0001", span, message));
                continue;
            };
            if including.depth + 1 >= DEPTH_MAX {
                let message = format!("files are included more than {DEPTH_MAX} deep");
                problems.push(Problem::error("E0008", span, message));
                return;
            }
            match self.matches(pattern, &including.path, environment) {
                Ok(paths) => wanted.extend(paths.into_iter().map(|path| Wanted {
                    path,
                    depth: including.depth + 1,
                    by: Some(span.clone()),
                })),
                Err(message) => problems.push(Problem::error("E0008", span, message)),
            }
        }
    }

    /// The files that a pattern names, sorted.
    fn matches(
        &mut self,
        pattern: &str,
        including: &Path,
        environment: &Environment,
    ) -> Result<Vec<PathBuf>, String> {
        // A variable that is not set is reported where all substitutions are.
        let pattern = substitute::lenient(pattern, environment);
        let folder = including.parent().unwrap_or_else(|| Path::new(""));
        let path = folder.join(&pattern);
        let name = match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => name.to_owned(),
            None => return Err(format!("`{pattern}` names no file")),
        };
        let inside = path.parent().unwrap_or_else(|| Path::new(""));
        if inside.to_str().is_none_or(|folder| folder.contains('*')) {
            return Err(String::from(
                "`*` may stand in the last part of a path only, not in a folder",
            ));
        }
        if !name.contains('*') {
            return Ok(vec![path]);
        }
        let inside = if inside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            inside
        };
        self.directories.push(inside.to_path_buf());
        let entries = fs::read_dir(inside)
            .map_err(|error| format!("cannot list {}: {}", inside.display(), words(&error)))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|file| is_match(&name, file))
            .map(|file| path.with_file_name(file))
            .collect();
        paths.sort();
        Ok(paths)
    }
}

/// Whether a file name matches a pattern with `*` in it. Hidden files must be named.
fn is_match(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

fn read(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    // One more than is allowed tells a file that is too large from one that just fits.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = line_of_bytes(error.as_bytes(), good);
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8"),
        )
    })
}

fn unreadable(wanted: &Wanted, error: &io::Error) -> Problem {
    let message = format!("cannot read {}: {}", wanted.path.display(), words(error));
    match &wanted.by {
        Some(span) => Problem::error("E0006", span.clone(), message).label("included here"),
        None => Problem::nowhere("E0006", message),
    }
}

fn included_twice(wanted: &Wanted, first: Option<&Span>) -> Problem {
    let span = wanted.by.clone().unwrap_or_default();
    let message = format!("{} is included twice", wanted.path.display());
    let problem = Problem::error("E0008", span, message);
    match first {
        Some(first) => problem.note(first.clone(), "first included here"),
        None => problem.hint("it is the configuration file itself"),
    }
}

/// What the system says, without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text,
    }
}

/// The line of a byte, counted from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    line_of_bytes(text.as_bytes(), at)
}

fn line_of_bytes(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or(bytes);
    memchr::memchr_iter(b'\n', before).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("*.toml", ".a.toml", false),
            (".*.toml", ".a.toml", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("a*a", "a", false),
            ("*", "anything", true),
            ("x*", "y", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line("a\nb", 0), 1);
        assert_eq!(line("a\nb", 2), 2);
        assert_eq!(line("a\nb", 99), 2);
    }
}
