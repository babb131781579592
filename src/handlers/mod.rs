//! The closed set: what makes a response.

mod address;
mod checking;
pub mod health;
pub mod metrics;
pub mod proxy;
pub mod redirect;
pub mod respond;
pub mod static_files;
mod statuses;

use crate::build::Kind;
use crate::exchange::{Exchange, Response, Why};
use crate::http::StatusCode;
use health::Health;
use metrics::Metrics;
use proxy::Proxy;
pub use proxy::UPSTREAM;
use redirect::Redirect;
use respond::Respond;
use static_files::StaticFiles;

/// Every kind of handler, sorted by name: the keys a `[[route]]` may hold one of.
pub const REGISTRY: &[Kind<Handler>] = &[
    health::KIND,
    metrics::KIND,
    proxy::KIND,
    redirect::KIND,
    respond::KIND,
    static_files::KIND,
];

/// What makes the response of a route.
#[derive(Debug)]
pub enum Handler {
    /// Health of the daemon.
    Health(Box<Health>),
    /// What the daemon counts.
    Metrics(Box<Metrics>),
    /// An upstream.
    Proxy(Box<Proxy>),
    /// Somewhere else.
    Redirect(Box<Redirect>),
    /// A response written in the configuration.
    Respond(Box<Respond>),
    /// Files of a directory.
    Static(Box<StaticFiles>),
    /// No route matched: 404.
    NotFound,
}

impl Handler {
    /// Makes the response. Never fails: what goes wrong below is a response.
    pub async fn handle(&self, x: &mut Exchange<'_>) -> Response {
        match self {
            Self::Health(health) => health.handle(x),
            Self::Metrics(metrics) => metrics.handle(x).await,
            Self::Proxy(proxy) => proxy.handle(x).await,
            Self::Redirect(redirect) => redirect.handle(x),
            Self::Respond(respond) => respond.handle(x),
            Self::Static(files) => files.handle(x).await,
            Self::NotFound => Response::error(StatusCode::NOT_FOUND, Why::RouteNone),
        }
    }

    /// The response of those who make it of the request and what is configured; `None` of all
    /// others, who ask files, servers or the daemon.
    pub fn foretell(&self, x: &Exchange<'_>) -> Option<Response> {
        match self {
            Self::Redirect(redirect) => Some(redirect.handle(x)),
            Self::Respond(respond) => Some(respond.handle(x)),
            Self::NotFound => Some(Response::error(StatusCode::NOT_FOUND, Why::RouteNone)),
            Self::Health(_) | Self::Metrics(_) | Self::Proxy(_) | Self::Static(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::key::wrong_keys;

    #[test]
    fn the_reference_knows_every_key() {
        let mut wrong: Vec<String> = REGISTRY.iter().flat_map(wrong_keys).collect();
        wrong.extend(wrong_keys(&UPSTREAM));
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}
