//! The open set: one file a kind, and the registry that names them all.

mod access_log;
mod basic_auth;
mod body_limit;
mod cache;
mod compression;
mod cors;
mod credentials;
mod enforce;
mod headers;
mod location;
mod log_fields;
mod paths;
mod redirect_host;
mod redirect_https;
mod request_id;
mod rewrite;
mod security_headers;
mod timeout;
mod trace_context;
mod trailing_slash;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for kinds whose every answer is a refusal")
)]
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
    redirect_host::KIND,
    redirect_https::KIND,
    request_id::KIND,
    rewrite::KIND,
    security_headers::KIND,
    timeout::KIND,
    trace_context::KIND,
    trailing_slash::KIND,
];

#[cfg(test)]
mod tests;
