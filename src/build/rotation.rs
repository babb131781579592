//! When a log file ends and a new one begins, as a configuration writes it.

use std::fmt;
use std::num::NonZeroU16;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ByteSize;

/// How many old files of a size are kept unless told otherwise: a week, if one fills a day.
const KEEP: NonZeroU16 = NonZeroU16::MIN.saturating_add(6);

/// How many may be kept: beginning a new file of a size renames them all.
const KEEP_MAX: u16 = 1000;

/// A smaller file would be left for the next one at every few lines.
const SIZE_MIN: u64 = 4096;

/// When a log file ends and a new one begins, and what becomes of the old ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rotation {
    /// When a new one begins.
    pub turn: Turn,
    /// How many old ones are kept, beside the one that is written; `None` is all of them.
    pub keep: Option<NonZeroU16>,
}

/// When a new log file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Turn {
    /// Never: something else moves the file, and SIGUSR1 has it opened anew.
    #[default]
    Never,
    /// At midnight, UTC; the file's name ends in the day.
    Daily,
    /// At the full hour; the file's name ends in the day and the hour, UTC.
    Hourly,
    /// Before a write that would make it larger than so many bytes. Old files are numbered, the
    /// newest is 1.
    Size(u64),
}

impl Turn {
    /// The names of those that have one.
    const NAMES: [&'static str; 3] = ["daily", "hourly", "never"];

    fn named(name: &str) -> Option<Self> {
        match name {
            "daily" => Some(Self::Daily),
            "hourly" => Some(Self::Hourly),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

impl Rotation {
    fn of(written: Written) -> Result<Self, String> {
        let Written { when, size, keep } = written;
        let turn = match (when, size) {
            (Some(when), None) => when.0,
            (None, Some(size)) if size.0 >= SIZE_MIN => Turn::Size(size.0),
            (None, Some(_)) => {
                return Err("`size` is at least \"4KiB\"\n\"100MB\" is a usual one".into());
            }
            (None, None) | (Some(_), Some(_)) => {
                let hint = "{ when = \"daily\", keep = 14 } or { size = \"100MB\", keep = 7 }";
                return Err(format!("write one of `when` and `size`\n{hint}"));
            }
        };
        let keep = match keep {
            None if matches!(turn, Turn::Size(_)) => Some(KEEP),
            None => None,
            Some(keep) => {
                let within = NonZeroU16::new(keep).filter(|keep| keep.get() <= KEEP_MAX);
                let wrong = || format!("`keep` is a number from 1 to {KEEP_MAX}");
                Some(within.ok_or_else(wrong)?)
            }
        };
        if let (Turn::Never, Some(_)) = (turn, keep) {
            return Err("nothing is kept of a file that never ends\nleave `keep` out".into());
        }
        Ok(Self { turn, keep })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    when: Option<Named>,
    size: Option<ByteSize>,
    keep: Option<u16>,
}

/// One that has a name.
struct Named(Turn);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let turn = Turn::named(&name).ok_or_else(|| D::Error::unknown_variant(&name, &Turn::NAMES));
        turn.map(Self)
    }
}

impl<'de> Deserialize<'de> for Rotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Rotation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"daily\", \"hourly\", \"never\" or { size = \"100MB\", keep = 7 }")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Rotation, E> {
                let turn = Turn::named(name);
                let turn = turn.ok_or_else(|| E::unknown_variant(name, &Turn::NAMES))?;
                Ok(Rotation { turn, keep: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rotation, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                Rotation::of(written).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl fmt::Display for Rotation {
    /// As the file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.turn {
            Turn::Never => "never",
            Turn::Daily => "daily",
            Turn::Hourly => "hourly",
            Turn::Size(bytes) => {
                let keep = self.keep.map_or(0, NonZeroU16::get);
                return write!(f, "{{ size = \"{}\", keep = {keep} }}", ByteSize(bytes));
            }
        };
        match self.keep {
            None => write!(f, "{name:?}"),
            Some(keep) => write!(f, "{{ when = {name:?}, keep = {keep} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        rotation: Rotation,
    }

    #[track_caller]
    fn check(written: &str, expected: &str) {
        let read = toml::from_str::<Table>(&format!("rotation = {written}"));
        let found = match &read {
            Ok(table) => table.rotation.to_string(),
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_is_shown_as_written() {
        for text in [
            "\"daily\"",
            "\"never\"",
            "{ when = \"hourly\", keep = 48 }",
            "{ size = \"100MB\", keep = 3 }",
        ] {
            check(text, text);
        }
        check("{ size = '1MiB' }", "{ size = \"1MiB\", keep = 7 }");
    }

    #[test]
    fn mistakes_are_explained() {
        check(
            "'weekly'",
            "unknown variant `weekly`, expected one of `daily`, `hourly`, `never`",
        );
        let one = "write one of `when` and `size`\n\
                   { when = \"daily\", keep = 14 } or { size = \"100MB\", keep = 7 }";
        check("{ keep = 3 }", one);
        check("{ when = 'daily', size = '1MB' }", one);
        check(
            "{ size = '1B' }",
            "`size` is at least \"4KiB\"\n\"100MB\" is a usual one",
        );
        for keep in ["0", "1001"] {
            let wrong = "`keep` is a number from 1 to 1000";
            check(&format!("{{ when = 'daily', keep = {keep} }}"), wrong);
        }
        check(
            "{ when = 'never', keep = 3 }",
            "nothing is kept of a file that never ends\nleave `keep` out",
        );
    }
}
