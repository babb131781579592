//! Rates and parts of a hundred, as settings write them: "100/m", "500B/s", "20%".

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};

use super::from_text::{FromText, UnitError, as_text, number};
use super::units::{ByteSize, HumanDuration};

/// So many in a time: `"100/s"`, `"600/m"`, `"5/10s"`. Neither is ever zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// Bytes a second: `"500B/s"`, `"1MiB/s"`, or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteRate(pub u64);

/// A part of a hundred, in hundredths: `"20%"`, `"0.5%"`. At most 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u16);

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (count, rest) = number(text.trim(), "rate", RATE_FORM)?;
        let Some(per) = rest.strip_prefix('/') else {
            return Err(UnitError::new(
                format!("`{text}` does not say in how long"),
                format!("write \"{count}/s\" or \"{count}/m\""),
            ));
        };
        let per = per.trim();
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
            per.parse::<HumanDuration>()?.0
        } else {
            format!("1{per}")
                .parse::<HumanDuration>()
                .map_err(|_| UnitError::new(format!("`{per}` is no unit of time"), RATE_FORM))?
                .0
        };
        let count = u32::try_from(count)
            .map_err(|_| UnitError::new(format!("`{count}` is too large"), RATE_FORM))?;
        if count == 0 || per.is_zero() {
            let message = format!("`{text}` would let nothing pass");
            return Err(UnitError::new(message, RATE_FORM));
        }
        Ok(Self { count, per })
    }
}

const RATE_FORM: &str = "write it like \"100/s\", \"600/m\" or \"5/10s\"";

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = HumanDuration(self.per).to_string();
        let per = match per.strip_prefix('1') {
            Some(unit) if unit.chars().all(char::is_alphabetic) => unit,
            _ => &per,
        };
        write!(f, "{}/{per}", self.count)
    }
}

impl FromStr for ByteRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.split_once('/') {
            Some((size, per)) if per.trim() == "s" => Ok(Self(size.parse::<ByteSize>()?.0)),
            _ => Err(UnitError::new(
                format!("`{text}` is not a number of bytes a second"),
                BYTE_RATE_FORM,
            )),
        }
    }
}

const BYTE_RATE_FORM: &str = "write it like \"500B/s\" or \"1MiB/s\"";

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", ByteSize(self.0))
    }
}

impl Percent {
    /// A part of one: 0.0 to 1.0.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// That part of a number, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / 10_000;
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Whole percent, at most 100.
    pub const fn whole(percent: u8) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self(percent as u16 * 100)
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |message: &str| UnitError::new(format!("`{text}` {message}"), PERCENT_FORM);
        let number = text
            .trim()
            .strip_suffix('%')
            .ok_or_else(|| error("has no %"))?;
        let number = number.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(error("is not a percentage"));
        }
        if part.len() > 2 {
            return Err(error("has more than two decimals"));
        }
        let hundredths = format!("{part:0<2}").parse::<u16>().unwrap_or(u16::MAX);
        let whole = whole.parse::<u16>().unwrap_or(u16::MAX);
        let total = whole
            .checked_mul(100)
            .and_then(|whole| whole.checked_add(hundredths))
            .filter(|total| *total <= 10_000)
            .ok_or_else(|| error("is more than 100%"))?;
        Ok(Self(total))
    }
}

const PERCENT_FORM: &str = "write it like \"20%\" or \"0.5%\"";

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a rate such as \"100/s\"",
            integer: as_text,
        })
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "bytes a second such as \"500B/s\"",
            integer: |number| match u64::try_from(number) {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => Err(UnitError::new("a rate cannot be negative", BYTE_RATE_FORM)),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a percentage such as \"20%\"",
            integer: as_text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = UnitError> + fmt::Display>(text: &str, expected: &str) {
        let read = match text.parse::<T>() {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string().replace('\n', "; "),
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn rates() {
        for (text, expected) in [
            ("100/s", "100/s"),
            ("600/m", "600/m"),
            ("5 / 10s", "5/10s"),
            ("5/60s", "5/m"),
            ("1/12h", "1/12h"),
            (
                "100",
                "`100` does not say in how long; write \"100/s\" or \"100/m\"",
            ),
            (
                "0/s",
                "`0/s` would let nothing pass; write it like \"100/s\", \"600/m\" or \"5/10s\"",
            ),
            (
                "1/0s",
                "`1/0s` would let nothing pass; write it like \"100/s\", \"600/m\" or \"5/10s\"",
            ),
            (
                "1/x",
                "`x` is no unit of time; write it like \"100/s\", \"600/m\" or \"5/10s\"",
            ),
            (
                "5000000000/s",
                "`5000000000` is too large; write it like \"100/s\", \"600/m\" or \"5/10s\"",
            ),
        ] {
            check::<Rate>(text, expected);
        }
    }

    #[test]
    fn bytes_a_second() {
        check::<ByteRate>("500B/s", "500B/s");
        check::<ByteRate>("1 MiB / s", "1MiB/s");
        for bad in ["500B", "500B/m"] {
            let expected = format!(
                "`{bad}` is not a number of bytes a second; \
                 write it like \"500B/s\" or \"1MiB/s\""
            );
            check::<ByteRate>(bad, &expected);
        }
    }

    #[test]
    fn percentages() {
        for (text, expected) in [
            ("20%", "20%"),
            ("0.5%", "0.5%"),
            ("12.25 %", "12.25%"),
            ("100%", "100%"),
            (
                "100.01%",
                "`100.01%` is more than 100%; write it like \"20%\" or \"0.5%\"",
            ),
            (
                "99999%",
                "`99999%` is more than 100%; write it like \"20%\" or \"0.5%\"",
            ),
            ("20", "`20` has no %; write it like \"20%\" or \"0.5%\""),
            (
                "%",
                "`%` is not a percentage; write it like \"20%\" or \"0.5%\"",
            ),
            (
                "-1%",
                "`-1%` is not a percentage; write it like \"20%\" or \"0.5%\"",
            ),
            (
                "1.125%",
                "`1.125%` has more than two decimals; write it like \"20%\" or \"0.5%\"",
            ),
        ] {
            check::<Percent>(text, expected);
        }
        assert!((Percent::whole(20).fraction() - 0.2).abs() < f64::EPSILON);
        assert_eq!(Percent::whole(200), "100%".parse().unwrap());
    }

    #[test]
    fn integers_need_their_unit() {
        #[derive(Debug, serde::Deserialize)]
        struct Settings {
            rate: Option<Rate>,
            bytes: Option<ByteRate>,
            part: Option<Percent>,
        }
        let read = |text: &str| match toml::from_str::<Settings>(text) {
            Ok(Settings { rate, bytes, part }) => format!("{rate:?} {bytes:?} {part:?}"),
            Err(error) => error.message().to_owned(),
        };
        assert!(read("rate = 7").starts_with("`7` does not say in how long"));
        assert!(read("part = 7").starts_with("`7` has no %"));
        assert!(read("bytes = -7").starts_with("a rate cannot be negative"));
        assert_eq!(read("bytes = 7"), "None Some(ByteRate(7)) None");
    }
}
