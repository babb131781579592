//! What a worker keeps of its upstreams between requests: views, idle connections, buffers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffers::Buffers;
use super::connect::{Opened, connect};
use super::manner::{Manner, Protocol};
use super::shared::SharedList;
use super::tls::Tls;
use super::upstream::{KeepAlive, Upstream};
use super::view::View;
use crate::clock;
use crate::exchange::{Deadlines, WorkerLocals};
use crate::handlers::address::Destination;

/// How often a worker looks whether enough connections are ready. Short against what makes one
/// wait for new ones: a burst after a quiet time.
const WARM_UP_EVERY: Duration = Duration::from_secs(1);

/// A worker's upstreams.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// By the serial number of the upstream: few, and asked for every request.
    views: RefCell<BTreeMap<u64, Rc<View>>>,
    /// Shared by all upstreams, of all generations, that name the same place and speak to it in
    /// the same way.
    idle: RefCell<HashMap<Place, Weak<IdleList>>>,
    /// Whether a task watches over the idle connections.
    watched: Cell<bool>,
    pub(super) buffers: Buffers,
}

/// Where idle connections lead, and what is spoken there. Encrypted ones are those of one
/// upstream: what another believes of a server may be something else.
#[derive(Debug, Clone)]
struct Place {
    destination: Destination,
    tls: Option<Arc<Tls>>,
    protocol: Protocol,
}

impl Place {
    fn identity(&self) -> (&Destination, Option<*const Tls>, Protocol) {
        let tls = self.tls.as_ref().map(Arc::as_ptr);
        (&self.destination, tls, self.protocol)
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// The connections to one destination that wait for an exchange.
#[derive(Debug, Default)]
pub(super) struct IdleList {
    /// Those of one exchange at a time, the one used last at the back.
    kept: RefCell<VecDeque<Idle>>,
    /// Those of many.
    pub(super) shared: SharedList,
}

#[derive(Debug)]
struct Idle {
    /// Only taken out when it is used or dropped.
    opened: Option<Box<Opened>>,
    expires: Instant,
}

impl Pool {
    /// The worker's view of an upstream, made when first asked for or when endpoints have come
    /// or gone.
    pub(super) fn view(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        locals: &WorkerLocals,
    ) -> Rc<View> {
        if let Some(view) = self.views.borrow().get(&upstream.serial)
            && view.is_current()
        {
            return Rc::clone(view);
        }
        self.renewed_view(upstream, (&locals.deadlines, locals.worker))
    }

    /// The view of the endpoints as they are now.
    pub(super) fn renewed_view(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        locals: (&Rc<Deadlines>, usize),
    ) -> Rc<View> {
        let before = self.views.borrow().get(&upstream.serial).cloned();
        let view = match &before {
            Some(known) if known.is_current() => return Rc::clone(known),
            _ => View::new(upstream, self, locals, before.as_deref()),
        };
        let mut views = self.views.borrow_mut();
        // Those of generations that no exchange uses any more; their idle connections have
        // been taken over by the new view, or have nobody to serve.
        views.retain(|_, view| view.is_wanted());
        views.insert(upstream.serial, Rc::clone(&view));
        drop(views);
        // The lists of addresses that are gone go with the last connection in use.
        drop(before);
        self.idle
            .borrow_mut()
            .retain(|_, list| list.strong_count() > 0);
        if view.keep_alive.min_idle > 0 {
            warm_up(&view);
        }
        view
    }

    /// The list of a destination, shared with whoever names it too.
    pub(super) fn list(&self, destination: &Destination, manner: &Manner) -> Rc<IdleList> {
        let mut lists = self.idle.borrow_mut();
        let place = Place {
            destination: destination.clone(),
            tls: manner.tls.clone(),
            protocol: manner.protocol,
        };
        if let Some(list) = lists.get(&place).and_then(Weak::upgrade) {
            return list;
        }
        let list = Rc::new(IdleList::default());
        lists.insert(place, Rc::downgrade(&list));
        list
    }

    /// Starts the task that drops connections whose time is up. It ends with the last one.
    pub(super) fn watch(self: &Rc<Self>, deadlines: &Rc<Deadlines>) {
        if self.watched.replace(true) {
            return;
        }
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

/// Starts the task that keeps a few connections ready, as long as the view is in use.
fn warm_up(view: &Rc<View>) {
    let weak = Rc::downgrade(view);
    let deadline = view.deadlines.register();
    // Nobody waits for it; it ends with the view or the runtime.
    drop(tokio::task::spawn_local(async move {
        loop {
            let Some(view) = weak.upgrade() else { return };
            if !view.is_wanted() || !view.is_current() {
                return;
            }
            fill(&view).await;
            drop(view);
            deadline.set(WARM_UP_EVERY);
            poll_fn(|cx| deadline.poll_past(cx)).await;
        }
    }));
}

/// Opens what is missing, one after the other.
async fn fill(view: &View) {
    let now = clock::millis();
    for endpoint in &view.endpoints {
        while endpoint.own.may_serve(view.minded, now) && endpoint.idle.len() < view.wanted_idle() {
            // The next request says why, and who is to blame.
            let Ok(opened) = connect(view, endpoint, &[]).await else {
                break;
            };
            view.keep(opened);
        }
    }
}

impl IdleList {
    /// How many there are.
    fn len(&self) -> usize {
        self.kept.borrow().len()
    }

    /// Keeps a connection that is between two exchanges, or drops it if enough are kept, or if
    /// it has done enough.
    pub(super) fn keep(opened: Box<Opened>, keep_alive: &KeepAlive) {
        let Some(home) = opened.past.home.upgrade() else {
            opened.transport.end();
            return;
        };
        let mut connections = home.kept.borrow_mut();
        let now = clock::now();
        let past = &opened.past;
        let age = now.saturating_duration_since(past.born);
        let worn = keep_alive.max_requests != 0 && past.served >= keep_alive.max_requests;
        if connections.len() >= keep_alive.max_idle || age >= keep_alive.max_lifetime || worn {
            opened.transport.end();
            return;
        }
        opened.deadline.clear();
        past.counted.numbers.idle.add(past.counted.worker, 1);
        let left = keep_alive.max_lifetime.saturating_sub(age);
        connections.push_back(Idle {
            opened: Some(opened),
            expires: now + keep_alive.idle_timeout.min(left),
        });
    }

    /// The connection used last, if there is one that is still quiet. `surely` asks the kernel,
    /// for requests that could not be sent a second time.
    pub(super) fn take(&self, now: Instant, surely: bool) -> Option<Box<Opened>> {
        let mut connections = self.kept.borrow_mut();
        while let Some(mut idle) = connections.pop_back() {
            // What can be read from an idle connection is its end, or garbage.
            if now < idle.expires
                && let Some(opened) = idle.take()
                && opened.transport.is_quiet(surely)
            {
                return Some(opened);
            }
        }
        None
    }

    fn drop_expired(&self, now: Instant) -> Option<Instant> {
        let mut connections = self.kept.borrow_mut();
        connections.retain(|idle| now < idle.expires);
        connections.iter().map(|idle| idle.expires).min()
    }
}

impl Idle {
    fn take(&mut self) -> Option<Box<Opened>> {
        let opened = self.opened.take()?;
        let counted = &opened.past.counted;
        counted.numbers.idle.add(counted.worker, -1);
        Some(opened)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(opened) = self.take() {
            opened.transport.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_by_who_speaks_alike() {
        let pool = Pool::default();
        let place = Destination::Ip("127.0.0.1:1".parse().unwrap());
        let list = |protocol| {
            let manner = Manner {
                protocol,
                ..Manner::default()
            };
            pool.list(&place, &manner)
        };
        let http1 = list(Protocol::Http1);
        assert!(Rc::ptr_eq(&http1, &list(Protocol::Http1)));
        assert!(!Rc::ptr_eq(&http1, &list(Protocol::Http2Clear)));
    }
}
