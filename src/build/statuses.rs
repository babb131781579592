//! Several statuses at once, as settings write them: `404`, `"4xx"`, `"500-504"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

use super::from_text::{FromText, UnitError, as_text};
use crate::http::StatusCode;

/// A range of statuses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// Every status from one to another.
    pub const fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// Whether this is one of them.
    pub fn contains(self, status: StatusCode) -> bool {
        (self.first..=self.last).contains(&status.code())
    }

    /// How many there are; the fewer, the more is said.
    pub const fn count(self) -> u16 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The smallest of them.
    pub const fn first(self) -> u16 {
        self.first
    }
}

impl FromStr for Statuses {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let none = || {
            UnitError::new(
                format!("`{text}` is neither a status nor several"),
                "write 404 for one, \"5xx\" for a class, \"500-504\" for a range",
            )
        };
        let code = |text: &str| {
            let code: u16 = text.trim().parse().ok()?;
            (100..=599).contains(&code).then_some(code)
        };
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().map_err(|_| none())?;
            let good = (1..=5).contains(&class).then_some(class * 100);
            let first = good.ok_or_else(none)?;
            return Ok(Self::new(first, first + 99));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self::new(first, last)),
            _ => Err(none()),
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a status, a class such as \"5xx\" or a range such as \"500-504\"",
            integer: as_text,
        })
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        if self.first.is_multiple_of(100) && self.last == self.first + 99 {
            return write!(f, "{}xx", self.first / 100);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_class_or_a_range() {
        for (text, first, last) in [
            ("404", 404, 404),
            ("5xx", 500, 599),
            ("500-504", 500, 504),
            ("4xx", 400, 499),
        ] {
            let statuses: Statuses = text.parse().unwrap();
            assert_eq!(statuses, Statuses::new(first, last));
            assert_eq!(statuses.to_string(), text);
            let inside = StatusCode::new(last).unwrap();
            let outside = StatusCode::new(last + 1).unwrap();
            assert!(statuses.contains(inside) && !statuses.contains(outside));
            assert_eq!(statuses.count(), last - first + 1);
        }
        for text in ["", "x", "6xx", "99", "600", "504-500", "4x", "4xxx", "-"] {
            assert!(text.parse::<Statuses>().is_err(), "{text}");
        }
    }
}
