//! What a worker keeps of its upstreams between requests: views, idle connections, buffers.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffers::Buffers;
use super::connect::Opened;
use super::upstream::{KeepAlive, Upstream};
use super::view::View;
use crate::clock;
use crate::exchange::{Deadline, Deadlines, WorkerLocals};
use crate::handlers::address::Destination;
use crate::sys::transport::Transport;

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
    pub(super) fn view(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        locals: &WorkerLocals,
    ) -> Rc<View> {
        if let Some(view) = self.views.borrow().get(&upstream.serial) {
            return Rc::clone(view);
        }
        let view = View::new(upstream, self, locals);
        let mut views = self.views.borrow_mut();
        // Those of generations that no exchange uses any more; their idle connections have
        // been taken over by the new view, or have nobody to serve.
        views.retain(|_, view| view.is_wanted());
        views.insert(upstream.serial, Rc::clone(&view));
        self.idle
            .borrow_mut()
            .retain(|_, list| list.strong_count() > 0);
        view
    }

    /// The list of a destination, shared with whoever names it too.
    pub(super) fn list(&self, destination: &Destination) -> Rc<IdleList> {
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

/// The idle connection used last, if there is one that is still quiet. `surely` asks the
/// kernel, for requests that could not be sent a second time.
pub(super) fn take_idle(lists: &[Rc<IdleList>], surely: bool) -> Option<Opened> {
    let now = clock::now();
    lists.iter().find_map(|list| list.take(now, surely))
}

impl IdleList {
    /// Keeps a connection that is between two exchanges, or drops it if enough are kept.
    pub(super) fn keep(opened: Opened, keep_alive: &KeepAlive) {
        let Opened {
            transport,
            deadline,
            home,
        } = opened;
        let mut connections = home.connections.borrow_mut();
        if connections.len() < keep_alive.max_idle {
            deadline.clear();
            connections.push_back(Idle {
                transport,
                deadline,
                expires: clock::now() + keep_alive.idle_timeout,
            });
        }
    }

    fn take(self: &Rc<Self>, now: Instant, surely: bool) -> Option<Opened> {
        let mut connections = self.connections.borrow_mut();
        while let Some(idle) = connections.pop_back() {
            // What can be read from an idle connection is its end, or garbage.
            if now < idle.expires && idle.transport.is_quiet(surely) {
                return Some(Opened {
                    transport: idle.transport,
                    deadline: idle.deadline,
                    home: Rc::clone(self),
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
