//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use super::{ResponseDirectives, SECONDS_MAX, seconds, storing};
use crate::http::conditional::only_date;
use crate::http::{Headers, StatusCode, name};

/// What the operator decides where a response leaves it open. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// The longest lifetime that is guessed from `Last-Modified`: a tenth of the time since then,
    /// up to this. 0 guesses nothing.
    pub heuristic_max: u64,
    /// The lifetime of what says nothing at all, if its status is cacheable by default.
    pub default_lifetime: u64,
}

/// How long a response is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Seconds, counted from when the origin made it.
    pub seconds: u64,
    /// The response says so itself.
    pub explicit: bool,
}

/// How long a response is fresh in a shared cache (RFC 9111 §4.2.1). `received` is when it came,
/// in seconds since 1970.
pub fn lifetime(
    status: StatusCode,
    headers: &Headers,
    directives: &ResponseDirectives,
    received: u64,
    policy: Policy,
) -> Lifetime {
    let explicit = |seconds| Lifetime {
        seconds,
        explicit: true,
    };
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return explicit(seconds);
    }
    let made = made(headers, received);
    if headers.contains(&name::EXPIRES) {
        // Broken, or said twice: long gone (§5.3).
        let expires = only_date(headers, &name::EXPIRES, received).unwrap_or(0);
        return explicit(expires.saturating_sub(made).min(SECONDS_MAX));
    }
    if !storing::is_cacheable_by_default(status) && !directives.public {
        return Lifetime::default();
    }
    let modified = only_date(headers, &name::LAST_MODIFIED, received);
    let seconds = match modified {
        // §4.2.2: a tenth is what everybody takes.
        Some(modified) if policy.heuristic_max > 0 => {
            (made.saturating_sub(modified) / 10).min(policy.heuristic_max)
        }
        _ => policy.default_lifetime,
    };
    Lifetime {
        seconds,
        explicit: false,
    }
}

/// How old a response is as it comes (RFC 9111 §4.2.3): the larger of what the clocks say and
/// what the caches on the way counted. All in seconds; `requested` and `received` since 1970.
pub fn initial_age(headers: &Headers, requested: u64, received: u64) -> u64 {
    let apparent = received.saturating_sub(made(headers, received));
    let delay = received.saturating_sub(requested);
    let corrected = told_age(headers).saturating_add(delay);
    apparent.max(corrected).min(SECONDS_MAX)
}

/// How old a stored response is: as it came, and how long it has been here.
pub fn current_age(initial: u64, resident: u64) -> u64 {
    initial.saturating_add(resident).min(SECONDS_MAX)
}

/// When the origin made it; a response without a date was made when it came (RFC 9110 §6.6.1).
fn made(headers: &Headers, received: u64) -> u64 {
    only_date(headers, &name::DATE, received).unwrap_or(received)
}

/// The first `Age`; one that is no number is passed over (RFC 9111 §5.1).
fn told_age(headers: &Headers) -> u64 {
    let first = headers.list(&name::AGE).next();
    first.and_then(seconds).unwrap_or(0)
}
