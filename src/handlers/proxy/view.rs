//! A worker's view of an upstream, and how a try comes to a connection: whose turn it is, and
//! over which.
//!
//! ```text
//!   View::affinity(x) ── once a request
//!        │
//!   View::lease ─▶ breaker ─▶ admission ─▶ a kept connection, or a new one ─▶ Connection
//!        ▲                    │  ▲                  │                         { lease }
//!        │                 queue ┘                  │
//!        └── tried ◀── Refused ◀────────────────────┘
//! ```

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::admission::Denied;
pub(super) use super::balance::Affinity;
use super::balance::{Algorithm, Turns, hash};
use super::connect::Opened;
use super::endpoint::{Endpoint, EndpointId};
use super::health::Verdicts;
use super::lease::{Lease, Trial};
use super::manner::Manner;
use super::pool::{IdleList, Pool};
use super::roster::Roster;
use super::shared::{self, Leased};
use super::upstream::{KeepAlive, Rules, Timeouts, Upstream, UpstreamState};
use crate::clock;
use crate::exchange::{Deadlines, Escape, Exchange, Response, Seldom, Why};
use crate::http::name;

/// How long an endpoint that could not be connected to is left out, unless all are. Short, so
/// that one that comes back is soon used; long against the cost of asking in vain.
const AVOIDED_FOR: Duration = Duration::from_secs(2);

/// How often an endpoint's failures are logged one by one, a worker.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// A worker's view of an upstream, as long as its endpoints stay the same.
#[derive(Debug)]
pub(super) struct View {
    upstream: ArcWeak<Upstream>,
    /// Which state of affairs of the roster it shows.
    version: u64,
    pub(super) name: Rc<str>,
    pub(super) worker: usize,
    pub(super) rules: Arc<Rules>,
    pub(super) minded: Verdicts,
    pub(super) roster: Arc<Roster>,
    pub(super) state: Arc<UpstreamState>,
    pub(super) turns: Turns,
    pub(super) endpoints: Box<[Rc<EndpointView>]>,
    pub(super) timeouts: Timeouts,
    pub(super) keep_alive: KeepAlive,
    pub(super) manner: Arc<Manner>,
    pool: Weak<Pool>,
    pub(super) deadlines: Rc<Deadlines>,
}

/// A worker's view of an endpoint.
#[derive(Debug)]
pub(super) struct EndpointView {
    pub(super) id: EndpointId,
    pub(super) name: Rc<str>,
    pub(super) own: Arc<Endpoint>,
    /// What a sticky cookie calls it; empty if there is none.
    token: Box<str>,
    pub(super) idle: Rc<IdleList>,
    avoided_until: Cell<Option<Instant>>,
    complaints: Seldom,
}

/// Why a try came to no connection.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: Why,
    /// The endpoint that could not be connected to; `None` if there is none (left) to try.
    pub(super) endpoint: Option<Rc<EndpointView>>,
}

impl View {
    /// The view of a worker; of the one `before`, what still holds is taken over.
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        pool: &Rc<Pool>,
        locals: (&Rc<Deadlines>, usize),
        before: Option<&Self>,
    ) -> Rc<Self> {
        let (deadlines, worker) = locals;
        // Read first: a change after it is seen at the next request.
        let version = upstream.roster.version();
        let endpoints = upstream.roster.endpoints();
        let view = |own: &Arc<Endpoint>| {
            let known = before.and_then(|before| {
                let mut known = before.endpoints.iter();
                known.find(|known| Arc::ptr_eq(&known.own, own))
            });
            known.map_or_else(|| EndpointView::new(own, upstream, pool), Rc::clone)
        };
        Rc::new(Self {
            upstream: Arc::downgrade(upstream),
            version,
            name: upstream.name().into(),
            worker,
            rules: Arc::clone(&upstream.rules),
            minded: upstream.rules.minded(),
            roster: Arc::clone(&upstream.roster),
            state: Arc::clone(&upstream.state),
            turns: Turns::new(endpoints.len(), worker),
            endpoints: endpoints.iter().map(view).collect(),
            timeouts: upstream.timeouts,
            keep_alive: upstream.keep_alive,
            manner: Arc::clone(&upstream.manner),
            pool: Rc::downgrade(pool),
            deadlines: Rc::clone(deadlines),
        })
    }

    /// Whether a generation still uses the upstream.
    pub(super) fn is_wanted(&self) -> bool {
        self.upstream.strong_count() > 0
    }

    /// Whether the endpoints are still the same.
    pub(super) fn is_current(&self) -> bool {
        self.version == self.roster.version()
    }

    /// The view of the endpoints as they are now.
    fn current(self: &Rc<Self>) -> Rc<Self> {
        if self.is_current() {
            return Rc::clone(self);
        }
        let renewed = self.pool.upgrade().zip(self.upstream.upgrade());
        renewed.map_or_else(
            || Rc::clone(self),
            |(pool, upstream)| pool.renewed_view(&upstream, (&self.deadlines, self.worker)),
        )
    }

    /// What of this request decides its endpoint. The same for each of its tries.
    pub(super) fn affinity(&self, x: &Exchange<'_>) -> Affinity {
        let mut affinity = Affinity::default();
        if let (Algorithm::Hash(by), Some(pool)) = (&*self.rules.algorithm, self.pool.upgrade()) {
            let mut key = pool.buffers.take();
            by.key.render(x, Escape::Plain, &mut key);
            // Who has no key is not all one client.
            affinity.hash = (!key.is_empty()).then(|| hash(&key));
            pool.buffers.give(key);
        }
        if let Some(sticky) = &self.rules.sticky {
            let pin = |token: &[u8]| affinity.pinned = self.of_token(token);
            sticky.cookie.value(x, None, pin);
        }
        affinity
    }

    /// The endpoint that a sticky cookie names.
    fn of_token(&self, token: &[u8]) -> Option<EndpointId> {
        let mut endpoints = self.endpoints.iter();
        let named = endpoints.find(|own| own.token.as_bytes() == token);
        named.map(|own| own.id)
    }

    /// Ties the client to the endpoint that answered, unless it is.
    pub(super) fn stick(
        self: &Rc<Self>,
        x: &Exchange<'_>,
        affinity: &Affinity,
        response: &mut Response,
    ) {
        let (Some(sticky), Some(trail)) = (&self.rules.sticky, &x.upstream) else {
            return;
        };
        let view = self.current();
        let mut endpoints = view.endpoints.iter();
        let answered = endpoints.find(|own| Some(&own.name) == trail.endpoint.as_ref());
        if let Some(own) = answered.filter(|own| affinity.pinned != Some(own.id)) {
            let cookie = sticky.set_cookie(&own.token, x.connection.secure);
            response.headers.append(&name::SET_COOKIE, cookie);
        }
    }

    /// A connection to the endpoint whose turn it is among those not yet tried: a kept one, or
    /// a new one. If the upstream is at its limit, waits in its queue. `repeatable` says that
    /// the request can be sent a second time, so that a kept connection need not be looked at as
    /// closely. A connection that begins with a `preface` is a new one.
    ///
    /// # Errors
    /// No endpoint is left, the circuit is open, the queue is full or took too long; or the
    /// endpoint whose turn it was cannot be connected to: then another may be tried.
    pub(super) async fn lease(
        self: &Rc<Self>,
        affinity: &Affinity,
        tried: &[EndpointId],
        repeatable: bool,
        preface: Option<&[u8]>,
    ) -> Result<Leased, Refused> {
        let view = self.current();
        let trial = Trial::pass(&view)?;
        let queued = !view.state.queue.is_empty();
        let admitted = if queued {
            Err(Denied::Full)
        } else {
            view.admit(affinity, tried)
        };
        let mut lease = match admitted {
            Ok(lease) => lease,
            Err(Denied::NoEndpoint) => return Err(Refused::none(Why::NoEndpoint)),
            Err(denied) => view.wait(denied, affinity, tried).await?,
        };
        lease.trial = trial;
        let endpoint = &lease.endpoint;
        endpoint.own.state.numbers.requests.add(view.worker, 1);
        if view.manner.may_share() {
            // Boxed, so that nobody else's future is larger for it.
            return Box::pin(shared::obtain(lease, repeatable, preface)).await;
        }
        let kept = match preface {
            None => endpoint.idle.take(clock::now(), !repeatable),
            Some(_) => None,
        };
        let connection = match kept {
            Some(opened) => opened.lent(lease, true),
            None => lease.connect(preface.unwrap_or_default()).await?,
        };
        Ok(Leased::Own(connection))
    }

    /// Waits until an endpoint may be used.
    async fn wait(
        self: &Rc<Self>,
        denied: Denied,
        affinity: &Affinity,
        tried: &[EndpointId],
    ) -> Result<Lease, Refused> {
        let (timeout, why) = match denied {
            Denied::Full => (self.rules.waiting.timeout, Why::QueueTimeout),
            // As long as one would wait for the connection.
            Denied::Unresolved | Denied::NoEndpoint => (self.timeouts.connect, Why::NoEndpoint),
        };
        let place = self.state.queue.join(self.rules.waiting.size);
        let place = place.ok_or_else(|| Refused::none(Why::QueueFull))?;
        let deadline = self.deadlines.register();
        deadline.set(timeout);
        poll_fn(|cx| {
            while place.poll_called(cx).is_ready() {
                match self.current().admit(affinity, tried) {
                    Ok(lease) => return Poll::Ready(Ok(lease)),
                    Err(Denied::NoEndpoint) => {
                        return Poll::Ready(Err(Refused::none(Why::NoEndpoint)));
                    }
                    Err(Denied::Full | Denied::Unresolved) => {}
                }
            }
            deadline.poll_past(cx).map(|()| Err(Refused::none(why)))
        })
        .await
    }

    /// How many connections to each endpoint shall be ready.
    pub(super) fn wanted_idle(&self) -> usize {
        if self.manner.announce.is_some() || self.manner.may_share() {
            // Nobody knows yet whom they would be for; one that is shared is made by the first.
            return 0;
        }
        self.keep_alive.min_idle.min(self.keep_alive.max_idle)
    }

    /// Keeps a connection that is between two exchanges, or drops it if enough are kept.
    pub(super) fn keep(&self, opened: Box<Opened>) {
        IdleList::keep(opened, &self.keep_alive);
        if let Some(pool) = self.pool.upgrade() {
            pool.watch(&self.deadlines);
        }
    }
}

impl Refused {
    /// There is nothing to try.
    pub(super) const fn none(why: Why) -> Self {
        Self {
            why,
            endpoint: None,
        }
    }
}

impl EndpointView {
    fn new(endpoint: &Arc<Endpoint>, upstream: &Upstream, pool: &Pool) -> Rc<Self> {
        let sticky = upstream.rules.sticky.as_ref();
        let address = endpoint.destination.to_string();
        Rc::new(Self {
            token: sticky.map_or_else(Box::default, |own| own.token(&upstream.name, &address)),
            id: endpoint.id,
            name: Rc::from(&*endpoint.name),
            own: Arc::clone(endpoint),
            idle: pool.list(&endpoint.destination, &upstream.manner),
            avoided_until: Cell::new(None),
            complaints: Seldom::default(),
        })
    }

    pub(super) fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }

    /// Leaves it out for a while.
    pub(super) fn avoid(&self) {
        self.avoided_until.set(Some(clock::now() + AVOIDED_FOR));
    }

    /// It is there.
    pub(super) fn welcome(&self) {
        self.avoided_until.set(None);
    }

    /// Whether a failure may be logged: at a bounded rate.
    pub(super) fn may_complain(&self) -> bool {
        self.complaints.is_due_every(COMPLAINT_EVERY)
    }
}
