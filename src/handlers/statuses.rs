//! Sets of statuses, as settings write them: `[200, "3xx", "500-503"]`.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Some of the final statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statuses(Box<[Range]>);

/// Some that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range(RangeInclusive<u16>);

const FORM: &str = "write a status like 503, a class like \"5xx\" or a range like \"500-503\"";

impl Statuses {
    /// From each first to each last.
    pub(super) fn of(ranges: &[(u16, u16)]) -> Self {
        let range = |&(first, last): &(u16, u16)| Range(first..=last);
        Self(ranges.iter().map(range).collect())
    }

    /// Whether this is one of them.
    pub(super) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.0.contains(&status))
    }
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let status = |text: &str| {
            let status = text.trim().parse::<u16>().ok()?;
            // The interim ones never end an exchange.
            (200..=599).contains(&status).then_some(status)
        };
        if let Some(class) = text.strip_suffix("xx") {
            let first = status(&format!("{class}00"))?;
            return Some(Self(first..=first + 99));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(Self(first..=last))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|ranges| Self(ranges.into()))
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status or a range of statuses")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Range, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Range, E> {
                Range::read(text).ok_or_else(|| {
                    E::custom(format!("`{text}` is no final status, nor a range\n{FORM}"))
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_ranges_of_them_are_read() {
        #[derive(serde::Deserialize)]
        struct Table {
            of: Statuses,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.of);
        let statuses = read("of = [200, \"3xx\", \"500-503\", \"404\"]").unwrap();
        let found: Vec<u16> = (100..600).filter(|own| statuses.contain(*own)).collect();
        let expected = [200]
            .into_iter()
            .chain(300..400)
            .chain([404])
            .chain(500..504);
        assert_eq!(found, expected.collect::<Vec<_>>());
        for bad in [
            "[100]",
            "[\"1xx\"]",
            "[\"503-500\"]",
            "[600]",
            "[\"x\"]",
            "[-1]",
        ] {
            assert!(read(&format!("of = {bad}")).is_err(), "{bad}");
        }
    }
}
