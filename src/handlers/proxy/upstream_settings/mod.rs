//! What an `[upstream.NAME]` table may say.

mod balance;
mod check;
mod health;
mod keys;
mod servers;
mod sticky;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use self::balance::{Balance, WrittenHash};
use self::check::Check;
use self::health::{WrittenBreaker, WrittenHealthCheck, WrittenOutliers};
use self::servers::WrittenServer;
use self::sticky::WrittenSticky;
use self::tls::{TlsSettings, WrittenTls};
use super::announce::Announce;
use super::balance::Algorithm;
use super::balance::sticky::Sticky;
use super::health::active::HealthCheck;
use super::health::breaker::BreakerRules;
use super::health::outlier::Outliers;
use super::limits::Waiting;
use super::manner::{Manner, Protocol};
use super::resolve::Resolving;
use super::upstream::{KeepAlive, Rules, Server, Timeouts, Upstream};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Percent, Problem, Section, Settings,
};
use crate::handlers::address::Scheme;
use crate::handlers::statuses::Statuses;

/// A named group of endpoints.
pub const UPSTREAM: Kind<Arc<Upstream>> = Kind {
    name: "upstream",
    summary: "A named group of servers that routes may proxy to",
    example: keys::EXAMPLE,
    keys: keys::KEYS,
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    servers: Spanned<Vec<Spanned<WrittenServer>>>,
    #[serde(default)]
    balance: Balance,
    #[serde(default)]
    hash: Option<Spanned<WrittenHash>>,
    #[serde(default)]
    sticky_cookie: Option<Spanned<WrittenSticky>>,
    #[serde(default = "seconds::<3>")]
    connect_timeout: Spanned<HumanDuration>,
    #[serde(default = "seconds::<60>")]
    first_byte_timeout: Spanned<HumanDuration>,
    #[serde(default = "seconds::<60>")]
    idle_timeout: Spanned<HumanDuration>,
    /// An hour: a quiet WebSocket is no dead one, and nobody pings less often than that.
    #[serde(default = "seconds::<3600>")]
    tunnel_idle_timeout: Spanned<HumanDuration>,
    #[serde(default)]
    keep_alive: WrittenKeepAlive,
    #[serde(default)]
    proxy_protocol: Option<Announce>,
    #[serde(default)]
    tls: Option<Spanned<WrittenTls>>,
    #[serde(default)]
    protocol: Option<Spanned<Protocol>>,
    /// None: who knows what the servers bear says so.
    #[serde(default)]
    max_connections: Option<Spanned<u32>>,
    #[serde(default)]
    queue: Option<Spanned<WrittenQueue>>,
    #[serde(default)]
    health_check: Option<Spanned<WrittenHealthCheck>>,
    #[serde(default)]
    outlier_detection: Option<WrittenOutliers>,
    #[serde(default)]
    circuit_breaker: Option<WrittenBreaker>,
    /// What says that the server, and not the request, is at fault; a 500 may be either.
    #[serde(default = "gateway_failures")]
    failure_statuses: Statuses,
    #[serde(default)]
    resolve: WrittenResolve,
    #[serde(default)]
    slow_start: HumanDuration,
    #[serde(default)]
    panic_threshold: Percent,
}

fn gateway_failures() -> Statuses {
    Statuses::of(&[(502, 504)])
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenKeepAlive {
    max_idle: usize,
    idle_timeout: HumanDuration,
    max_lifetime: Option<Spanned<HumanDuration>>,
    max_requests: u32,
    min_idle: Spanned<usize>,
}

impl Default for WrittenKeepAlive {
    fn default() -> Self {
        Self {
            // As many as a busy worker has requests under way at a time; each costs a socket
            // and some hundred bytes.
            max_idle: 128,
            // Shorter than the 75 s after which nginx, and the 65 s after which others, close.
            idle_timeout: HumanDuration::seconds(60),
            max_lifetime: None,
            max_requests: 0,
            min_idle: Spanned::new(0..0, 0),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenQueue {
    size: usize,
    timeout: Spanned<HumanDuration>,
}

impl Default for WrittenQueue {
    fn default() -> Self {
        Self {
            // Arbitrary; some seconds of work for most servers that need a limit at all.
            size: 128,
            // What a person waits for before they ask again.
            timeout: seconds::<5>(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenResolve {
    refresh: Spanned<HumanDuration>,
    keep: HumanDuration,
}

impl Default for WrittenResolve {
    fn default() -> Self {
        Self {
            // A resolver that caches makes it cheap; a changed address is noticed as soon.
            refresh: seconds::<10>(),
            // Outages of resolvers are mended in minutes, and addresses seldom change in them.
            keep: HumanDuration::seconds(600),
        }
    }
}

/// A queue costs about this much a place, and nobody waits for so many before them.
const QUEUE_MAX: usize = 100_000;

fn seconds<const N: u64>() -> Spanned<HumanDuration> {
    Spanned::new(0..0, HumanDuration::seconds(N))
}

fn times<const N: u32>() -> Spanned<u32> {
    Spanned::new(0..0, N)
}

/// Read and right.
#[derive(Debug)]
struct UpstreamSettings {
    servers: Vec<Server>,
    algorithm: Arc<Algorithm>,
    sticky: Option<Arc<Sticky>>,
    timeouts: Timeouts,
    keep_alive: KeepAlive,
    announce: Option<Announce>,
    tls: Option<TlsSettings>,
    protocol: Protocol,
    max_connections: u32,
    waiting: Waiting,
    health_check: Option<Arc<HealthCheck>>,
    outliers: Option<Arc<Outliers>>,
    breaker: Option<BreakerRules>,
    failure_statuses: Statuses,
    resolving: Resolving,
    slow_start: Duration,
    panic_threshold: Percent,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Arc<Upstream>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut check = Check { section, cx };
    let scheme = check.scheme(&written.servers, written.tls.is_some());
    let settings = UpstreamSettings {
        servers: check.servers(&written.servers, scheme),
        tls: check.tls(scheme, written.tls.as_ref(), &written.servers),
        protocol: check.protocol(scheme, &written),
        algorithm: Arc::new(check.algorithm(written.balance, written.hash.as_ref())),
        sticky: written
            .sticky_cookie
            .as_ref()
            .map(|written| Arc::new(check.sticky(written))),
        timeouts: Timeouts {
            connect: check.positive(&written.connect_timeout),
            first_byte: check.positive(&written.first_byte_timeout),
            idle: check.positive(&written.idle_timeout),
            tunnel_idle: check.positive(&written.tunnel_idle_timeout),
        },
        keep_alive: check.keep_alive(&written.keep_alive),
        announce: written.proxy_protocol,
        waiting: check.queue(written.queue.as_ref(), &written),
        max_connections: written
            .max_connections
            .as_ref()
            .map_or(u32::MAX, |max| check.at_least_one(max)),
        health_check: written
            .health_check
            .as_ref()
            .map(|written| Arc::new(check.health(written))),
        outliers: written
            .outlier_detection
            .as_ref()
            .map(|written| Arc::new(check.outliers(written))),
        breaker: written
            .circuit_breaker
            .as_ref()
            .map(|written| check.breaker(written)),
        failure_statuses: written.failure_statuses,
        resolving: Resolving {
            refresh: check.positive(&written.resolve.refresh),
            keep: written.resolve.keep.0,
        },
        slow_start: written.slow_start.0,
        panic_threshold: written.panic_threshold,
    };
    (cx.problems.len() == before).then(|| Box::new(settings) as Box<dyn Settings<Arc<Upstream>>>)
}

impl Check<'_, '_, '_> {
    /// What is spoken with the servers, which must go with how they are connected to.
    fn protocol(&mut self, scheme: Scheme, all: &Written) -> Protocol {
        let Some(written) = &all.protocol else {
            return Protocol::default();
        };
        let protocol = *written.get_ref();
        let refused = match (protocol, scheme) {
            (Protocol::Http2 | Protocol::Auto, Scheme::Http) => Some((
                "it is agreed on over TLS, and these servers are in the clear",
                "h2c",
            )),
            (Protocol::Http2Clear, Scheme::Https) => Some((
                "it is HTTP/2 in the clear, and these servers are over TLS",
                "h2",
            )),
            _ => None,
        };
        if let Some((message, instead)) = refused {
            self.refuse(written, message, &format!("write protocol = \"{instead}\""));
        }
        if all.proxy_protocol.is_some() && protocol != Protocol::Http1 {
            let message = "a connection that clients share cannot tell of one of them";
            self.refuse(written, message, "leave `proxy_protocol` or `protocol` out");
        }
        protocol
    }

    fn keep_alive(&mut self, written: &WrittenKeepAlive) -> KeepAlive {
        let lifetime = written.max_lifetime.as_ref();
        if *written.min_idle.get_ref() > written.max_idle {
            let message = format!(
                "at most {} connections are kept, and {} are wanted",
                written.max_idle,
                written.min_idle.get_ref()
            );
            self.refuse(&written.min_idle, message, "raise `max_idle` as well");
        }
        KeepAlive {
            max_idle: written.max_idle,
            idle_timeout: written.idle_timeout.0,
            max_lifetime: lifetime.map_or(Duration::MAX, |lifetime| self.positive(lifetime)),
            max_requests: written.max_requests,
            min_idle: *written.min_idle.get_ref(),
        }
    }

    fn queue(&mut self, queue: Option<&Spanned<WrittenQueue>>, all: &Written) -> Waiting {
        let limited = |server: &Spanned<WrittenServer>| server.get_ref().max_connections.is_some();
        if let Some(queue) = queue {
            let any = all.max_connections.is_some() || all.servers.get_ref().iter().any(limited);
            if !any {
                let hint = "set `max_connections`, of the upstream or of a server";
                self.refuse(queue, "nothing ever waits in this queue", hint);
            }
            if queue.get_ref().size > QUEUE_MAX {
                let message = format!("more than {QUEUE_MAX} places");
                self.refuse(queue, message, "who waits behind so many gives up before");
            }
        }
        let default = WrittenQueue::default();
        let queue = queue.map_or(&default, Spanned::get_ref);
        Waiting {
            size: queue.size,
            timeout: self.positive(&queue.timeout),
        }
    }
}

impl Settings<Arc<Upstream>> for UpstreamSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Arc<Upstream>, Box<Problem>> {
        let own_limit = |server: &Server| server.terms.max_connections != u32::MAX;
        let rules = Rules {
            counted: self.algorithm.counts() || self.servers.iter().any(own_limit),
            algorithm: Arc::clone(&self.algorithm),
            sticky: self.sticky.clone(),
            check: self.health_check.clone(),
            outliers: self.outliers.clone(),
            breaker: self.breaker.clone(),
            failure_statuses: self.failure_statuses.clone(),
            resolving: self.resolving,
            slow_start: self.slow_start,
            panic_threshold: self.panic_threshold,
            max_connections: self.max_connections,
            waiting: self.waiting,
        };
        let name = Arc::clone(&cx.name);
        let tls = self.tls.as_ref();
        let manner = Manner {
            announce: self.announce,
            tls: tls.map(|tls| tls.build(cx, self.protocol)).transpose()?,
            protocol: self.protocol,
        };
        let upstream = Upstream::new(
            &name,
            self.servers.clone(),
            rules,
            (self.timeouts, self.keep_alive, manner),
            cx.carry_over,
        );
        cx.probes.extend(upstream.probes());
        Ok(Arc::new(upstream))
    }
}
