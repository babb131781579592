//! A worker's view of an upstream, and how a try comes to a connection: whose turn it is, and
//! over which.
//!
//! ```text
//!   View::affinity(x) ── once a request
//!        │
//!   View::lease ──▶ next endpoint ──▶ a kept connection, or a new one ──▶ Connection { lease }
//!        ▲                                       │
//!        └── tried ◀── Refused ◀─────────────────┘
//! ```

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use std::time::{Duration, Instant};

use tracing::warn;

use super::balance::Rotation;
use super::connect::{ConnectError, Connection, Opened, connect};
use super::endpoint::{Endpoint, EndpointId, Place};
use super::lease::Lease;
use super::pool::{IdleList, Pool, take_idle};
use super::upstream::{KeepAlive, Timeouts, Upstream};
use crate::clock;
use crate::exchange::{Deadlines, Exchange, Why, WorkerLocals};

/// How long an endpoint that could not be connected to is left out, unless all are. Short, so
/// that one that comes back is soon used; long against the cost of asking in vain.
const AVOIDED_FOR: Duration = Duration::from_secs(2);

/// How often an endpoint's failures are logged one by one, a worker.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// A worker's view of an upstream.
#[derive(Debug)]
pub(super) struct View {
    upstream: ArcWeak<Upstream>,
    pub(super) name: Rc<str>,
    rotation: Rotation,
    endpoints: Box<[Rc<EndpointView>]>,
    timeouts: Timeouts,
    keep_alive: KeepAlive,
    pool: Weak<Pool>,
    deadlines: Rc<Deadlines>,
}

/// A worker's view of an endpoint.
#[derive(Debug)]
pub(super) struct EndpointView {
    pub(super) id: EndpointId,
    pub(super) name: Rc<str>,
    pub(super) authority: Arc<str>,
    place: Arc<Place>,
    /// One for each of its destinations, once these are known.
    idle: OnceCell<Box<[Rc<IdleList>]>>,
    avoided_until: Cell<Option<Instant>>,
    quiet_until: Cell<Option<Instant>>,
}

/// What of a request decides its endpoint; nothing, for most algorithms.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Affinity {}

/// Why a try came to no connection.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: Why,
    /// The endpoint that could not be connected to; `None` if there is none (left) to try.
    pub(super) endpoint: Option<Rc<EndpointView>>,
}

impl View {
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        pool: &Rc<Pool>,
        locals: &WorkerLocals,
    ) -> Rc<Self> {
        let endpoints = &upstream.endpoints;
        Rc::new(Self {
            upstream: Arc::downgrade(upstream),
            name: upstream.name().into(),
            rotation: Rotation::new(endpoints.iter().map(|own| own.weight), locals.worker),
            endpoints: endpoints.iter().map(EndpointView::new).collect(),
            timeouts: upstream.timeouts,
            keep_alive: upstream.keep_alive,
            pool: Rc::downgrade(pool),
            deadlines: Rc::clone(&locals.deadlines),
        })
    }

    /// Whether a generation still uses the upstream.
    pub(super) fn is_wanted(&self) -> bool {
        self.upstream.strong_count() > 0
    }

    /// What of this request decides its endpoint. The same for each of its tries.
    #[expect(clippy::unused_self, reason = "the algorithm says what")]
    pub(super) fn affinity(&self, _x: &Exchange<'_>) -> Affinity {
        Affinity::default()
    }

    /// A connection to the endpoint whose turn it is among those not yet tried: a kept one, or
    /// a new one. `repeatable` says that the request can be sent a second time, so that a kept
    /// connection need not be looked at as closely.
    ///
    /// # Errors
    /// No endpoint is left, or the one whose turn it was cannot be connected to: then another
    /// may be tried.
    pub(super) async fn lease(
        self: &Rc<Self>,
        _affinity: &Affinity,
        tried: &[EndpointId],
        repeatable: bool,
    ) -> Result<Connection, Refused> {
        let lease = self.next(tried).ok_or(Refused {
            why: Why::NoEndpoint,
            endpoint: None,
        })?;
        let lists = self.lists(&lease.endpoint);
        match take_idle(lists, !repeatable) {
            Some(opened) => Ok(opened.lent(lease, true)),
            None => lease.connect().await,
        }
    }

    /// The endpoint whose turn it is, among those not yet tried. Those that lately could not be
    /// connected to come last.
    fn next(self: &Rc<Self>, tried: &[EndpointId]) -> Option<Lease> {
        let now = clock::now();
        let upstream = self.upstream.upgrade()?;
        let up = |index: usize| {
            let endpoint = upstream.endpoints.get(index);
            endpoint.is_some_and(|own| own.is_up() && !tried.contains(&own.id))
        };
        let avoided = |index: usize| {
            let endpoint = self.endpoints.get(index);
            endpoint.is_some_and(|endpoint| endpoint.is_avoided(now))
        };
        let index = self
            .rotation
            .next(|index| up(index) && !avoided(index))
            .or_else(|| self.rotation.next(up))?;
        let endpoint = self.endpoints.get(index)?;
        Some(Lease::new(Rc::clone(self), Rc::clone(endpoint)))
    }

    /// Where to connect to, in the order of resolution.
    fn lists<'e>(&self, endpoint: &'e EndpointView) -> &'e [Rc<IdleList>] {
        if let Some(lists) = endpoint.idle.get() {
            return lists;
        }
        let destinations = endpoint.place.destinations();
        let Some(pool) = self.pool.upgrade().filter(|_| !destinations.is_empty()) else {
            return &[];
        };
        endpoint
            .idle
            .get_or_init(|| destinations.iter().map(|own| pool.list(own)).collect())
    }

    /// Keeps a connection that is between two exchanges, or drops it if enough are kept.
    pub(super) fn keep(&self, opened: Opened) {
        IdleList::keep(opened, &self.keep_alive);
        if let Some(pool) = self.pool.upgrade() {
            pool.watch(&self.deadlines);
        }
    }
}

impl Lease {
    /// A new connection to the endpoint.
    pub(super) async fn connect(self) -> Result<Connection, Refused> {
        let Self { view, endpoint } = &self;
        let timeout = view.timeouts.connect;
        match connect(view.lists(endpoint), &view.deadlines, timeout).await {
            Ok(opened) => {
                endpoint.welcome();
                Ok(opened.lent(self, false))
            }
            Err(ConnectError { why, error }) => {
                endpoint.avoid();
                if endpoint.may_complain() {
                    let error = error.as_ref().map(tracing::field::display);
                    let (upstream, endpoint) = (&*view.name, &*endpoint.name);
                    warn!(
                        upstream,
                        endpoint,
                        why = why.as_str(),
                        error,
                        "cannot connect"
                    );
                }
                Err(Refused {
                    why,
                    endpoint: Some(self.endpoint),
                })
            }
        }
    }
}

impl EndpointView {
    fn new(endpoint: &Endpoint) -> Rc<Self> {
        Rc::new(Self {
            id: endpoint.id,
            name: Rc::from(&*endpoint.name),
            authority: Arc::clone(&endpoint.authority),
            place: Arc::clone(&endpoint.place),
            idle: OnceCell::new(),
            avoided_until: Cell::new(None),
            quiet_until: Cell::new(None),
        })
    }

    fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }

    /// Leaves it out for a while.
    fn avoid(&self) {
        self.avoided_until.set(Some(clock::now() + AVOIDED_FOR));
    }

    /// It is there.
    pub(super) fn welcome(&self) {
        self.avoided_until.set(None);
    }

    /// Whether a failure may be logged: at a bounded rate.
    pub(super) fn may_complain(&self) -> bool {
        let now = clock::now();
        if self.quiet_until.get().is_some_and(|until| now < until) {
            return false;
        }
        self.quiet_until.set(Some(now + COMPLAINT_EVERY));
        true
    }
}
