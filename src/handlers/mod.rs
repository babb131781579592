//! The closed set: what makes a response.

use crate::build::Kind;
use crate::exchange::{Exchange, Response, Why};
use crate::http::StatusCode;

/// Every kind of handler, sorted by name: the keys a `[[route]]` may hold one of.
pub const REGISTRY: &[Kind<Handler>] = &[];

/// What makes the response of a route.
#[derive(Debug)]
pub enum Handler {
    /// No route matched: 404.
    NotFound,
}

impl Handler {
    /// Makes the response. Never fails: what goes wrong below is a response.
    pub async fn handle(&self, _x: &mut Exchange<'_>) -> Response {
        match self {
            Self::NotFound => Response::error(StatusCode::NOT_FOUND, Why::RouteNone),
        }
    }
}
