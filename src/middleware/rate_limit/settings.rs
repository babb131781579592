//! What a `rate_limit` table may say.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::buckets::Buckets;
use super::fields::Fields;
use super::gcra::Quota;
use super::remote::Server;
use super::shared::{self, OnError, Shared};
use super::{Limit, RateLimit, Scope};
use crate::build::{
    BuildContext, HumanDuration, Kind, Network, ParseContext, Problem, Rate, Secret, Section,
    Settings, keys,
};
use crate::clock;
use crate::exchange::Middleware;
use crate::http::StatusCode;
use crate::middleware::enforce::{Policy, default_enforce};
use crate::middleware::refusal;
use crate::middleware::request_key::{Key, Missing, Part, Words};

/// Lets so many requests through in a time.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "rate_limit",
    summary: "Lets so many requests through in a time: 429 for those above",
    example: r#"
rate = "100/m"            # how fast a bucket fills
burst = 20                # how many requests a full bucket holds
cost = 1                  # how many tokens a request takes
key = "client_ip"         # or a list: ["user", "route"], ["header.X-API-Key", "path.id"]
missing = "client_ip"     # who lacks a part of the key: by address, or "skip", or "share"
scope = "policy"          # "route": each route has buckets of its own
exempt = ["127.0.0.1", "10.0.0.0/8"]     # addresses that are not counted
headers = true            # tell clients what is left
status = 429              # of a refusal
max_keys = 1000000        # how many buckets are kept; then the fullest go
store = "redis://:${REDIS_PASSWORD}@10.0.0.5:6379/0"     # one limit for many daemons
store_timeout = "50ms"    # how long a request waits for it
on_error = "local"        # if it does not answer; or "allow", "deny"
enforce = true            # false: only count and log what would be refused
"#,
    keys: keys! {
        "rate": "rate", "how fast a bucket fills: `100/m`, `5/10s`";
        "burst": "number" = "(what `rate` gives in its time)",
            "how many requests a full bucket holds: so many may come at once";
        "cost": "number" = "1", "how many tokens of the bucket a request takes";
        "key": "word or list of words" = r#""client_ip""#,
            "whose bucket: `client_ip` (of IPv6 the /64), `user`, `route`, `host`, `method`, \
             `header.NAME`, `cookie.NAME`, `path.NAME`, `query.NAME`, `claim.NAME` of a token, any \
             variable of a request, \
             or a list of these together";
        "missing": "\"client_ip\", \"skip\" or \"share\"" = r#""client_ip""#,
            "what stands for a part of the key that a request lacks: its address, nothing (it \
             is not counted), or one bucket for all of them";
        "scope": "\"policy\" or \"route\"" = r#""policy""#,
            "whether routes that name the policy share buckets or have each their own";
        "exempt": "list of networks" = "[]", "clients that are not counted";
        "headers": "true or false" = "true",
            "whether responses say what is left: `RateLimit`, `RateLimit-Policy`, \
             `X-RateLimit-*`";
        "status": "status" = "429", "the status of a refusal: 429 or 503";
        "max_keys": "number" = "1000000",
            "how many buckets are kept, at some 60 bytes each; then those with the most left go";
        "store": "secret URL" = "(none)",
            "a Redis or Valkey server that keeps the buckets for all daemons that name it: \
             `redis://USER:PASSWORD@HOST:PORT/DATABASE`, \
             `redis+unix:///PATH?db=DATABASE&user=USER&pass=PASSWORD`";
        "store_timeout": "duration" = "(50ms)", "how long a request waits for the store";
        "on_error": "\"allow\", \"deny\" or \"local\"" = "(local)",
            "what becomes of a request when the store does not answer: it passes, it is answered \
             with 503, or the buckets of this process decide";
        "enforce": "true or false" = "true", "false: count and log only, and refuse nothing";
    },
    parse,
};

/// As many as the memory that limits may have holds: some 60 MiB.
const KEYS_MAX: usize = 1_000_000;

/// Twice as many open connections as any machine has; beyond is a slip of the pen.
const KEYS_MOST: usize = 100_000_000;

/// Less than that no network answers in; and clients do not wait longer to be let in.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rate: Spanned<Rate>,
    #[serde(default)]
    burst: Option<Spanned<u32>>,
    #[serde(default)]
    cost: Option<Spanned<u32>>,
    #[serde(default)]
    key: Option<Spanned<Words>>,
    #[serde(default)]
    missing: Missing,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    exempt: Vec<Network>,
    #[serde(default = "yes")]
    headers: bool,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default)]
    max_keys: Option<Spanned<usize>>,
    #[serde(default)]
    store: Option<Spanned<Secret>>,
    #[serde(default)]
    store_timeout: Option<Spanned<HumanDuration>>,
    #[serde(default)]
    on_error: Option<Spanned<OnError>>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

const fn yes() -> bool {
    true
}

/// Read and right.
#[derive(Debug)]
struct RateLimitSettings {
    rate: Rate,
    quota: Quota,
    key: Key,
    scope: Scope,
    exempt: Box<[IpNet]>,
    headers: bool,
    status: StatusCode,
    keys_max: usize,
    store: Option<Store>,
    enforce: bool,
}

/// Where buckets are shared.
#[derive(Debug)]
struct Store {
    url: Secret,
    timeout: Duration,
    on_error: OnError,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    // What can be read beside its mistakes may have others.
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let quota = quota(&written, section, cx);
    let parts = match &written.key {
        Some(key) => key.get_ref().parts(key.span(), section, cx),
        None => vec![("client_ip".to_owned(), Part::ClientIp)],
    };
    let default = StatusCode::TOO_MANY_REQUESTS;
    let status = refusal::passing_status(written.status.as_ref(), default, section, cx);
    let keys_max = match &written.max_keys {
        None => KEYS_MAX,
        Some(number) if (1..=KEYS_MOST).contains(number.get_ref()) => *number.get_ref(),
        Some(number) => {
            let message = format!("`max_keys` must be between 1 and {KEYS_MOST}");
            let hint = "each takes some 60 bytes of memory";
            cx.refuse(section, number.span(), message, hint);
            KEYS_MAX
        }
    };
    let store = store(&written, quota.as_ref(), section, cx);
    let right = cx.problems.len() == before;
    quota.filter(|_| right).map(|quota| {
        Box::new(RateLimitSettings {
            rate: *written.rate.get_ref(),
            quota,
            key: Key::new(parts, written.missing),
            scope: written.scope,
            exempt: written.exempt.iter().map(|network| network.0).collect(),
            headers: written.headers,
            status,
            keys_max,
            store,
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

fn quota(written: &Written, section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Quota> {
    let rate = *written.rate.get_ref();
    let burst = written
        .burst
        .as_ref()
        .map_or(rate.count, |burst| *burst.get_ref());
    let cost = written.cost.as_ref().map_or(1, |cost| *cost.get_ref());
    if let Some(written) = &written.burst
        && burst == 0
    {
        let message = "a bucket that holds nothing lets nothing pass";
        let hint = "write 1 to let no two come at once";
        cx.refuse(section, written.span(), message, hint);
        return None;
    }
    if let Some(written) = &written.cost
        && !(1..=burst).contains(&cost)
    {
        let message = format!("a request cannot cost {cost} of a bucket of {burst}");
        let hint = "`cost` is between 1 and `burst`";
        cx.refuse(section, written.span(), message, hint);
        return None;
    }
    let quota = Quota::new(rate, burst, cost);
    if quota.is_none() {
        let span = written
            .burst
            .as_ref()
            .map_or_else(|| written.rate.span(), Spanned::span);
        let message = format!("a bucket of {burst} would take more than ten years to fill");
        cx.refuse(section, span, message, "raise `rate`, or lower `burst`");
    }
    quota
}

fn store(
    written: &Written,
    quota: Option<&Quota>,
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Store> {
    let Some(url) = &written.store else {
        let timeout = written.store_timeout.as_ref().map(Spanned::span);
        let on_error = written.on_error.as_ref().map(Spanned::span);
        if let Some(span) = timeout.or(on_error) {
            let message = "there is no `store` that could fail";
            let hint = "name one, or leave this out: the buckets of this process always answer";
            cx.refuse(section, span, message, hint);
        }
        return None;
    };
    if let Err((message, hint)) = Server::parse(url.get_ref().expose()) {
        cx.refuse(section, url.span(), message, hint);
    }
    if quota.is_some_and(|quota| u128::from(quota.fill()) > shared::FILL_MAX.as_nanos()) {
        let message = "a bucket in a store would take more than a year to fill";
        let hint = "raise `rate`, or lower `burst`";
        cx.refuse(section, written.rate.span(), message, hint);
    }
    let timeout = written
        .store_timeout
        .as_ref()
        .map_or(shared::TIMEOUT, |timeout| {
            let duration = timeout.get_ref().0;
            if !TIMEOUTS.contains(&duration) {
                let message = "`store_timeout` must be between 1ms and 10s";
                let hint = "every request waits that long while the store hangs";
                cx.refuse(section, timeout.span(), message, hint);
            }
            duration
        });
    Some(Store {
        url: url.get_ref().clone(),
        timeout,
        on_error: written
            .on_error
            .as_ref()
            .map_or_else(OnError::default, |on_error| *on_error.get_ref()),
    })
}

impl Store {
    fn shared(&self, quota: &Quota, cx: &mut BuildContext<'_>) -> Option<Shared> {
        // It was parsed before, so it can be.
        let server = Server::parse(self.url.expose()).ok()?;
        // Kept by its URL: with it go the connections, whoever counts there.
        let server = cx.carry_over.keep(self.url.expose(), || server);
        let (timeout, on_error) = (self.timeout, self.on_error);
        let metrics = &cx.carry_over.metrics;
        Some(Shared::new(
            server, &cx.name, quota, timeout, on_error, metrics,
        ))
    }
}

impl Settings<Box<dyn Middleware>> for RateLimitSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let policy = Policy::new(KIND.name, self.enforce, cx);
        let name = Arc::clone(&cx.name);
        let store = self.store.as_ref();
        let shared = store.and_then(|store| store.shared(&self.quota, cx));
        let label = || vec![("name", (&*name).into())];
        let metrics = &cx.carry_over.metrics;
        let kept = metrics.gauge(
            "httpserverd_rate_limit_keys",
            "Buckets that are kept.",
            label(),
        );
        let evicted = metrics.count(
            "httpserverd_rate_limit_evicted_total",
            "Buckets that were forgotten before they were full, because there were too many.",
            label(),
        );
        // Who only watches tells clients nothing.
        let told = self.headers && self.enforce;
        Ok(policy.guard(RateLimit(Arc::new(Limit {
            quota: self.quota,
            key: self.key.clone(),
            scope: self.scope,
            exempt: self.exempt.clone(),
            fields: told.then(|| Fields::new(&name, self.rate, &self.quota)),
            status: self.status,
            buckets: cx
                .carry_over
                .keep(&name, || Buckets::new(clock::precise_now())),
            keys_max: self.keys_max,
            kept,
            evicted,
            shared,
        }))))
    }
}
