//! Times and sizes, as settings write them: "10s", "64KiB". Rates are in `rates`.
//!
//! Every one is read with [`FromStr`] and by serde, and is written back by `Display` in the
//! shortest form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};

use super::from_text::{FromText, UnitError, as_text, number};

/// A length of time: `"10s"`, `"250ms"`, `"1m30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub Duration);

/// A number of bytes: `"64KiB"` (1024s), `"10MB"` (1000s), or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Longer is surely a mistake, and adding it to the time of day could overflow.
const DURATION_MAX: Duration = Duration::from_hours(10 * 365 * 24);

const DURATION_UNITS: [(&str, u64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl HumanDuration {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    fn of_micros(micros: u64) -> Result<Self, UnitError> {
        let duration = Duration::from_micros(micros);
        if duration > DURATION_MAX {
            return Err(UnitError::new("longer than ten years", "at most \"3650d\""));
        }
        Ok(Self(duration))
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut micros = 0_u64;
        let mut rest = text.trim();
        let mut smallest = u64::MAX;
        if rest.is_empty() {
            return Err(UnitError::new("an empty duration", DURATION_FORM));
        }
        while !rest.is_empty() {
            let (number, tail) = number(rest, "duration", DURATION_FORM)?;
            let end = tail.find(|c: char| !c.is_alphabetic());
            let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
            let Some((_, size)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(unknown_duration_unit(text, unit, number));
            };
            if *size >= smallest {
                let message = format!("the units of `{text}` are not in falling order");
                return Err(UnitError::new(
                    message,
                    "write it like \"1h30m\" or \"1m30s\"",
                ));
            }
            smallest = *size;
            micros = number
                .checked_mul(*size)
                .and_then(|part| micros.checked_add(part))
                .unwrap_or(u64::MAX);
            rest = tail.trim_start();
        }
        Self::of_micros(micros)
    }
}

const DURATION_FORM: &str = "write it like \"10s\", \"250ms\" or \"1m30s\"";

fn unknown_duration_unit(text: &str, unit: &str, number: u64) -> UnitError {
    if unit.is_empty() {
        return UnitError::new(
            format!("`{text}` has no unit"),
            format!("write \"{number}s\" for seconds, \"{number}ms\" for milliseconds"),
        );
    }
    UnitError::new(
        format!("`{unit}` is no unit of time"),
        "the units are us, ms, s, m, h, d and w",
    )
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return f.write_str("0s");
        }
        // Days are the largest written: "2w1d" is harder to read than "15d".
        for (unit, size) in &DURATION_UNITS[1..] {
            if micros >= *size {
                write!(f, "{}{unit}", micros / size)?;
                micros %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = number(text.trim(), "size", SIZE_FORM)?;
        let size = if unit.is_empty() {
            1
        } else {
            let known = SIZE_UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit));
            known.ok_or_else(|| unknown_size_unit(unit, number))?.1
        };
        let bytes = number.checked_mul(size);
        // TOML's integers end at i64::MAX, and a file's size never needs more.
        match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(UnitError::new(format!("`{text}` is too large"), SIZE_FORM)),
        }
    }
}

const SIZE_FORM: &str = "write it like \"64KiB\", \"10MB\" or 65536";

fn unknown_size_unit(unit: &str, number: u64) -> UnitError {
    let first = unit.chars().next().map(|c| c.to_ascii_uppercase());
    match first {
        Some(prefix @ ('K' | 'M' | 'G' | 'T')) if unit.len() == 1 => UnitError::new(
            format!("`{unit}` is no unit of size"),
            format!("write \"{number}{prefix}iB\" (1024s) or \"{number}{prefix}B\" (1000s)"),
        ),
        _ => UnitError::new(
            format!("`{unit}` is no unit of size"),
            "the units are B, KB, MB, GB, TB (1000s) and KiB, MiB, GiB, TiB (1024s)",
        ),
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |size: &u64| self.0 > 0 && self.0.is_multiple_of(*size);
        let (unit, size) = SIZE_UNITS
            .iter()
            .find(|(_, size)| whole(size))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a duration such as \"10s\"",
            integer: as_text,
        })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromText {
            expecting: "a size such as \"64KiB\"",
            integer: |number| match u64::try_from(number) {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => Err(UnitError::new("a size cannot be negative", SIZE_FORM)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value in its shortest form, or the words of the error.
    #[track_caller]
    fn check<T: FromStr<Err = UnitError> + fmt::Display>(text: &str, expected: &str) {
        let read = match text.parse::<T>() {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string().replace('\n', "; "),
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", "10s"),
            ("250ms", "250ms"),
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            (" 1h 30m ", "1h30m"),
            ("2w", "14d"),
            ("7us", "7us"),
            ("0s", "0s"),
            (
                "",
                "an empty duration; write it like \"10s\", \"250ms\" or \"1m30s\"",
            ),
            (
                "10",
                "`10` has no unit; write \"10s\" for seconds, \"10ms\" for milliseconds",
            ),
            (
                "10sec",
                "`sec` is no unit of time; the units are us, ms, s, m, h, d and w",
            ),
            (
                "30s1m",
                "the units of `30s1m` are not in falling order; \
                 write it like \"1h30m\" or \"1m30s\"",
            ),
            (
                "soon",
                "`soon` is not a duration; write it like \"10s\", \"250ms\" or \"1m30s\"",
            ),
            (
                "1.5s",
                "a duration is written in whole numbers; \
                 write it like \"10s\", \"250ms\" or \"1m30s\"",
            ),
            ("3651d", "longer than ten years; at most \"3650d\""),
            (
                "18446744073709551615w",
                "longer than ten years; at most \"3650d\"",
            ),
            (
                "99999999999999999999s",
                "`99999999999999999999` is too large; \
                 write it like \"10s\", \"250ms\" or \"1m30s\"",
            ),
        ] {
            check::<HumanDuration>(text, expected);
        }
        assert_eq!(HumanDuration::millis(90_000), HumanDuration::seconds(90));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64KiB", "64KiB"),
            ("10MB", "10MB"),
            ("10 mb", "10MB"),
            ("65536", "64KiB"),
            ("1000", "1KB"),
            ("1023B", "1023B"),
            ("0", "0B"),
            ("2TiB", "2TiB"),
            (
                "10m",
                "`m` is no unit of size; write \"10MiB\" (1024s) or \"10MB\" (1000s)",
            ),
            (
                "10x",
                "`x` is no unit of size; \
                 the units are B, KB, MB, GB, TB (1000s) and KiB, MiB, GiB, TiB (1024s)",
            ),
            (
                "-1",
                "`-1` is not a size; write it like \"64KiB\", \"10MB\" or 65536",
            ),
            (
                "9000000TiB",
                "`9000000TiB` is too large; write it like \"64KiB\", \"10MB\" or 65536",
            ),
        ] {
            check::<ByteSize>(text, expected);
        }
    }

    #[derive(Debug, serde::Deserialize)]
    struct Settings {
        wait: HumanDuration,
        size: ByteSize,
    }

    #[track_caller]
    fn check_toml(text: &str, expected: &str) {
        let read = match toml::from_str::<Settings>(text) {
            Ok(Settings { wait, size }) => format!("{wait} {size}"),
            Err(error) => error.message().replace('\n', "; "),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn settings_hold_them() {
        check_toml("wait = \"1s\"\nsize = 1024", "1s 1KiB");
        check_toml(
            "wait = 7\nsize = 1",
            "`7` has no unit; write \"7s\" for seconds, \"7ms\" for milliseconds",
        );
        check_toml(
            "wait = \"1s\"\nsize = -1",
            "a size cannot be negative; write it like \"64KiB\", \"10MB\" or 65536",
        );
        check_toml(
            "wait = true\nsize = 1",
            "invalid type: boolean `true`, expected a duration such as \"10s\"",
        );
        check_toml(
            "wait = \"1s\"\nsize = []",
            "invalid type: sequence, expected a size such as \"64KiB\"",
        );
    }
}
