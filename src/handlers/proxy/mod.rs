//! The reverse proxy: a request goes out to an endpoint of an upstream, its response comes back.

mod check;
mod settings;
mod upstream;
mod upstream_settings;

use std::sync::Arc;

use crate::exchange::{Exchange, Response, Why};
use crate::http::StatusCode;

pub(super) use settings::KIND;
use settings::Rewriting;
pub use upstream::Upstream;
pub use upstream_settings::UPSTREAM;

/// Passes requests on to an upstream.
#[derive(Debug)]
pub struct Proxy {
    upstream: Arc<Upstream>,
    rewriting: Rewriting,
}

impl Proxy {
    /// Passes the request on; the response that comes back, or why none did.
    pub(super) async fn handle(&self, _x: &mut Exchange<'_>) -> Response {
        Response::error(StatusCode::SERVICE_UNAVAILABLE, Why::NoEndpoint)
    }
}
