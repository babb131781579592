//! Upstreams as they run: immutable settings, and the state that outlives them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::balance::Algorithm;
use super::balance::sticky::Sticky;
use super::endpoint::{Endpoint, EndpointId, EndpointState, Terms};
use super::health::Verdicts;
use super::health::active::{Check, HealthCheck};
use super::health::breaker::{Breaker, BreakerRules};
use super::health::history::Change;
use super::health::outlier::{Comparison, Outliers};
use super::limits::Waiting;
use super::limits::queue::Queue;
use super::manner::Manner;
use super::numbers::Numbers;
use super::resolve::{Resolution, Resolving};
use super::roster::Roster;
use crate::build::{CarryOver, Percent, Probe};
use crate::clock;
use crate::handlers::address::{ADDRESSES_MAX, Address, Destination};
use crate::handlers::statuses::Statuses;
use crate::telemetry::Metrics;

/// A named group of endpoints, and how they are spoken to.
#[derive(Debug)]
pub struct Upstream {
    pub(super) name: Arc<str>,
    /// Unlike that of any other upstream there ever was in this process.
    pub(super) serial: u64,
    pub(super) timeouts: Timeouts,
    pub(super) keep_alive: KeepAlive,
    pub(super) manner: Arc<Manner>,
    pub(super) rules: Arc<Rules>,
    pub(super) servers: Arc<[Server]>,
    pub(super) roster: Arc<Roster>,
    pub(super) state: Arc<UpstreamState>,
}

/// How long the phases of an exchange with an endpoint may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// Until a connection stands.
    pub(super) connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub(super) first_byte: Duration,
    /// Between two bytes of a body.
    pub(super) idle: Duration,
    /// Between two bytes of a connection that has left HTTP.
    pub(super) tunnel_idle: Duration,
}

/// Which connections are kept for later requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeepAlive {
    /// How many, a worker and endpoint; 0 keeps none.
    pub(super) max_idle: usize,
    /// For how long.
    pub(super) idle_timeout: Duration,
    /// How old a connection may be to be used once more; `Duration::MAX` for any age.
    pub(super) max_lifetime: Duration,
    /// How many requests a connection may carry; 0 for any number.
    pub(super) max_requests: u32,
    /// How many a worker keeps open to each endpoint, also when there is nothing to do.
    pub(super) min_idle: usize,
}

/// How endpoints are picked, and when they are not.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) algorithm: Arc<Algorithm>,
    pub(super) sticky: Option<Arc<Sticky>>,
    /// How the endpoints are asked whether they are well.
    pub(super) check: Option<Arc<HealthCheck>>,
    pub(super) outliers: Option<Arc<Outliers>>,
    pub(super) breaker: Option<BreakerRules>,
    /// Statuses that count as a failure of the endpoint, for outliers and the breaker.
    pub(super) failure_statuses: Statuses,
    /// How names are looked up.
    pub(super) resolving: Resolving,
    /// How long an endpoint that came back takes to get its whole share.
    pub(super) slow_start: Duration,
    /// With a smaller share of the endpoints in service, all of them are used.
    pub(super) panic_threshold: Percent,
    /// How many exchanges may be under way on all endpoints; `u32::MAX` for any number.
    pub(super) max_connections: u32,
    pub(super) waiting: Waiting,
    /// Whether exchanges under way are counted by endpoint.
    pub(super) counted: bool,
}

/// One server as the file writes it: an address, or a name that stands for some.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) address: Address,
    /// As the file says it.
    pub(super) name: Arc<str>,
    pub(super) authority: Arc<str>,
    pub(super) terms: Terms,
}

/// What is known of an upstream, kept by its name from one configuration to the next. Shared by
/// all workers.
#[derive(Debug)]
pub(super) struct UpstreamState {
    name: Arc<str>,
    metrics: Arc<Metrics>,
    endpoints: Mutex<HashMap<Destination, Weak<EndpointState>>>,
    /// What names stood for when they were last found, and when that was, in milliseconds of the
    /// process's life.
    answers: Mutex<HashMap<Arc<str>, Answer>>,
    /// Exchanges under way, if there is a limit to them.
    pub(super) active: AtomicU32,
    pub(super) breaker: Breaker,
    pub(super) queue: Queue,
}

type Answer = (Box<[Destination]>, u64);

/// How an endpoint is, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointReport {
    /// What the file says, and what a name there stands for.
    pub name: String,
    /// Whether it gets requests.
    pub in_service: bool,
    /// Exchanges under way, if its upstream counts them.
    pub active: u32,
    /// What lately changed and why, the latest last.
    pub changes: Vec<Change>,
}

impl Rules {
    /// Whether anyone wants to know how requests go.
    pub(super) fn listens(&self) -> bool {
        self.outliers.is_some() || self.breaker.is_some() || self.algorithm.measures()
    }

    /// Which verdicts against an endpoint this configuration minds.
    pub(super) fn minded(&self) -> Verdicts {
        let mut minded = Verdicts::DRAINING;
        if self.check.is_some() {
            minded = minded.and(Verdicts::UNHEALTHY);
        }
        if self.outliers.is_some() {
            minded = minded.and(Verdicts::EJECTED);
        }
        minded
    }
}

impl Upstream {
    pub(super) fn new(
        name: &Arc<str>,
        servers: Vec<Server>,
        rules: Rules,
        (timeouts, keep_alive, manner): (Timeouts, KeepAlive, Manner),
        carry_over: &mut CarryOver,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let metrics = Arc::clone(&carry_over.metrics);
        let state = carry_over.keep(name, || UpstreamState::new(name, metrics));
        let known = servers.iter().map(|server| state.known(server)).collect();
        Self {
            name: Arc::clone(name),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            timeouts,
            keep_alive,
            manner: Arc::new(manner),
            rules: Arc::new(rules),
            servers: servers.into(),
            roster: Arc::new(Roster::new(known)),
            state,
        }
    }

    /// Whether a request could be sent to some endpoint.
    pub fn has_healthy_endpoint(&self) -> bool {
        let (minded, now) = (self.rules.minded(), clock::millis());
        let endpoints = self.roster.endpoints();
        endpoints.iter().any(|own| own.may_serve(minded, now))
    }

    /// The name the file gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How each endpoint is.
    pub fn report(&self) -> Vec<EndpointReport> {
        let (minded, now) = (self.rules.minded(), clock::millis());
        let endpoints = self.roster.endpoints();
        let report = |own: &Arc<Endpoint>| EndpointReport {
            name: own.name.to_string(),
            in_service: own.may_serve(minded, now),
            active: own.state.active.load(Ordering::Relaxed),
            changes: own.state.standing.changes(),
        };
        endpoints.iter().map(report).collect()
    }

    /// What lately happened to the circuit breaker, the latest last.
    pub fn circuit(&self) -> Vec<Change> {
        self.state.breaker.changes()
    }

    /// Takes an endpoint out of service by its name or address, or back into it, until somebody
    /// says otherwise; reloads do not change it. What is under way goes on. Whether there is
    /// such an endpoint.
    pub fn drain(&self, endpoint: &str, drain: bool, cause: &str) -> bool {
        let endpoints = self.roster.endpoints();
        let is_meant =
            |own: &&Arc<Endpoint>| *own.name == *endpoint || own.id == EndpointId::of(endpoint);
        let mut found = false;
        for own in endpoints.iter().filter(is_meant) {
            found = true;
            let standing = &own.state.standing;
            if drain {
                standing.set(Verdicts::DRAINING, cause.to_owned());
            } else {
                standing.lift(Verdicts::DRAINING, cause.to_owned(), clock::millis());
                self.state.queue.call_all();
            }
        }
        found
    }

    /// What is to be done about the endpoints now and then.
    pub(super) fn probes(&self) -> Vec<Arc<dyn Probe>> {
        let mut probes: Vec<Arc<dyn Probe>> = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let is_name = server.address.is_name();
            if is_name {
                probes.push(Arc::new(Resolution::new(self, index)));
            }
            if let Some(check) = &self.rules.check {
                let slots = if is_name { ADDRESSES_MAX } else { 1 };
                probes.extend((0..slots).map(|slot| -> Arc<dyn Probe> {
                    Arc::new(Check::new(self, (index, slot), Arc::clone(check)))
                }));
            }
        }
        if let Some(outliers) = &self.rules.outliers {
            probes.push(Arc::new(Comparison::new(
                Arc::clone(&self.name),
                Arc::clone(&self.roster),
                Arc::clone(outliers),
            )));
        }
        probes
    }
}

impl Endpoint {
    /// Whether requests may be sent to it.
    pub(super) fn may_serve(&self, minded: Verdicts, now: u64) -> bool {
        !self.terms.drain && self.state.standing.is_in_service(minded, now)
    }
}

impl UpstreamState {
    fn new(name: &Arc<str>, metrics: Arc<Metrics>) -> Self {
        Self {
            name: Arc::clone(name),
            metrics,
            endpoints: Mutex::default(),
            answers: Mutex::default(),
            active: AtomicU32::new(0),
            breaker: Breaker::default(),
            queue: Queue::default(),
        }
    }

    /// The endpoints of a server, as far as they are known without asking anyone.
    fn known(&self, server: &Server) -> Option<Vec<Arc<Endpoint>>> {
        let destinations = if server.address.is_name() {
            let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.get(&server.name)?.0.clone()
        } else {
            // An address and a path stand for themselves.
            server.address.resolve().unwrap_or_default().into()
        };
        Some(self.endpoints(server, &destinations))
    }

    /// What a server's name stands for from now on; its endpoints.
    pub(super) fn learn(&self, server: &Server, found: &[Destination]) -> Vec<Arc<Endpoint>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(Arc::clone(&server.name), (found.into(), clock::millis()));
        drop(answers);
        self.endpoints(server, found)
    }

    /// For how long a server's name has not been found; `None` if it never was.
    pub(super) fn unknown_for(&self, server: &Server) -> Option<Duration> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, at) = answers.get(&server.name)?;
        Some(Duration::from_millis(clock::millis().saturating_sub(*at)))
    }

    fn endpoints(&self, server: &Server, destinations: &[Destination]) -> Vec<Arc<Endpoint>> {
        let endpoint = |destination: &Destination| {
            let address = destination.to_string();
            let name: Arc<str> = if server.address.is_name() {
                format!("{} ({address})", server.name).into()
            } else {
                Arc::clone(&server.name)
            };
            Arc::new(Endpoint {
                id: EndpointId::of(&address),
                state: self.endpoint(destination, &name),
                name,
                authority: Arc::clone(&server.authority),
                destination: destination.clone(),
                host: server.address.host().unwrap_or_default().into(),
                terms: server.terms,
            })
        };
        destinations.iter().map(endpoint).collect()
    }

    fn endpoint(&self, destination: &Destination, name: &Arc<str>) -> Arc<EndpointState> {
        let mut endpoints = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = endpoints.get(destination).and_then(Weak::upgrade) {
            return known;
        }
        // Those that nobody uses any more.
        endpoints.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(EndpointState::new(Numbers::new(
            &self.metrics,
            &self.name,
            name,
        )));
        endpoints.insert(destination.clone(), Arc::downgrade(&state));
        state
    }

    /// Counts one more exchange, unless `max` are under way.
    pub(super) fn enter(&self, max: u32) -> bool {
        let more = |active| (active < max).then(|| active + 1);
        let entered = self
            .active
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, more);
        entered.is_ok()
    }

    /// Counts one exchange less.
    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }
}
