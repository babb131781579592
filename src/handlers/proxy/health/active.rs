//! Health checks: each endpoint is asked now and then, off the path of every request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Verdicts;
use crate::build::{Percent, Probe};
use crate::clock;
use crate::exchange::Seldom;
use crate::handlers::address::Destination;
use crate::handlers::checking::{self, Approach, Question};
use crate::handlers::proxy::balance::Random;
use crate::handlers::proxy::endpoint::{Endpoint, EndpointState};
use crate::handlers::proxy::manner::Manner;
use crate::handlers::proxy::roster::Roster;
use crate::handlers::proxy::shared::check;
use crate::handlers::proxy::upstream::{Upstream, UpstreamState};

/// How the endpoints of an upstream are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::handlers::proxy) struct HealthCheck {
    pub(in crate::handlers::proxy) way: Way,
    /// The port that is asked; `None` for the endpoint's own.
    pub(in crate::handlers::proxy) port: Option<u16>,
    /// Between two checks.
    pub(in crate::handlers::proxy) interval: Duration,
    /// How much longer or shorter that may be.
    pub(in crate::handlers::proxy) jitter: Percent,
    /// Of one check, connecting included.
    pub(in crate::handlers::proxy) timeout: Duration,
    /// How many checks in a row bring an endpoint back.
    pub(in crate::handlers::proxy) healthy_after: u32,
    /// How many failures in a row take an endpoint out.
    pub(in crate::handlers::proxy) unhealthy_after: u32,
}

/// What is done to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::handlers::proxy) enum Way {
    /// It is connected to.
    Tcp,
    /// It is asked.
    Http(Question),
}

/// How many checks in a row ended otherwise than the endpoint stands.
#[derive(Debug, Default)]
pub(in crate::handlers::proxy) struct Contrary(AtomicU32);

/// The check of one address of a server: a name may stand for several, and each is checked.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Check {
    upstream: Arc<str>,
    /// Which server, and which of its addresses.
    place: (usize, usize),
    roster: Arc<Roster>,
    state: Arc<UpstreamState>,
    how: Arc<HealthCheck>,
    manner: Arc<Manner>,
    /// What makes the next interval unlike the last.
    drawn: AtomicU64,
    /// That it could not be asked.
    short: Seldom,
}

impl Check {
    pub(in crate::handlers::proxy) fn new(
        upstream: &Upstream,
        place: (usize, usize),
        how: Arc<HealthCheck>,
    ) -> Self {
        Self {
            upstream: Arc::clone(&upstream.name),
            place,
            roster: Arc::clone(&upstream.roster),
            state: Arc::clone(&upstream.state),
            how,
            manner: Arc::clone(&upstream.manner),
            // Each begins elsewhere.
            drawn: AtomicU64::new((place.0 as u64) << 32 | (place.1 as u64) << 24),
            short: Seldom::default(),
        }
    }

    fn endpoint(&self) -> Option<Arc<Endpoint>> {
        let (server, slot) = self.place;
        self.roster.of_server(server).into_iter().nth(slot)
    }
}

impl Probe for Check {
    fn name(&self) -> String {
        let endpoint = self.endpoint();
        let endpoint = endpoint.as_ref().map_or("no address", |own| &own.name);
        format!("health check of {endpoint} in upstream {}", self.upstream)
    }

    fn interval(&self) -> Duration {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        jittered(
            self.how.interval,
            self.how.jitter,
            Random::new(drawn).next(),
        )
    }

    fn run(&self) {
        let Some(endpoint) = self.endpoint() else {
            return;
        };
        let destination = [self.how.destination(&endpoint)];
        let timeout = self.how.timeout;
        // Who answers at another port is another server, of which nothing is known.
        let approach = match self.how.port {
            None => self.manner.approach(&endpoint.host),
            Some(_) => Approach::default(),
        };
        let found = match &self.how.way {
            Way::Tcp => checking::connect(&destination, &approach.preface, timeout)
                .map(|()| "it can be connected to".into()),
            Way::Http(question) if self.how.port.is_none() && self.manner.is_http2() => {
                let names = (&*endpoint.host, &*endpoint.authority);
                let [destination] = &destination;
                check::ask(destination, &self.manner, names, question, timeout)
                    .map(|status| format!("its check answers {status}"))
            }
            Way::Http(question) => {
                let authority = &endpoint.authority;
                checking::ask(&destination, authority, approach, question, timeout)
                    .map(|status| format!("its check answers {status}"))
            }
        };
        if let Err(unwell) = &found
            && let Some(short) = unwell.shortage()
        {
            if self.short.is_due() {
                let upstream = &*self.upstream;
                tracing::warn!(upstream, "cannot check the health of servers: {short}");
            }
            return;
        }
        let (healthy, cause) = match found {
            Ok(cause) => (true, cause),
            Err(unwell) => (false, format!("its check fails: {unwell}")),
        };
        tracing::debug!(
            upstream = &*self.upstream,
            endpoint = &*endpoint.name,
            healthy,
            cause,
            "health check"
        );
        if take(&endpoint.state, healthy, &self.how, cause) && healthy {
            self.state.queue.call_all();
        }
    }
}

impl HealthCheck {
    /// Where it is asked.
    fn destination(&self, endpoint: &Endpoint) -> Destination {
        match (&endpoint.destination, self.port) {
            (Destination::Ip(address), Some(port)) => {
                Destination::Ip(SocketAddr::new(address.ip(), port))
            }
            (own, _) => own.clone(),
        }
    }
}

/// An interval, longer or shorter by a part that a random number decides.
fn jittered(interval: Duration, jitter: Percent, random: u64) -> Duration {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let most = jitter.of(millis);
    let shift = random % (2 * most + 1);
    Duration::from_millis((millis - most).saturating_add(shift))
}

/// Takes in what a check found; whether that changed how the endpoint stands. Called by one
/// thread at a time.
fn take(state: &EndpointState, healthy: bool, how: &HealthCheck, cause: String) -> bool {
    let EndpointState {
        standing, contrary, ..
    } = state;
    if healthy != standing.is(Verdicts::UNHEALTHY) {
        contrary.0.store(0, Ordering::Relaxed);
        return false;
    }
    let in_a_row = contrary.0.load(Ordering::Relaxed).saturating_add(1);
    let wanted = if healthy {
        how.healthy_after
    } else {
        how.unhealthy_after
    };
    let changes = in_a_row >= wanted;
    contrary
        .0
        .store(if changes { 0 } else { in_a_row }, Ordering::Relaxed);
    changes
        && if healthy {
            standing.lift(Verdicts::UNHEALTHY, cause, clock::millis())
        } else {
            standing.set(Verdicts::UNHEALTHY, cause)
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::proxy::roster::testing::endpoint;

    #[test]
    fn intervals_differ_by_the_jitter_and_no_more() {
        let second = Duration::from_secs(1);
        for random in [0, 1, 99, 100, 200, 201, u64::MAX] {
            let found = jittered(second, Percent::whole(10), random).as_millis();
            assert!((900..=1_100).contains(&found), "{found}");
            assert_eq!(jittered(second, Percent::whole(0), random), second);
        }
        let all: Vec<_> = (0..9)
            .map(|seed| jittered(second, Percent::whole(50), Random::new(seed).next()))
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
    }

    #[test]
    fn thresholds_count_checks_in_a_row() {
        let how = HealthCheck {
            way: Way::Tcp,
            port: None,
            jitter: Percent::whole(0),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let endpoint = endpoint("10.0.0.1:80");
        let is_down = || endpoint.state.standing.is(Verdicts::UNHEALTHY);
        // What a check finds, and whether the endpoint is down after it.
        let checks = [
            (true, false),
            (false, false),
            (false, false),
            (true, false),
            (false, false),
            (false, false),
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (true, true),
            (true, false),
        ];
        for (index, (healthy, down)) in checks.into_iter().enumerate() {
            let before = is_down();
            let changed = take(&endpoint.state, healthy, &how, String::new());
            assert_eq!(changed, before != down, "check {index}");
            assert_eq!(is_down(), down, "check {index}");
        }
    }
}
