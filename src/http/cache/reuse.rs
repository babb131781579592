//! Whether a stored response answers a request as it is (RFC 9111 §4.2.4, §5.2; RFC 5861).

use super::{RequestDirectives, ResponseDirectives};

/// What is done with a stored response that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// It is fresh: it answers.
    Fresh,
    /// It is stale, but answers while a new one is fetched.
    StaleWhileRevalidate,
    /// It is stale, and the client said that this will do.
    Stale,
    /// The origin is asked whether it still holds.
    Revalidate(Cause),
}

/// Why the origin is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is stale, or always to be asked about.
    Stale,
    /// It would do, but the client wants more.
    Request,
}

/// How long stale responses that say nothing themselves may be used, in seconds. Set by the
/// operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grace {
    /// While a new one is fetched.
    pub while_revalidate: u64,
    /// Instead of an error.
    pub if_error: u64,
}

/// What is known of a stored response when a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidate {
    /// How old it is, in seconds.
    pub age: u64,
    /// How long it is fresh, in seconds.
    pub lifetime: u64,
    /// What it says to caches.
    pub directives: ResponseDirectives,
}

impl Candidate {
    /// Whether it is fresh: younger than its lifetime (§4.2).
    pub const fn is_fresh(&self) -> bool {
        self.age < self.lifetime
    }

    /// How long it has been stale, in seconds.
    const fn staleness(&self) -> u64 {
        self.age.saturating_sub(self.lifetime)
    }

    /// Whether it says that it must not be used stale, whatever a client or an operator allows.
    const fn forbids_stale(&self) -> bool {
        let directives = &self.directives;
        directives.no_cache || directives.must_revalidate || directives.proxy_revalidate
    }

    /// How long it may be used stale: what it says itself, or what the operator says. `s-maxage`
    /// forbids it (§5.2.2.10) unless the same response allows it: it is there to be obeyed as a
    /// whole.
    fn grace(&self, own: Option<u64>, operator: u64) -> u64 {
        match own {
            _ if self.forbids_stale() => 0,
            Some(own) => own,
            None if self.directives.s_maxage.is_some() => 0,
            None => operator,
        }
    }

    /// What is done with it for a request with these directives.
    pub fn reuse(&self, asked: &RequestDirectives, grace: Grace) -> Reuse {
        if self.directives.no_cache {
            return Reuse::Revalidate(Cause::Stale);
        }
        if asked.no_cache {
            return Reuse::Revalidate(Cause::Request);
        }
        let too_old = asked.max_age.map_or(0, |max| self.age.saturating_sub(max));
        let wanted = asked.min_fresh.unwrap_or(0);
        let left = self.lifetime.saturating_sub(self.age);
        let does_for_client = too_old == 0 && left >= wanted;
        if self.is_fresh() && does_for_client {
            return Reuse::Fresh;
        }
        let grace = self.grace(
            self.directives.stale_while_revalidate,
            grace.while_revalidate,
        );
        let is_graced = !self.is_fresh() && self.staleness() < grace;
        if is_graced && too_old == 0 && wanted == 0 {
            return Reuse::StaleWhileRevalidate;
        }
        let forbidden = self.forbids_stale() || self.directives.s_maxage.is_some();
        let staleness = self.staleness().max(too_old);
        if asked.max_stale.is_some_and(|max| staleness <= max) && wanted == 0 && !forbidden {
            return Reuse::Stale;
        }
        Reuse::Revalidate(if self.is_fresh() {
            Cause::Request
        } else {
            Cause::Stale
        })
    }

    /// Whether it may answer instead of an error of the origin (RFC 5861 §4).
    pub fn answers_error(&self, asked: &RequestDirectives, grace: Grace) -> bool {
        let own = self.grace(self.directives.stale_if_error, grace.if_error);
        let forbidden = self.forbids_stale() || self.directives.s_maxage.is_some();
        let client = asked.stale_if_error.filter(|_| !forbidden).unwrap_or(0);
        // Fresh by itself, and asked about only because the client wanted so.
        let is_fresh = self.is_fresh() && !self.directives.no_cache;
        is_fresh || self.staleness() < own.max(client)
    }
}
