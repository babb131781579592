//! What a worker keeps of its upstreams between requests: idle connections, whose turn it is,
//! buffers.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use std::time::{Duration, Instant};

use super::balance::Rotation;
use super::buffers::Buffers;
use super::connect::Connection;
use super::upstream::{Endpoint, KeepAlive, Upstream};
use crate::clock;
use crate::exchange::{Deadline, Deadlines, WorkerLocals};
use crate::handlers::address::Destination;
use crate::sys::transport::Transport;

/// How long an endpoint that could not be connected to is left out, unless all are. Short, so
/// that one that comes back is soon used; long against the cost of asking in vain.
const AVOIDED_FOR: Duration = Duration::from_secs(2);

/// How often an endpoint's failures are logged one by one, a worker.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// A worker's upstreams.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// By the serial number of the upstream.
    views: RefCell<HashMap<u64, Rc<View>>>,
    /// Shared by all upstreams, of all generations, that name the same place.
    idle: RefCell<HashMap<Destination, Weak<IdleList>>>,
    /// Whether a task watches over the idle connections.
    watched: Cell<bool>,
    pub(super) buffers: Buffers,
}

/// Gives connections of an upstream back to the pool.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    pub(super) pool: Rc<Pool>,
    keep_alive: KeepAlive,
    deadlines: Rc<Deadlines>,
}

/// A worker's view of an upstream.
#[derive(Debug)]
pub(super) struct View {
    upstream: ArcWeak<Upstream>,
    pub(super) name: Rc<str>,
    rotation: Rotation,
    endpoints: Box<[EndpointView]>,
}

/// A worker's view of an endpoint.
#[derive(Debug)]
pub(super) struct EndpointView {
    pub(super) name: Rc<str>,
    /// One for each of its destinations, once these are known.
    idle: OnceCell<Box<[Rc<IdleList>]>>,
    avoided_until: Cell<Option<Instant>>,
    quiet_until: Cell<Option<Instant>>,
}

/// The idle connections to one destination, the one used last at the back.
#[derive(Debug)]
pub(super) struct IdleList {
    pub(super) destination: Destination,
    connections: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    transport: Transport,
    deadline: Deadline,
    expires: Instant,
}

impl Pool {
    /// The worker's view of an upstream, made when first asked for.
    pub(super) fn view(&self, upstream: &Arc<Upstream>, locals: &WorkerLocals) -> Rc<View> {
        if let Some(view) = self.views.borrow().get(&upstream.serial) {
            return Rc::clone(view);
        }
        let view = Rc::new(View {
            upstream: Arc::downgrade(upstream),
            name: upstream.name().into(),
            rotation: Rotation::new(
                upstream.endpoints.iter().map(|endpoint| endpoint.weight),
                locals.worker,
            ),
            endpoints: upstream.endpoints.iter().map(EndpointView::new).collect(),
        });
        let mut views = self.views.borrow_mut();
        // Those of generations that no exchange uses any more; their idle connections have
        // been taken over by the new view, or have nobody to serve.
        views.retain(|_, view| view.upstream.strong_count() > 0);
        views.insert(upstream.serial, Rc::clone(&view));
        self.idle
            .borrow_mut()
            .retain(|_, list| list.strong_count() > 0);
        view
    }

    /// The list of a destination, shared with whoever names it too.
    fn list(&self, destination: &Destination) -> Rc<IdleList> {
        let mut lists = self.idle.borrow_mut();
        if let Some(list) = lists.get(destination).and_then(Weak::upgrade) {
            return list;
        }
        let list = Rc::new(IdleList {
            destination: destination.clone(),
            connections: RefCell::default(),
        });
        lists.insert(destination.clone(), Rc::downgrade(&list));
        list
    }

    /// Starts the task that drops connections whose time is up. It ends with the last one.
    fn watch(self: &Rc<Self>, deadlines: &Rc<Deadlines>) {
        let pool = Rc::downgrade(self);
        let deadline = deadlines.register();
        // Nobody waits for it; it ends with the runtime at the latest.
        drop(tokio::task::spawn_local(async move {
            while let Some(next) = pool.upgrade().and_then(|pool| pool.drop_expired()) {
                deadline.set(next);
                poll_fn(|cx| deadline.poll_past(cx)).await;
            }
        }));
    }

    /// Drops connections whose time is up; how long until the next one's is.
    fn drop_expired(&self) -> Option<Duration> {
        let now = clock::now();
        let lists: Vec<Rc<IdleList>> = {
            let lists = self.idle.borrow();
            lists.values().filter_map(Weak::upgrade).collect()
        };
        let earliest = lists.iter().filter_map(|list| list.drop_expired(now)).min();
        self.watched.set(earliest.is_some());
        earliest.map(|earliest| earliest.saturating_duration_since(now))
    }
}

impl Keeper {
    pub(super) fn new(pool: Rc<Pool>, keep_alive: KeepAlive, locals: &WorkerLocals) -> Self {
        Self {
            pool,
            keep_alive,
            deadlines: Rc::clone(&locals.deadlines),
        }
    }

    /// Keeps a connection that is between two exchanges, or drops it if enough are kept.
    pub(super) fn keep(&self, connection: Connection) {
        let Connection {
            transport,
            deadline,
            home,
            ..
        } = connection;
        let mut connections = home.connections.borrow_mut();
        if connections.len() >= self.keep_alive.max_idle {
            return;
        }
        deadline.clear();
        connections.push_back(Idle {
            transport,
            deadline,
            expires: clock::now() + self.keep_alive.idle_timeout,
        });
        if !self.pool.watched.replace(true) {
            drop(connections);
            self.pool.watch(&self.deadlines);
        }
    }
}

impl View {
    /// The endpoint whose turn it is, among those not yet tried. Those that lately could not be
    /// connected to come last.
    pub(super) fn next(&self, upstream: &Upstream, tried: &[usize]) -> Option<usize> {
        let now = clock::now();
        let up = |index: usize| {
            let endpoint = upstream.endpoints.get(index);
            endpoint.is_some_and(Endpoint::is_up) && !tried.contains(&index)
        };
        let avoided = |index: usize| {
            let endpoint = self.endpoints.get(index);
            endpoint.is_some_and(|endpoint| endpoint.is_avoided(now))
        };
        self.rotation
            .next(|index| up(index) && !avoided(index))
            .or_else(|| self.rotation.next(up))
    }

    pub(super) fn endpoint(&self, index: usize) -> Option<&EndpointView> {
        self.endpoints.get(index)
    }
}

impl EndpointView {
    fn new(endpoint: &Endpoint) -> Self {
        Self {
            name: Rc::from(&*endpoint.name),
            idle: OnceCell::new(),
            avoided_until: Cell::new(None),
            quiet_until: Cell::new(None),
        }
    }

    /// Where to connect to, in the order of resolution.
    pub(super) fn lists(&self, pool: &Pool, endpoint: &Endpoint) -> &[Rc<IdleList>] {
        if let Some(lists) = self.idle.get() {
            return lists;
        }
        let destinations = endpoint.place.destinations();
        if destinations.is_empty() {
            return &[];
        }
        self.idle
            .get_or_init(|| destinations.iter().map(|own| pool.list(own)).collect())
    }

    fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }

    /// Leaves it out for a while.
    pub(super) fn avoid(&self) {
        self.avoided_until.set(Some(clock::now() + AVOIDED_FOR));
    }

    /// It could be connected to.
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

/// The idle connection used last, if there is one that is still quiet. `surely` asks the
/// kernel, for requests that could not be sent a second time.
pub(super) fn take_idle(lists: &[Rc<IdleList>], surely: bool) -> Option<Connection> {
    let now = clock::now();
    lists.iter().find_map(|list| list.take(now, surely))
}

impl IdleList {
    fn take(self: &Rc<Self>, now: Instant, surely: bool) -> Option<Connection> {
        let mut connections = self.connections.borrow_mut();
        while let Some(idle) = connections.pop_back() {
            // What can be read from an idle connection is its end, or garbage.
            if now < idle.expires && idle.transport.is_quiet(surely) {
                return Some(Connection {
                    transport: idle.transport,
                    deadline: idle.deadline,
                    home: Rc::clone(self),
                    reused: true,
                });
            }
        }
        None
    }

    fn drop_expired(&self, now: Instant) -> Option<Instant> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|idle| now < idle.expires);
        connections.iter().map(|idle| idle.expires).min()
    }
}
