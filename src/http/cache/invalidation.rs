//! What an unsafe request makes wrong (RFC 9111 §4.4).

use crate::http::{Headers, Method, StatusCode, name};

/// Whether what is stored for the target of a request is dropped: its method may have changed
/// something, and it was not refused. Methods that nobody knows may change something.
pub const fn invalidates(method: &Method, status: StatusCode) -> bool {
    !method.is_safe() && (status.is_success() || status.is_redirection())
}

/// The other paths, with query, whose stored responses are dropped: those that `Location` and
/// `Content-Location` name, if they are of the same origin: others are not its to drop.
pub fn also_named<'h>(
    response: &'h Headers,
    scheme: &str,
    authority: &str,
) -> impl Iterator<Item = &'h str> {
    let own = move |url: &'h str| path_within(url, scheme, authority);
    let named = [&name::LOCATION, &name::CONTENT_LOCATION];
    let named = named
        .into_iter()
        .filter_map(|field| response.get_str(field));
    named.filter_map(own).collect::<Vec<_>>().into_iter()
}

/// The path and query of a URL of this origin, without fragment. A reference relative to the
/// path is left alone.
pub fn path_within<'u>(url: &'u str, scheme: &str, authority: &str) -> Option<&'u str> {
    let url = url.split('#').next().unwrap_or_default();
    if url.starts_with('/') && !url.starts_with("//") {
        return Some(url);
    }
    let (other, rest) = match url.strip_prefix("//") {
        Some(rest) => (scheme, rest),
        None => url.split_once("://")?,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    let is_own = other.eq_ignore_ascii_case(scheme) && host.eq_ignore_ascii_case(authority);
    let path = if path.is_empty() { "/" } else { path };
    is_own.then_some(path).filter(|path| path.starts_with('/'))
}
