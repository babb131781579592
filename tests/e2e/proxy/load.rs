//! Clients that ask without a pause, and count what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::get;
use crate::support::daemon::Daemon;
use crate::support::wire::Wire;
use crate::support::{deadline, left};

/// Clients that ask without a pause.
pub(super) struct Load {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// So many clients ask for `/page`, one request after the other each.
    pub(super) fn start(daemon: &Daemon, clients: usize) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let address = daemon.address("web").clone();
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            let ask = move || {
                let mut failures = Vec::new();
                let mut wire = Wire::connect(&address);
                while !stop.load(Ordering::Relaxed) {
                    failures.extend(ask(&mut wire));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failures
            };
            thread::Builder::new().spawn(ask).unwrap()
        };
        let clients = (0..clients).map(|_| client()).collect();
        Self {
            answered,
            stop,
            clients,
        }
    }

    /// Waits until so many more requests have been answered.
    #[track_caller]
    pub(super) fn wait(&self, more: usize) {
        let deadline = deadline();
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(left(deadline).is_some(), "the clients are not answered");
            thread::yield_now();
        }
    }

    /// Ends it; the heads of all answers that were failures.
    pub(super) fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        failures.flatten().collect()
    }
}

/// One request; the head of its answer if that is a failure.
fn ask(wire: &mut Wire) -> Option<String> {
    get(wire, "/page");
    let response = wire.read_response();
    (response.status() != 200).then_some(response.head.text)
}
