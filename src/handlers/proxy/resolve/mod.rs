//! Names of endpoints: looked up in the background, by the system's resolver. It asks as the
//! machine is set up to (hosts file, caches, search domains), but does not tell how long an
//! answer holds, so that is a setting.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::roster::Roster;
use super::upstream::{Server, Upstream, UpstreamState};
use crate::build::Probe;
use crate::clock;
use crate::handlers::address::Destination;

/// How names are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolving {
    /// From one look-up to the next.
    pub(super) refresh: Duration,
    /// How long the last good answer is used while the name does not resolve.
    pub(super) keep: Duration,
}

/// Looks a server's name up and tells the roster.
#[derive(Debug)]
pub(super) struct Resolution {
    upstream: Arc<str>,
    servers: Arc<[Server]>,
    server: usize,
    resolving: Resolving,
    roster: Arc<Roster>,
    state: Arc<UpstreamState>,
}

impl Resolution {
    pub(super) fn new(upstream: &Upstream, server: usize) -> Self {
        Self {
            upstream: Arc::clone(&upstream.name),
            servers: Arc::clone(&upstream.servers),
            server,
            resolving: upstream.rules.resolving,
            roster: Arc::clone(&upstream.roster),
            state: Arc::clone(&upstream.state),
        }
    }

    fn server(&self) -> Option<&Server> {
        self.servers.get(self.server)
    }

    /// Takes in what a look-up found.
    fn take(&self, server: &Server, answer: io::Result<Vec<Destination>>) {
        let (upstream, name) = (&*self.upstream, &*server.name);
        match answer {
            Ok(mut found) if !found.is_empty() => {
                found.sort_unstable();
                self.found(server, &found);
            }
            other => {
                let error = other
                    .err()
                    .unwrap_or_else(|| io::Error::other("no address"));
                tracing::error!(upstream, server = name, %error, "server does not resolve");
                let stale = self.state.unknown_for(server);
                if stale.is_none_or(|stale| stale >= self.resolving.keep) {
                    // Nobody waits for it any longer.
                    self.roster.replace(self.server, Vec::new());
                    self.state.queue.call_all();
                }
            }
        }
    }

    fn found(&self, server: &Server, found: &[Destination]) {
        // Also what is known already: it is good for longer now.
        let endpoints = self.state.learn(server, found);
        let before = self.roster.of_server(self.server);
        let ids = |endpoints: &[Arc<super::endpoint::Endpoint>]| -> Vec<_> {
            endpoints.iter().map(|own| own.id).collect()
        };
        let known = ids(&before);
        if known == ids(&endpoints) {
            return;
        }
        let now = clock::millis();
        for endpoint in endpoints.iter().filter(|own| !known.contains(&own.id)) {
            if !known.is_empty() {
                endpoint.state.standing.joined(now);
            }
        }
        let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
        let (upstream, name, addresses) = (&*self.upstream, &*server.name, addresses.join(" "));
        tracing::info!(upstream, server = name, addresses, "server resolves");
        self.roster.replace(self.server, endpoints);
        self.state.queue.call_all();
    }
}

impl Probe for Resolution {
    fn name(&self) -> String {
        let server = self.server().map_or("", |server| &server.name);
        format!("resolution of {server} in upstream {}", self.upstream)
    }

    fn interval(&self) -> Duration {
        self.resolving.refresh
    }

    fn run(&self) {
        if let Some(server) = self.server() {
            self.take(server, server.address.resolve());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{BuildContext, CarryOver, ParseContext, Section};
    use crate::handlers::proxy::upstream_settings::UPSTREAM;

    fn build(kept: &mut CarryOver, keep: &str) -> Arc<Upstream> {
        let text = format!("servers = [\"app.invalid:80\"]\nresolve.keep = \"{keep}\"");
        let section = Section::from_text(&text).unwrap();
        let mut cx = BuildContext::new(kept, "/".into());
        cx.name = "backend".into();
        let settings = (UPSTREAM.parse)(&section, &mut ParseContext::default()).unwrap();
        settings.build(&mut cx).unwrap()
    }

    fn take(upstream: &Upstream, answer: Result<&[&str], &'static str>) {
        let resolution = Resolution::new(upstream, 0);
        let destination = |address: &&str| Destination::Ip(address.parse().unwrap());
        let answer = answer.map(|all| all.iter().map(destination).collect());
        resolution.take(&upstream.servers[0], answer.map_err(io::Error::other));
    }

    fn names(upstream: &Upstream) -> Vec<String> {
        upstream.report().into_iter().map(|own| own.name).collect()
    }

    #[test]
    fn addresses_follow_the_name_and_the_last_good_answer_is_kept_for_a_while() {
        let mut kept = CarryOver::default();
        let first = build(&mut kept, "1h");
        assert!(first.roster.is_pending());
        take(&first, Err("no resolver"));
        assert!(!first.roster.is_pending() && !first.has_healthy_endpoint());
        take(&first, Ok(&["10.0.0.2:80", "10.0.0.1:80"]));
        let both = [
            "app.invalid:80 (10.0.0.1:80)",
            "app.invalid:80 (10.0.0.2:80)",
        ];
        assert_eq!(names(&first), both);
        let version = first.roster.version();
        take(&first, Ok(&["10.0.0.1:80", "10.0.0.2:80"]));
        take(&first, Err("no resolver"));
        assert_eq!(
            (names(&first), first.roster.version()),
            (both.map(str::to_owned).to_vec(), version)
        );
        // A reload knows the answer, and the state of who stays.
        first.drain("10.0.0.2:80", true, "said so");
        let second = build(&mut kept, "0s");
        assert_eq!(names(&second), both);
        assert!(!second.report()[1].in_service);
        take(&second, Ok(&["10.0.0.2:80"]));
        assert_eq!(names(&second), both[1..]);
        // Kept for no time at all.
        take(&second, Ok(&[]));
        assert_eq!(names(&second), [""; 0]);
    }
}
