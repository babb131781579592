//! Whether endpoints are well: what checks find, what requests tell, and what follows.

pub(super) mod active;
pub(super) mod breaker;
pub(super) mod history;
pub(super) mod outlier;
pub(super) mod slow_start;
mod standing;

pub(super) use self::outlier::Passive;
pub(super) use self::standing::{Standing, Verdicts};
