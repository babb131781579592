//! Which responses a shared cache may keep (RFC 9111 §3, §3.5).

use super::{Lifetime, RequestDirectives, ResponseDirectives, validation};
use crate::http::{Headers, Method, StatusCode, name};

/// Why a response is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Only what GET asks for is kept.
    Method,
    /// Interim, partial or confirming: no whole response; or not understood where it must be.
    Status,
    /// The client asked for it.
    RequestNoStore,
    /// The response asks for it.
    NoStore,
    /// It is for one user.
    Private,
    /// The request was authorized, and nothing says that others may have the answer.
    Authorization,
    /// It sets a cookie, and nothing says that others may have it.
    SetCookie,
    /// Nobody can tell whom it fits: `Vary: *`.
    VaryAny,
    /// It is stale as it comes and cannot be asked about: it could never be used.
    Useless,
    /// It is larger than may be kept of one.
    TooLarge,
}

impl Refusal {
    /// A word for `Cache-Status` and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::Useless => "no-freshness",
            Self::TooLarge => "too-large",
        }
    }
}

/// What of the request decides whether its response may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether it carried `Authorization`, or had to prove something in another way.
    pub authorized: bool,
    /// What it asks of caches.
    pub directives: &'a RequestDirectives,
}

/// Whether a shared cache may keep this response, and would ever use it.
///
/// # Errors
/// It may not, or it would not.
pub fn may_store(
    asked: &Asked<'_>,
    status: StatusCode,
    headers: &Headers,
    directives: &ResponseDirectives,
    lifetime: Lifetime,
) -> Result<(), Refusal> {
    if *asked.method != Method::Get {
        return Err(Refusal::Method);
    }
    if status.is_informational()
        || status == StatusCode::PARTIAL_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || (directives.must_understand && !is_understood(status))
    {
        return Err(Refusal::Status);
    }
    if asked.directives.no_store {
        return Err(Refusal::RequestNoStore);
    }
    // Who understands the status passes over the `no-store` beside `must-understand`: it is for
    // caches that do not know the directive (§5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if directives.private {
        return Err(Refusal::Private);
    }
    let is_shared = directives.public || directives.s_maxage.is_some();
    // §3.5.
    if asked.authorized && !is_shared && !directives.must_revalidate {
        return Err(Refusal::Authorization);
    }
    // The RFC leaves it to the origin to forbid (§7.3); origins forget, and one user's session
    // would be everybody's.
    if headers.contains(&name::SET_COOKIE) && !is_shared {
        return Err(Refusal::SetCookie);
    }
    if headers.has_token(&name::VARY, "*") {
        return Err(Refusal::VaryAny);
    }
    let has_validator = validation::can_be_asked_about(headers);
    let may_be_kept = lifetime.explicit || directives.public || is_cacheable_by_default(status);
    let is_fresh = lifetime.seconds > 0 && !directives.no_cache;
    let is_graced = directives
        .stale_while_revalidate
        .is_some_and(|time| time > 0)
        || directives.stale_if_error.is_some_and(|time| time > 0);
    if !may_be_kept || !(is_fresh || has_validator || is_graced) {
        return Err(Refusal::Useless);
    }
    Ok(())
}

/// Whether responses of this status may be kept without saying so (RFC 9110 §15.1). 206 is one
/// of them, but parts are not kept here.
pub const fn is_cacheable_by_default(status: StatusCode) -> bool {
    matches!(
        status.code(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Whether this cache does all that the status asks of caches: those of RFC 9110 that say
/// nothing about caches but when they may be kept.
const fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.code(),
        200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505
    )
}
