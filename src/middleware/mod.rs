//! The open set: one file a kind, and the registry that names them all.

use crate::build::Kind;
use crate::exchange::Middleware;

/// Every kind of middleware, sorted by name.
pub const REGISTRY: &[Kind<Box<dyn Middleware>>] = &[];
