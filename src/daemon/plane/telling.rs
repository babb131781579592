//! What the control plane tells the world once a generation is served.

use std::fmt::Write;
use std::sync::Arc;

use tracing::{debug, error, info, warn};

use super::Plane;
use crate::clock;
use crate::config;
use crate::daemon::askers::Answer;
use crate::daemon::control_socket::ControlSocket;
use crate::daemon::event::{EndSignal, Event};
use crate::daemon::listening::Address;
use crate::daemon::reload::unchangeable;
use crate::daemon::systemd;
use crate::daemon::upgrade::Predecessor;

impl Plane {
    pub(super) fn announce(&mut self, generation: u64) {
        let first = self.next.is_none();
        if let Some(next) = self.next.take() {
            for change in config::changes(&self.current.model, &next.model) {
                info!("{change}");
            }
            let before = &self.current.generation.files;
            for file in next.generation.files.changed_since(before) {
                info!("read {}", file.display());
            }
            for line in unchangeable(&self.first, &next.generation) {
                warn!("{line}");
            }
            self.current = next;
            self.logging.files().prune();
        }
        if let Err(error) = self.prober.set(&self.current.generation.probes) {
            error!(%error, "cannot start threads for health checks");
        }
        self.acme.run();
        let addresses = self.listening.addresses(&self.current.generation);
        self.tell_desk(&addresses);
        for (listener, address) in &addresses {
            debug!(%listener, %address, "listening");
        }
        if let Some(ready) = self.ready.take().filter(|_| first) {
            for (listener, address) in &addresses {
                info!(%listener, "listening on {address}");
            }
            clock::invalidate();
            let elapsed = clock::now().saturating_duration_since(ready.started);
            info!(
                workers = self.workers(),
                routes = self.current.model.routes.len(),
                "ready in {} ms: serving generation {generation}",
                elapsed.as_millis()
            );
            self.open_control_socket();
            if let Some(predecessor) = self.predecessor.take() {
                self.dismiss(predecessor);
            }
            systemd::ready(&self.status(""));
            if let Some(tell) = ready.tell {
                let addresses: Vec<_> = addresses
                    .into_iter()
                    .map(|(name, address)| (name, address.to_string()))
                    .collect();
                tell(&self.current.model, &addresses);
            }
            if let Some(background) = &mut self.background {
                background.ready();
            }
        } else {
            self.reloads.published.add(0, 1);
            let reloaded = format!("reloaded: serving generation {generation}");
            info!("{reloaded}");
            systemd::ready(&self.status(""));
            self.desk.reload.answer(&Answer::done(reloaded));
        }
    }

    fn dismiss(&self, predecessor: Predecessor) {
        if !predecessor.dismiss() {
            self.events.send(Event::End(EndSignal::Terminate));
        }
    }

    fn tell_desk(&self, addresses: &[(Arc<str>, Address)]) {
        let listeners = addresses
            .iter()
            .map(|(name, address)| (name.to_string(), address.to_string()));
        self.desk.update(|state| {
            state.phase = "serving";
            state.generation = self.current.generation.id;
            state.routes = self.current.model.routes.len();
            state.listeners = listeners.collect();
            state.refused = None;
            state.toggles.clone_from(&self.current.generation.toggles);
            state.workers = self.workers.counters();
        });
    }

    /// Where others reach the daemon while it runs. Fixed at the start.
    fn open_control_socket(&mut self) {
        let path = match &self.current.model.server.control_socket {
            Some(path) => self.loader.path(path),
            None => match ControlSocket::default_path() {
                Some(path) => path,
                None => return,
            },
        };
        let replaces = self.predecessor.is_some();
        match ControlSocket::open(&path, replaces, &self.desk, &self.events) {
            Ok(socket) => self.control_socket = Some(socket),
            Err(error) => {
                let path = path.display();
                error!(%error, "no control socket at {path}: only signals reach the daemon");
            }
        }
    }

    /// "generation 3; web=127.0.0.1:8080; admin=unix:/run/admin.sock".
    pub(super) fn status(&self, note: &str) -> String {
        let generation = &self.current.generation;
        let addresses = self.listening.addresses(generation);
        let mut status = format!("generation {}", generation.id);
        for (name, address) in addresses {
            // Writing to a string cannot fail.
            let _ = write!(status, "; {name}={address}");
        }
        status + note
    }
}
