//! Host, path, method → route.

#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation
)]

pub mod chain;
pub mod host;
mod index;
pub mod matcher;
mod methods;
pub mod oracle;
pub mod pattern;
pub mod route;
pub mod rule;
pub mod shadow;
pub mod table;
#[cfg(test)]
mod testing;
mod tree;

pub use chain::Chain;
pub use host::HostPattern;
pub use matcher::{FieldMatch, QueryMatch, Test};
pub use pattern::{PathPattern, PatternError};
pub use route::Route;
pub use rule::Rule;
pub use shadow::shadowed;
pub use table::{Found, Table};
