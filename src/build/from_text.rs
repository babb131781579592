//! How values with units are read from strings, and the words of their errors.
//!
//! The words are an operator's. What follows a line break in them is the way out: a reader of
//! settings turns it into the hint, also in the errors that settings make themselves.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};

/// Why a text is no such value. What follows a line break is the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError(String);

impl UnitError {
    pub(super) fn new(message: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self(format!("{message}\n{hint}"))
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnitError {}

/// Reads a value from a string by its [`FromStr`], for serde.
pub(super) struct FromText<T> {
    /// What is expected, for "must be …".
    pub(super) expecting: &'static str,
    /// What a bare integer means.
    pub(super) integer: fn(i64) -> Result<T, UnitError>,
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        (self.integer)(number).map_err(E::custom)
    }
}

/// Reads the integer as if it were a string: the error says which unit is missing.
pub(super) fn as_text<T: FromStr<Err = UnitError>>(number: i64) -> Result<T, UnitError> {
    number.to_string().parse()
}

/// Whole digits at the start of a text, and what follows.
pub(super) fn number<'t>(
    text: &'t str,
    what: &str,
    form: &str,
) -> Result<(u64, &'t str), UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    if digits.is_empty() {
        return Err(UnitError::new(format!("`{text}` is not a {what}"), form));
    }
    if rest.starts_with(['.', ',', '_']) {
        let message = format!("a {what} is written in whole numbers");
        return Err(UnitError::new(message, form));
    }
    let number = digits
        .parse()
        .map_err(|_| UnitError::new(format!("`{digits}` is too large"), form))?;
    Ok((number, rest.trim_start()))
}
