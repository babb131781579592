//! `httpserverd check --explain E0102`: what a code means.

use std::io::{self, Write};

use crate::build::context::nearest;
use crate::config::codes::{self, CODES};

/// The widest line; paragraphs are read in a terminal.
const COLUMNS: usize = 80;

/// Explains a code; the exit code: 0, or 2 if there is no such code.
///
/// # Errors
/// The output cannot be written.
pub fn explain(code: &str, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    if let Some(code) = codes::explain(code) {
        write!(
            out,
            "{}: {}\n\n{}",
            code.code,
            code.title,
            wrapped(code.text)
        )?;
        return Ok(0);
    }
    writeln!(err, "there is no code `{code}`")?;
    let upper = code.to_ascii_uppercase();
    if let Some(near) = nearest(&upper, CODES.iter().map(|known| known.code)) {
        writeln!(err, "did you mean {near}?")?;
    }
    Ok(2)
}

/// How to ask what a code means.
pub(super) fn pointer(code: &str) -> String {
    format!("for what a code means: httpserverd check --explain {code}")
}

fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.chars().count() > COLUMNS {
            wrapped.push('\n');
            column = 0;
        }
        if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += word.chars().count();
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_explained() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(explain("e0102", &mut out, &mut err).unwrap(), 0);
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with("E0102: an unknown upstream\n\nA route proxies"),
            "{out}"
        );
        assert!(out.lines().all(|line| line.len() <= COLUMNS));
        assert!(err.is_empty());
    }

    #[test]
    fn an_unknown_code_is_a_mistake_in_usage() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(explain("E0120", &mut out, &mut err).unwrap(), 2);
        let err = String::from_utf8(err).unwrap();
        assert!(
            err.starts_with("there is no code `E0120`\ndid you mean E0"),
            "{err}"
        );
        assert!(out.is_empty());
    }
}
