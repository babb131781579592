//! The open set: one file a kind, and the registry that names them all.

mod access_log;
mod api_key;
mod asking;
mod bandwidth_limit;
mod basic_auth;
mod body_limit;
mod cache;
mod compression;
mod concurrency_limit;
mod cors;
mod credentials;
mod current;
mod enforce;
mod error_pages;
mod fault_injection;
mod file_stream;
mod forward_auth;
mod headers;
mod hosts;
mod ip_filter;
mod jwt;
mod location;
mod log_fields;
mod maintenance;
mod paths;
mod rate_limit;
mod redirect_host;
mod redirect_https;
mod referrer_filter;
mod refusal;
mod request_id;
mod request_key;
mod rewrite;
mod security_headers;
mod timeout;
mod told;
mod trace_context;
mod trailing_slash;
mod user_agent_filter;
mod watched;

use crate::build::Kind;
use crate::exchange::Middleware;

/// Every kind of middleware, sorted by name.
pub const REGISTRY: &[Kind<Box<dyn Middleware>>] = &[
    access_log::KIND,
    api_key::KIND,
    bandwidth_limit::KIND,
    basic_auth::KIND,
    body_limit::KIND,
    cache::KIND,
    compression::KIND,
    concurrency_limit::KIND,
    cors::KIND,
    error_pages::KIND,
    fault_injection::KIND,
    forward_auth::KIND,
    headers::KIND,
    ip_filter::KIND,
    jwt::KIND,
    log_fields::KIND,
    maintenance::KIND,
    rate_limit::KIND,
    redirect_host::KIND,
    redirect_https::KIND,
    referrer_filter::KIND,
    request_id::KIND,
    rewrite::KIND,
    security_headers::KIND,
    timeout::KIND,
    trace_context::KIND,
    trailing_slash::KIND,
    user_agent_filter::KIND,
];

#[cfg(test)]
mod tests;
