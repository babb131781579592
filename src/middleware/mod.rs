//! The open set: one file a kind, and the registry that names them all.

mod access_log;
mod compression;
mod cors;
mod headers;
mod log_fields;
mod request_id;
mod trace_context;

use crate::build::Kind;
use crate::exchange::Middleware;

/// Every kind of middleware, sorted by name.
pub const REGISTRY: &[Kind<Box<dyn Middleware>>] = &[
    access_log::KIND,
    compression::KIND,
    cors::KIND,
    headers::KIND,
    log_fields::KIND,
    request_id::KIND,
    trace_context::KIND,
];

#[cfg(test)]
mod tests;
