//! `access_log`: a line for each exchange, however it ended.

mod buffers;
mod format;
mod settings;

use std::sync::Arc;

use buffers::Buffers;
use format::Format;
pub(super) use settings::KIND;

use crate::build::Sink;
use crate::exchange::{Exchange, Middleware, Outcome};

/// Writes a line for each exchange.
#[derive(Debug)]
struct AccessLog {
    format: Format,
    sink: Arc<dyn Sink>,
    /// Paths of which nothing is logged.
    skipped: Box<[Skipped]>,
}

/// A path, or all below one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Skipped {
    path: Box<[u8]>,
    /// What is below is skipped too.
    below: bool,
}

impl Middleware for AccessLog {
    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        let path = x.request.target.path();
        if self.skipped.iter().any(|skipped| skipped.covers(path)) {
            return;
        }
        Buffers::of(x.locals).line(&self.sink, |stamp, line| {
            self.format.write(x, outcome, stamp, line);
        });
    }
}

impl Skipped {
    fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(&*self.path)
            .is_some_and(|below| below.is_empty() || (self.below && below.starts_with(b"/")))
    }
}

#[cfg(test)]
mod tests;
