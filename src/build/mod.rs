//! The load-time contracts: what turns a TOML table into a middleware or a handler.

pub mod carry_over;
pub mod context;
#[cfg(test)]
mod fields;
mod files;
mod foreign;
pub mod from_text;
pub mod key;
pub mod problem;
pub mod rates;
pub mod regex;
pub mod rotation;
pub mod secret;
pub mod section;
mod settings;
pub mod sink;
mod statuses;
pub mod toggle;
pub mod units;
pub mod wording;
pub mod words;

use std::fmt;

pub use carry_over::CarryOver;
pub use context::{BuildContext, ParseContext, Probe};
pub use files::Files;
pub use from_text::UnitError;
pub use key::Key;
pub(crate) use key::keys;
pub use problem::{Problem, Span};
pub use rates::{ByteRate, Percent, Rate};
pub use regex::Regex;
pub use rotation::{Rotation, Turn};
pub use secret::Secret;
pub use section::Section;
pub use sink::{MemorySinks, Sink, SinkTarget, Sinks};
pub use statuses::Statuses;
pub use toggle::Toggle;
pub use units::{ByteSize, HumanDuration};
pub use words::Network;

/// A kind of middleware or handler: all that the rest of the program knows of it.
pub struct Kind<T: 'static> {
    /// What the file calls it: `type = "cors"`, `static = {…}`. `snake_case`.
    pub name: &'static str,
    /// One line, for `--help` and the reference.
    pub summary: &'static str,
    /// The body of its table in TOML; a test builds it.
    pub example: &'static str,
    /// What the reference says of each of its keys; a test tells which are missing.
    pub keys: &'static [Key],
    /// Reads its settings. Pure: no I/O. Mistakes go to the context, all of them.
    pub parse: Parse<T>,
}

/// Reads the settings of a kind.
pub type Parse<T> = fn(&Section<'_>, &mut ParseContext<'_>) -> Option<Box<dyn Settings<T>>>;

/// Settings that were read and are right by themselves.
pub trait Settings<T>: fmt::Debug + Send + Sync {
    /// Makes the thing. May do I/O: open the root, read the file.
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<T, Box<Problem>>;
}

impl<T> fmt::Debug for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}
