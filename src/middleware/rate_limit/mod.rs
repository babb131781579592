//! `rate_limit`: so many requests in a time, for each client, user, route or whatever else a
//! request tells of.
//!
//! Buckets are kept once for all workers and are exact: see `gcra` for the arithmetic and
//! `buckets` for where they are kept.

mod buckets;
mod fields;
mod gcra;
mod settings;

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use self::buckets::Buckets;
use self::fields::Fields;
use self::gcra::{Quota, Verdict};
use super::request_key::{self, Key};
use crate::clock;
use crate::exchange::client::is_within;
use crate::exchange::{Exchange, Flow, Middleware, Response, Why};
use crate::http::StatusCode;
use crate::telemetry::{Count, Gauge};

pub(super) use settings::KIND;

/// Lets so many requests through in a time.
struct RateLimit {
    quota: Quota,
    key: Key,
    scope: Scope,
    /// Clients that are not counted.
    exempt: Box<[IpNet]>,
    /// What the client is told; nothing if that was not wanted.
    fields: Option<Fields>,
    /// What a refused request is answered with.
    status: StatusCode,
    buckets: Arc<Buckets>,
    keys_max: usize,
    kept: Gauge,
    evicted: Count,
}

/// Which routes share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// All that name the policy.
    #[default]
    Policy,
    /// Each has its own.
    Route,
}

impl Middleware for RateLimit {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if is_within(x.client_ip, &self.exempt) {
            return Flow::Continue;
        }
        let scope = match self.scope {
            Scope::Policy => "",
            Scope::Route => x.route,
        };
        let Some(key) = self.key.write(x, scope) else {
            return Flow::Continue;
        };
        let verdict = self.ask_buckets(&key, x.locals.worker);
        self.settle(x, &verdict)
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Some(fields) = &self.fields
            && let Some(verdict) = x.held::<Verdict>(self)
        {
            fields.write(verdict, &mut response.headers);
        }
    }
}

impl RateLimit {
    /// Asks the buckets of this process.
    fn ask_buckets(&self, key: &[u8], worker: usize) -> Verdict {
        let key = request_key::hash(key, self.buckets.hasher());
        let taken = self
            .buckets
            .take(key, &self.quota, self.keys_max, clock::precise_now);
        if taken.kept != 0 {
            self.kept.add(worker, taken.kept);
        }
        if taken.evicted != 0 {
            self.evicted.add(worker, taken.evicted);
        }
        taken.verdict
    }

    fn settle(&self, x: &mut Exchange<'_>, verdict: &Verdict) -> Flow {
        if verdict.passes() {
            if self.fields.is_some() {
                x.hold(self, *verdict);
            }
            return Flow::Continue;
        }
        let mut refusal = fields::refusal(self.status, verdict);
        if let Some(fields) = &self.fields {
            fields.write(verdict, &mut refusal.headers);
        }
        refusal.why = Some(Why::RateLimited);
        Flow::Respond(refusal)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("quota", &self.quota)
            .field("key", &self.key)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
