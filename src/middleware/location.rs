//! Where the redirects lead: the same path and query, another origin or another spelling.

use toml::Spanned;

use crate::build::{ParseContext, Section};
use crate::exchange::{Exchange, Flow, Response, Why};
use crate::http::authority::is_host;
use crate::http::{StatusCode, name};

/// A redirect to the same path and query at another origin.
pub(super) fn elsewhere(
    x: &Exchange<'_>,
    status: StatusCode,
    scheme: &str,
    authority: &str,
) -> Response {
    let mut location = Vec::with_capacity(128);
    for part in [scheme, "://", authority] {
        location.extend_from_slice(part.as_bytes());
    }
    path_and_query(x, &x.request.target.upstream_path(), &mut location);
    Response::new(status).with(&name::LOCATION, location)
}

/// A redirect to another path of the same origin, with the same query.
pub(super) fn spelled(x: &Exchange<'_>, status: StatusCode, path: &str) -> Response {
    let mut location = Vec::with_capacity(128);
    path_and_query(x, path, &mut location);
    Response::new(status).with(&name::LOCATION, location)
}

/// For a request that names no host, where one is needed. One without a route is refused for a
/// reason of its own.
pub(super) fn no_host(x: &Exchange<'_>) -> Flow {
    if x.route.is_empty() {
        return Flow::Continue;
    }
    Flow::Respond(Response::error(StatusCode::BAD_REQUEST, Why::BadHost))
}

fn path_and_query(x: &Exchange<'_>, path: &str, location: &mut Vec<u8>) {
    location.extend_from_slice(path.as_bytes());
    if let Some(query) = x.request.target.query() {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
}

/// The status of a redirect, 308 if none is written: for good, and the method stays.
pub(super) fn status(
    written: Option<&Spanned<StatusCode>>,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> StatusCode {
    let Some(written) = written else {
        return StatusCode::PERMANENT_REDIRECT;
    };
    let status = *written.get_ref();
    if !matches!(status.code(), 301 | 302 | 307 | 308) {
        cx.refuse(
            section,
            written.span(),
            format!("{status} is not the status of such a redirect"),
            "301 and 308 are for good, 302 and 307 for now; 307 and 308 keep the method",
        );
    }
    status
}

/// Whether this can be the host of a URL: `example.com`, `example.com:8443`, `[::1]`.
pub(super) fn is_authority(text: &str) -> bool {
    !text.is_empty() && !text.contains('*') && is_host(text.as_bytes())
}
