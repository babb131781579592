//! What responses are stored under: the URL.

use smallvec::SmallVec;

use crate::http::RequestHead;

/// A URL: `http://site/path?query`. Most fit without an allocation.
pub(super) type Key = SmallVec<[u8; 256]>;

/// The URL of a request (RFC 9111 §2). The scheme is a part of it, since what answers may answer
/// differently; the host is told in lower case and without its default port; the path as an
/// upstream is asked for it: normalised, percent-encoding as it was written.
pub(super) fn of(request: &RequestHead, scheme: &str) -> Key {
    let mut key = origin(scheme, request.authority());
    key.extend_from_slice(request.target.upstream_path().as_bytes());
    if let Some(query) = request.target.query() {
        key.push(b'?');
        key.extend_from_slice(query.as_bytes());
    }
    key
}

/// The same for a path, with query, of the same origin.
pub(super) fn beside(request: &RequestHead, scheme: &str, path: &str) -> Key {
    let mut key = origin(scheme, request.authority());
    key.extend_from_slice(path.as_bytes());
    key
}

fn origin(scheme: &str, authority: &str) -> Key {
    let mut key = Key::new();
    key.extend_from_slice(scheme.as_bytes());
    key.extend_from_slice(b"://");
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = authority.strip_suffix(port).unwrap_or(authority);
    let start = key.len();
    key.extend_from_slice(host.as_bytes());
    if let Some(host) = key.get_mut(start..) {
        host.make_ascii_lowercase();
    }
    key
}
