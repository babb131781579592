//! Values with units, as settings write them: "10s", "64KiB", "100/m".
//!
//! Each is a type of its own that serde reads, so that a mistake is reported where it stands.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A length of time: `"250ms"`, `"10s"`, `"1h30m"`. Units are ms, s, m, h and d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

/// A number of bytes: `"500B"`, `"64KiB"`, `"10MB"`. Units are B, KiB, MiB, GiB (powers of
/// 1024) and KB, MB, GB (powers of 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Time {
    /// Reads the text of a setting; what is wrong with it as the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        const WANTED: &str = "a number with a unit (ms, s, m, h, d), like \"10s\"";
        let mut total = Duration::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(format!("a duration is {WANTED}"));
        }
        while !rest.is_empty() {
            let (number, unit, after) =
                number_and_unit(rest).ok_or_else(|| format!("`{text}` is not {WANTED}"))?;
            let unit = match unit {
                "ms" => Duration::from_millis(1),
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3_600),
                "d" => Duration::from_secs(86_400),
                "" => {
                    return Err(format!(
                        "`{text}` has no unit: write \"{text}s\" for seconds"
                    ));
                }
                other => return Err(format!("`{other}` is no unit of time: ms, s, m, h, d")),
            };
            total = u32::try_from(number)
                .ok()
                .and_then(|number| unit.checked_mul(number))
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| format!("`{text}` is too long a time"))?;
            rest = after;
        }
        Ok(Self(total))
    }
}

impl Size {
    /// Reads the text of a setting; what is wrong with it as the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        const WANTED: &str = "a number with a unit (B, KiB, MiB, GiB, KB, MB, GB), like \"64KiB\"";
        let Some((number, unit, "")) = number_and_unit(text.trim()) else {
            return Err(format!("`{text}` is not {WANTED}"));
        };
        let unit = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "" => return Err(format!("`{text}` has no unit: write \"{text}B\" for bytes")),
            other => {
                return Err(format!(
                    "`{other}` is no unit of size: B, KiB, MiB, GiB, KB, MB, GB"
                ));
            }
        };
        number
            .checked_mul(unit)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is too large"))
    }
}

/// Digits, then letters, then the rest.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    // A sign, a point or a blank where a number should start or go on.
    if after.starts_with(|c: char| !c.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, unit, after))
}

struct Text<T> {
    expecting: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "a duration like \"10s\"",
            parse: Self::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "a size like \"64KiB\"",
            parse: Self::parse,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, millis: u64| {
            assert_eq!(
                Time::parse(text),
                Ok(Time(Duration::from_millis(millis))),
                "{text}"
            );
        };
        check("250ms", 250);
        check("10s", 10_000);
        check("0s", 0);
        check("1h30m", 5_400_000);
        check("2d", 172_800_000);
        for bad in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "10x",
            "1s,",
            "99999999999d",
        ] {
            assert!(Time::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        };
        check("500B", 500);
        check("64KiB", 65_536);
        check("10MB", 10_000_000);
        check("2GiB", 2_147_483_648);
        for bad in [
            "",
            "10",
            "KiB",
            "-1B",
            "1B1B",
            "10kib",
            "99999999999999999999B",
        ] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
    }
}
