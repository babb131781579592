//! The open set: one file a kind, and the registry that names them all.

mod access_log;
mod basic_auth;
mod body_limit;
mod cache;
mod compression;
mod cors;
mod credentials;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for kinds whose every answer is a refusal")
)]
mod enforce;
mod headers;
mod log_fields;
mod request_id;
mod timeout;
mod trace_context;

use crate::build::Kind;
use crate::exchange::Middleware;

/// Every kind of middleware, sorted by name.
pub const REGISTRY: &[Kind<Box<dyn Middleware>>] = &[
    access_log::KIND,
    basic_auth::KIND,
    body_limit::KIND,
    cache::KIND,
    compression::KIND,
    cors::KIND,
    headers::KIND,
    log_fields::KIND,
    request_id::KIND,
    timeout::KIND,
    trace_context::KIND,
];

#[cfg(test)]
mod tests;
