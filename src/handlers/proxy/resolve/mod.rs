//! Names of endpoints: looked up in the background, now and then.

use std::sync::Arc;
use std::time::Duration;

use super::roster::Roster;
use super::upstream::{Server, Upstream, UpstreamState};
use crate::build::Probe;
use crate::clock;

/// How often a name is looked up. A resolver that caches makes it cheap; an address that
/// changed is noticed as soon.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Looks a server's name up and tells the roster.
#[derive(Debug)]
pub(super) struct Resolution {
    upstream: Arc<str>,
    servers: Arc<[Server]>,
    server: usize,
    roster: Arc<Roster>,
    state: Arc<UpstreamState>,
}

impl Resolution {
    pub(super) fn new(upstream: &Upstream, server: usize) -> Self {
        Self {
            upstream: Arc::clone(&upstream.name),
            servers: Arc::clone(&upstream.servers),
            server,
            roster: Arc::clone(&upstream.roster),
            state: Arc::clone(&upstream.state),
        }
    }

    fn server(&self) -> Option<&Server> {
        self.servers.get(self.server)
    }
}

impl Probe for Resolution {
    fn name(&self) -> String {
        let server = self.server().map_or("", |server| &server.name);
        format!("resolution of {server} in upstream {}", self.upstream)
    }

    fn interval(&self) -> Duration {
        RESOLVE_EVERY
    }

    fn run(&self) {
        let Some(server) = self.server() else { return };
        let (upstream, name) = (&*self.upstream, &*server.name);
        let before = self.roster.of_server(self.server);
        let found = match server.address.resolve() {
            Ok(mut found) => {
                found.sort_unstable();
                found
            }
            Err(error) => {
                tracing::error!(upstream, server = name, %error, "server does not resolve");
                if before.is_empty() {
                    // Known to be unknown: nobody waits for it any longer.
                    self.roster.replace(self.server, Vec::new());
                    self.state.queue.call_all();
                }
                return;
            }
        };
        let same = before.len() == found.len()
            && before
                .iter()
                .zip(&found)
                .all(|(own, found)| own.destination == *found);
        if same {
            return;
        }
        let endpoints = self.state.learn(server, &found);
        let now = clock::millis();
        for endpoint in &endpoints {
            if !before.is_empty() && !before.iter().any(|known| known.id == endpoint.id) {
                endpoint.state.standing.joined(now);
            }
        }
        let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(" ");
        tracing::info!(upstream, server = name, addresses, "server resolves");
        self.roster.replace(self.server, endpoints);
        self.state.queue.call_all();
    }
}
