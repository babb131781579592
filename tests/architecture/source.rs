//! A source file, read as its rules need it: comments and strings blanked out, names found.

use std::fs;
use std::path::Path;

use super::root;

/// A source file.
#[derive(Debug)]
pub(super) struct Source {
    /// From its folder on, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// The text without comments and without what stands in quotes; the lines stay.
    pub(super) code: String,
}

/// Every source file of a folder at the top.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let top = root().join(folder);
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(Source::read(&top, &path));
            }
        }
    }
    assert!(!found.is_empty(), "{} holds no source", top.display());
    found
}

/// The file that a room begins with.
pub(super) fn file_of(room: &str) -> String {
    let folder = format!("{room}/mod.rs");
    if root().join("src").join(&folder).exists() {
        folder
    } else {
        format!("{room}.rs")
    }
}

impl Source {
    fn read(top: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let relative = path.strip_prefix(top).unwrap();
        Self {
            path: relative.to_str().unwrap().to_owned(),
            code: blank(&text),
            text,
        }
    }

    /// The folder at the top of `src`, or the file that stands for it.
    pub(super) fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// Whether a line (from 0) belongs to tests: they stand last.
    pub(super) fn is_test(&self, line: usize) -> bool {
        let in_folder = self.path.ends_with("tests.rs")
            || self.path.ends_with("testing.rs")
            || self.path.contains("/tests/");
        let mut before = self.code.lines().take(line + 1);
        in_folder || before.any(|line| line.trim() == "#[cfg(test)]")
    }

    /// Every room that is named, by `crate::`, by the name of the library, or by climbing to the
    /// top with `super::`; with the line, from 1.
    pub(super) fn rooms_named(&self) -> Vec<(usize, String)> {
        let climb = "super::".repeat(self.depth());
        let mut named = Vec::new();
        for start in ["crate::", "httpserverd::", &climb] {
            for (at, _) in self.code.match_indices(start) {
                let whole = !start.starts_with("super") || !self.code[..at].ends_with("super::");
                let after = &self.code[at + start.len()..];
                if whole && starts_word(&self.code, at) && !after.starts_with("super::") {
                    let line = line_at(&self.code, at);
                    named.extend(first_names(after).map(|name| (line, name)));
                }
            }
        }
        named
    }

    /// Every crate that is named by a path that begins with it; with the line, from 1.
    pub(super) fn crates_named(&self) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        for (number, line) in self.code.lines().enumerate() {
            for (at, _) in line.match_indices("::") {
                let before = &line[..at];
                let word = before.rsplit(|c: char| !is_word(c)).next();
                let word = word.unwrap_or_default();
                let path = &before[..at - word.len()];
                if !word.is_empty() && !path.ends_with("::") {
                    named.push((number + 1, word.to_owned()));
                }
            }
        }
        named
    }

    /// How many `super::` lead from this module to the top.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        folders + usize::from(!self.path.ends_with("mod.rs"))
    }
}

/// The names after `crate::`: one, or those in braces.
fn first_names(after: &str) -> impl Iterator<Item = String> {
    let list = match after.strip_prefix('{') {
        Some(list) => outermost(list),
        None => after,
    };
    let parts: Vec<&str> = if after.starts_with('{') {
        list.split(',').collect()
    } else {
        vec![list]
    };
    let names = parts.into_iter().map(|part| {
        let word = part.trim_start().split(|c: char| !is_word(c)).next();
        word.unwrap_or_default().to_owned()
    });
    names
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

/// A list up to its closing brace. What stands in inner braces names no rooms that matter: a
/// room there would not be found as one.
fn outermost(list: &str) -> &str {
    let mut depth = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return &list[..at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    list
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn starts_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| is_word(c) || c == '$')
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Puts spaces in place of comments and of what stands in quotes.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest, &code) {
            length
        } else if c == '"' {
            quoted(rest, '"')
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let newline = |c| if c == '\n' { '\n' } else { ' ' };
        code.extend(rest[..length].chars().map(newline));
        rest = &rest[length..];
    }
    code
}

/// The length of `r#"…"#`.
fn raw_string(rest: &str, before: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let starts = hashes[count..].starts_with('"');
    // `br"…"` too: the b is blanked by nobody and names nothing.
    let word = before.ends_with(|c: char| is_word(c) && c != 'b');
    if !starts || word {
        return None;
    }
    let end = format!("\"{}", "#".repeat(count));
    let from = 1 + count + 1;
    rest[from..].find(&end).map(|at| from + at + end.len())
}

/// The length of a quoted text, with its quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of `'c'`; not of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.chars();
    if chars.next() != Some('\'') {
        return None;
    }
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(quoted(rest, '\'')),
        (c, '\'') => Some(2 + c.len_utf8()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    #[track_caller]
    fn check_rooms(path: &str, text: &str, expected: &[&str]) {
        let named = source(path, text).rooms_named();
        let names: Vec<_> = named.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, expected, "{text}");
    }

    #[test]
    fn rooms_are_found_however_they_are_named() {
        check_rooms("http/a.rs", "use crate::daemon::run;", &["daemon"]);
        check_rooms(
            "http/a.rs",
            "use crate::{cli, build::{Kind, x}, sys as y};",
            &["cli", "build", "x", "sys"],
        );
        check_rooms("http/a.rs", "use super::super::daemon::x;", &["daemon"]);
        check_rooms("http/a.rs", "use super::daemon::x;", &[]);
        check_rooms("http/mod.rs", "use super::daemon::x;", &["daemon"]);
        check_rooms("http/a.rs", "// crate::cli\nlet a = \"crate::cli\";", &[]);
        check_rooms("http/a.rs", "r#\"crate::cli \" \"#; crate::sys", &["sys"]);
        check_rooms(
            "http/a.rs",
            "fn a<'a>(b: &'a str) { '\"'; crate::sys }",
            &["sys"],
        );
    }

    #[test]
    fn crates_are_found_where_a_path_begins() {
        let named = source(
            "http/a.rs",
            "use tokio::net;\nlet a = std::tokio::x; a::<tokio>()",
        );
        let names: Vec<_> = named.crates_named();
        assert_eq!(names[0], (1, "tokio".to_owned()));
        assert!(!names[1..].iter().any(|(_, name)| name == "tokio"));
    }

    #[test]
    fn tests_are_known_by_where_they_stand() {
        let text = "a\n#[cfg(test)]\nmod tests {\n}\n";
        assert!(!source("a.rs", text).is_test(0));
        assert!(source("a.rs", text).is_test(2));
        assert!(source("a/tests.rs", text).is_test(0));
    }
}
