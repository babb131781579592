//! What an operator turns on and off while the daemon runs.

use std::fmt;

/// Something that can be turned on and off: a named instance of a middleware. It keeps how it was
/// turned in state that outlives its configuration.
pub trait Toggle: Send + Sync + fmt::Debug {
    /// The kind: `maintenance`.
    fn kind(&self) -> &'static str;

    /// The name of the instance.
    fn name(&self) -> &str;

    /// Turns it on or off.
    ///
    /// # Errors
    /// It stays on for another reason than that it was turned on: which.
    fn turn(&self, on: bool) -> Result<(), String>;

    /// Whether it is on, for whatever reason.
    fn is_on(&self) -> bool;
}
