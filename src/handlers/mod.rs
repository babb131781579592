//! The closed set: what makes a response.

pub mod static_files;

use crate::build::Kind;
use crate::exchange::{Exchange, Response, Why};
use crate::http::StatusCode;
use static_files::StaticFiles;

/// Every kind of handler, sorted by name: the keys a `[[route]]` may hold one of.
pub const REGISTRY: &[Kind<Handler>] = &[static_files::KIND];

/// What makes the response of a route.
#[derive(Debug)]
pub enum Handler {
    /// Files of a directory.
    Static(Box<StaticFiles>),
    /// No route matched: 404.
    NotFound,
}

impl Handler {
    /// Makes the response. Never fails: what goes wrong below is a response.
    pub async fn handle(&self, x: &mut Exchange<'_>) -> Response {
        match self {
            Self::Static(files) => files.handle(x).await,
            Self::NotFound => Response::error(StatusCode::NOT_FOUND, Why::RouteNone),
        }
    }
}
