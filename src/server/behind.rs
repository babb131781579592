//! What an exchange leaves to be done behind its answer: see [`crate::exchange::behind`].

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::dispatch;
use super::snapshot::Snapshot;
use super::worker::{Phase, Worker};
use crate::clock;
use crate::exchange::{Behind, ConnectionInfo, Exchange, Params};
use crate::routing::route::Route;

/// How many of these a worker runs at a time: a bound on what is asked of upstreams for nobody,
/// and more than a page has parts.
const TASKS_MAX: usize = 64;

/// What was known of the exchange, owned.
struct Task {
    running: Running,
    snapshot: Rc<Snapshot>,
    route: Arc<Route>,
    behind: Behind,
    connection: ConnectionInfo,
    client_ip: IpAddr,
    trusted_peer: bool,
    params: Vec<(Box<str>, Box<[u8]>)>,
    request_id: Option<Box<str>>,
}

/// Starts what an exchange left to be done, in tasks of this worker.
pub(super) fn start(
    x: &mut Exchange<'_>,
    route: Option<&Arc<Route>>,
    worker: &Rc<Worker>,
    snapshot: &Rc<Snapshot>,
) {
    while let Some(behind) = x.take_behind() {
        let Some(route) = route else { return };
        if worker.behind.get() >= TASKS_MAX || worker.phase.get() != Phase::Serving {
            return;
        }
        let params = x.params.iter();
        let task = Task {
            running: Running::new(worker),
            snapshot: Rc::clone(snapshot),
            route: Arc::clone(route),
            behind,
            connection: x.connection.clone(),
            client_ip: x.client_ip,
            trusted_peer: x.trusted_peer,
            params: params
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            request_id: x.request_id.clone(),
        };
        tokio::task::spawn_local(task.run());
    }
}

impl Task {
    async fn run(self) {
        let Self {
            running,
            snapshot,
            route,
            behind,
            connection,
            params: captured,
            ..
        } = self;
        let Some(chain) = route.chain.within(behind.within) else {
            return;
        };
        let mut request = behind.request;
        let mut params = Params::default();
        for (name, value) in &captured {
            params.push(name, value);
        }
        let locals = &running.0.locals;
        let mut x = Exchange {
            client_ip: self.client_ip,
            trusted_peer: self.trusted_peer,
            route: &route.name,
            params,
            request_id: self.request_id,
            generation: snapshot.generation.id,
            ..Exchange::new(&mut request, &connection, locals, clock::now())
        };
        dispatch::run_behind(&mut x, &chain, &route, behind.done).await;
    }
}

/// Counted as long as it runs, however it ends.
struct Running(Rc<Worker>);

impl Running {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.behind.set(worker.behind.get().saturating_add(1));
        Self(Rc::clone(worker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let behind = &self.0.behind;
        behind.set(behind.get().saturating_sub(1));
    }
}
