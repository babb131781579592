//! `rate_limit`: so many requests in a time, for each client, user, route or whatever else a
//! request tells of.
//!
//! Buckets are kept once for all workers and are exact: see `gcra` for the arithmetic and
//! `buckets` for where they are kept. Those that many daemons share are kept elsewhere: see
//! `shared` for how they are asked, `link` for the way there, `remote` for who is there.

mod buckets;
mod fields;
mod gcra;
mod link;
mod remote;
mod settings;
mod shared;

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use self::buckets::Buckets;
use self::fields::Fields;
use self::gcra::{Quota, Verdict};
use self::shared::{OnError, Shared};
use super::request_key::{self, Key, KeyBytes};
use crate::clock;
use crate::exchange::client::is_within;
use crate::exchange::{Exchange, Flow, Middleware, Response, Resume, Why};
use crate::http::{StatusCode, name};
use crate::telemetry::{Count, Gauge};

pub(super) use settings::KIND;

/// Lets so many requests through in a time.
#[derive(Debug)]
struct RateLimit(Arc<Limit>);

struct Limit {
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
    /// Where the buckets are, if not here.
    shared: Option<Shared>,
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
        let limit = &self.0;
        if is_within(x.client_ip, &limit.exempt) {
            return Flow::Continue;
        }
        let scope = match limit.scope {
            Scope::Policy => "",
            Scope::Route => x.route,
        };
        let Some(key) = limit.key.write(x, scope) else {
            return Flow::Continue;
        };
        match &limit.shared {
            None => {
                let verdict = limit.ask_buckets(&key, x.locals.worker);
                limit.settle(x, &verdict)
            }
            Some(shared) => Limit::ask_store(limit, shared, x, key),
        }
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Some(fields) = &self.0.fields
            && let Some(verdict) = x.held::<Verdict>(&*self.0)
        {
            fields.write(verdict, &mut response.headers);
        }
    }
}

/// So that it can hold verdicts for an exchange; its address stays when it is wrapped.
impl Middleware for Limit {}

impl Limit {
    /// Asks the store that many daemons share.
    fn ask_store(limit: &Arc<Self>, shared: &Shared, x: &Exchange<'_>, key: KeyBytes) -> Flow {
        let (link, worker) = (shared.link(x.locals), x.locals.worker);
        let limit = Arc::clone(limit);
        Flow::Wait(Box::pin(async move {
            let verdict = match &limit.shared {
                Some(shared) => shared.take(link, &key, worker).await,
                None => None,
            };
            Box::new(move |x: &mut Exchange<'_>| match verdict {
                Some(verdict) => limit.settle(x, &verdict),
                None => limit.unanswered(x, &key),
            }) as Resume
        }))
    }

    /// The store could not be asked.
    fn unanswered(&self, x: &mut Exchange<'_>, key: &[u8]) -> Flow {
        match self.shared.as_ref().map(|shared| shared.on_error) {
            Some(OnError::Allow) => Flow::Continue,
            Some(OnError::Deny) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let refusal = Response::error(status, Why::LimiterUnavailable);
                Flow::Respond(refusal.with(&name::RETRY_AFTER, "1"))
            }
            Some(OnError::Local) | None => {
                let verdict = self.ask_buckets(key, x.locals.worker);
                self.settle(x, &verdict)
            }
        }
    }

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

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("quota", &self.quota)
            .field("key", &self.key)
            .field("scope", &self.scope)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
