//! `Cache-Control`, of a response and of a request (RFC 9111 §5.2).

use super::{SECONDS_MAX, seconds};
use crate::http::{Headers, name};

/// What a response says to caches. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseDirectives {
    /// Keep nothing of it.
    pub no_store: bool,
    /// Ask before each use. The form that names fields counts as the one that does not.
    pub no_cache: bool,
    /// For one user; not for a shared cache. The form that names fields counts likewise.
    pub private: bool,
    /// For everyone, whatever the request carried.
    pub public: bool,
    /// Not to be used stale.
    pub must_revalidate: bool,
    /// Not to be used stale by shared caches.
    pub proxy_revalidate: bool,
    /// To be kept only by who knows what its status means.
    pub must_understand: bool,
    /// The content is not to be changed.
    pub no_transform: bool,
    /// It does not change as long as it is fresh (RFC 8246).
    pub immutable: bool,
    /// How long it is fresh.
    pub max_age: Option<u64>,
    /// How long it is fresh in a shared cache.
    pub s_maxage: Option<u64>,
    /// How long it may be used stale while a new one is fetched (RFC 5861 §3).
    pub stale_while_revalidate: Option<u64>,
    /// How long it may be used stale instead of an error (RFC 5861 §4).
    pub stale_if_error: Option<u64>,
}

/// What a client asks of caches. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestDirectives {
    /// Keep nothing of the answer.
    pub no_store: bool,
    /// Ask the origin.
    pub no_cache: bool,
    /// Do not ask the origin.
    pub only_if_cached: bool,
    /// Nothing older than this.
    pub max_age: Option<u64>,
    /// Stale by this much will do; [`SECONDS_MAX`] where no time was given.
    pub max_stale: Option<u64>,
    /// Fresh for this much longer.
    pub min_fresh: Option<u64>,
    /// Stale by this much will do instead of an error (RFC 5861 §4).
    pub stale_if_error: Option<u64>,
}

impl ResponseDirectives {
    /// Reads the fields of a response. Directives that nobody knows are passed over.
    pub fn read(headers: &Headers) -> Self {
        let mut all = Self::default();
        for (token, value) in members(headers) {
            match &*token.to_ascii_lowercase() {
                b"no-store" => all.no_store = true,
                b"no-cache" => all.no_cache = true,
                b"private" => all.private = true,
                b"public" => all.public = true,
                b"must-revalidate" => all.must_revalidate = true,
                b"proxy-revalidate" => all.proxy_revalidate = true,
                b"must-understand" => all.must_understand = true,
                b"no-transform" => all.no_transform = true,
                b"immutable" => all.immutable = true,
                b"max-age" => stricter(&mut all.max_age, value),
                b"s-maxage" => stricter(&mut all.s_maxage, value),
                b"stale-while-revalidate" => stricter(&mut all.stale_while_revalidate, value),
                b"stale-if-error" => stricter(&mut all.stale_if_error, value),
                _ => {}
            }
        }
        all
    }
}

impl RequestDirectives {
    /// Reads the fields of a request. Without `Cache-Control`, `Pragma: no-cache` counts as the
    /// directive (RFC 9111 §5.4).
    pub fn read(headers: &Headers) -> Self {
        let mut all = Self::default();
        if !headers.contains(&name::CACHE_CONTROL) {
            all.no_cache = headers.has_token(&name::PRAGMA, "no-cache");
            return all;
        }
        for (token, value) in members(headers) {
            match &*token.to_ascii_lowercase() {
                b"no-store" => all.no_store = true,
                b"no-cache" => all.no_cache = true,
                b"only-if-cached" => all.only_if_cached = true,
                b"max-age" => stricter(&mut all.max_age, value),
                b"stale-if-error" => stricter(&mut all.stale_if_error, value),
                b"max-stale" => match value {
                    None if all.max_stale.is_none() => all.max_stale = Some(SECONDS_MAX),
                    None => {}
                    Some(_) => stricter(&mut all.max_stale, value),
                },
                b"min-fresh" => {
                    let time = value.and_then(seconds);
                    all.min_fresh = all.min_fresh.max(time);
                }
                _ => {}
            }
        }
        all
    }
}

/// Names and values, the quotes of values taken off: recipients take both forms (§5.2).
fn members(headers: &Headers) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    headers.list(&name::CACHE_CONTROL).map(|member| {
        let Some(equals) = member.iter().position(|&byte| byte == b'=') else {
            return (member, None);
        };
        let (token, value) = member.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        (token.trim_ascii(), Some(quoted.unwrap_or(value)))
    })
}

/// A time said twice is the shorter one; a time that is none is 0, which is stale (§4.2.1).
fn stricter(time: &mut Option<u64>, value: Option<&[u8]>) {
    let said = value.and_then(seconds).unwrap_or(0);
    *time = Some(time.map_or(said, |before| before.min(said)));
}
