//! The endpoints of an upstream as they are now: addresses stay, those of names come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::endpoint::Endpoint;

/// The endpoints of one upstream of one generation, shared by workers and control plane.
#[derive(Debug)]
pub(super) struct Roster {
    /// Counted up with each change, so that workers need not lock to see that there was none.
    version: AtomicU64,
    present: Mutex<Present>,
    /// Held while someone decides whether one more endpoint may be ejected.
    ejecting: Mutex<()>,
}

#[derive(Debug)]
struct Present {
    /// By server, in the order of the file; `None` as long as its name was never looked up.
    by_server: Vec<Option<Vec<Arc<Endpoint>>>>,
    all: Arc<[Arc<Endpoint>]>,
}

impl Roster {
    pub(super) fn new(by_server: Vec<Option<Vec<Arc<Endpoint>>>>) -> Self {
        Self {
            version: AtomicU64::new(0),
            present: Mutex::new(Present {
                all: all(&by_server),
                by_server,
            }),
            ejecting: Mutex::default(),
        }
    }

    /// Which state of affairs this is.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// All endpoints, in the order of the file.
    pub(super) fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        Arc::clone(&self.present().all)
    }

    /// The endpoints of one server.
    pub(super) fn of_server(&self, server: usize) -> Vec<Arc<Endpoint>> {
        let present = self.present();
        let found = present.by_server.get(server).and_then(Option::as_ref);
        found.cloned().unwrap_or_default()
    }

    /// Whether some name was not looked up yet.
    pub(super) fn is_pending(&self) -> bool {
        self.present().by_server.iter().any(Option::is_none)
    }

    /// A server has these endpoints from now on.
    pub(super) fn replace(&self, server: usize, endpoints: Vec<Arc<Endpoint>>) {
        let mut present = self.present();
        if let Some(own) = present.by_server.get_mut(server) {
            *own = Some(endpoints);
        }
        present.all = all(&present.by_server);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Nobody else ejects an endpoint while this is held.
    pub(super) fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, each once: two names may stand for one address.
fn all(by_server: &[Option<Vec<Arc<Endpoint>>>]) -> Arc<[Arc<Endpoint>]> {
    let mut all: Vec<Arc<Endpoint>> = Vec::new();
    for endpoint in by_server.iter().flatten().flatten() {
        if !all.iter().any(|known| known.id == endpoint.id) {
            all.push(Arc::clone(endpoint));
        }
    }
    all.into()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::handlers::address::Destination;
    use crate::handlers::proxy::endpoint::{EndpointId, EndpointState, Terms};
    use crate::handlers::proxy::numbers::Numbers;
    use crate::telemetry::Metrics;

    /// An endpoint nobody listens at.
    pub(in crate::handlers::proxy) fn endpoint(address: &str) -> Arc<Endpoint> {
        let name: Arc<str> = address.into();
        let numbers = Numbers::new(&Arc::new(Metrics::default()), &"backend".into(), &name);
        Arc::new(Endpoint {
            host: Arc::default(),
            id: EndpointId::of(address),
            authority: Arc::clone(&name),
            name,
            destination: Destination::Ip(address.parse().unwrap()),
            terms: Terms::default(),
            state: Arc::new(EndpointState::new(numbers)),
        })
    }

    /// So many of them.
    pub(in crate::handlers::proxy) fn roster(count: usize) -> Roster {
        let server = |index| Some(vec![endpoint(&format!("10.0.0.{index}:80"))]);
        Roster::new((0..count).map(server).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{endpoint, roster};
    use super::*;

    #[test]
    fn addresses_of_a_server_come_and_go_and_each_counts_once() {
        let names = |roster: &Roster| -> Vec<String> {
            let endpoints = roster.endpoints();
            endpoints.iter().map(|own| own.name.to_string()).collect()
        };
        let fixed = roster(2);
        assert!(!fixed.is_pending());
        let pending = Roster::new(vec![fixed.of_server(0).into(), None]);
        assert!(pending.is_pending());
        assert_eq!(names(&pending), ["10.0.0.0:80"]);
        let before = pending.version();
        let found = ["10.0.0.7:80", "10.0.0.0:80", "10.0.0.8:80"];
        pending.replace(1, found.map(endpoint).to_vec());
        assert_ne!(pending.version(), before);
        assert!(!pending.is_pending());
        assert_eq!(
            names(&pending),
            ["10.0.0.0:80", "10.0.0.7:80", "10.0.0.8:80"]
        );
        pending.replace(1, Vec::new());
        assert_eq!(names(&pending), ["10.0.0.0:80"]);
    }
}
