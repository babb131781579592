//! The endpoints of an upstream: where each is, and the state that outlives a configuration.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::check::HealthCheck;
use crate::build::CarryOver;
use crate::handlers::address::{Address, Destination};

/// Which endpoint: the same for the same address, in every configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EndpointId(u64);

/// One server of an upstream.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    /// As the log calls it: what the file says.
    pub(super) name: Arc<str>,
    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) authority: Arc<str>,
    pub(super) place: Arc<Place>,
    /// Its share of the requests, against those of the others.
    pub(super) weight: u16,
    /// Whether a health check speaks for it.
    checked: bool,
    pub(super) state: Arc<EndpointState>,
}

/// Where an endpoint is.
#[derive(Debug)]
pub(super) struct Place {
    address: Address,
    /// Not set as long as its name does not resolve.
    destinations: OnceLock<Box<[Destination]>>,
}

/// What is known of an endpoint, kept from one configuration to the next.
#[derive(Debug, Default)]
pub(super) struct EndpointState {
    /// The health checks found it down. An endpoint nobody has checked yet is taken to be up,
    /// so that a start does not begin with refusals.
    down: AtomicBool,
    /// How many checks in a row ended otherwise than `down` says. Written by the prober alone.
    contrary: AtomicU64,
}

impl EndpointId {
    fn of(address: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Endpoint {
    /// The endpoint at this address. A name that does not resolve now is looked up again in the
    /// background; until then the endpoint is down.
    pub(super) fn new(
        upstream: &str,
        address: &Address,
        weight: u16,
        checked: bool,
        carry_over: &mut CarryOver,
    ) -> Self {
        let name: Arc<str> = address.to_string().into();
        let place = Place {
            address: address.clone(),
            destinations: OnceLock::new(),
        };
        // A failure is told by the one that tries again.
        drop(place.resolve());
        Self {
            id: EndpointId::of(&name),
            state: carry_over.keep(&format!("{upstream}/{name}"), EndpointState::default),
            name,
            authority: address.authority().into(),
            place: Arc::new(place),
            weight,
            checked,
        }
    }

    /// Whether requests may be sent to it.
    pub(super) fn is_up(&self) -> bool {
        let down = self.checked && self.state.is_down();
        !down && !self.place.destinations().is_empty()
    }
}

impl Place {
    /// What can be connected to; nothing as long as the name does not resolve.
    pub(super) fn destinations(&self) -> &[Destination] {
        self.destinations.get().map_or(&[], |found| found)
    }

    /// Looks the name up, unless that is done.
    pub(super) fn resolve(&self) -> io::Result<()> {
        if self.destinations.get().is_none() {
            let found = self.address.resolve()?;
            if found.is_empty() {
                return Err(io::Error::other("no address"));
            }
            self.destinations.get_or_init(|| found.into());
        }
        Ok(())
    }
}

impl EndpointState {
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Takes in the result of a check; whether that changed the state. Called by one thread at a
    /// time.
    pub(super) fn take(&self, healthy: bool, check: &HealthCheck) -> bool {
        let down = self.is_down();
        if healthy != down {
            self.contrary.store(0, Ordering::Relaxed);
            return false;
        }
        let contrary = self.contrary.load(Ordering::Relaxed).saturating_add(1);
        let wanted = if healthy {
            check.healthy_after
        } else {
            check.unhealthy_after
        };
        let changes = contrary >= u64::from(wanted);
        self.contrary
            .store(if changes { 0 } else { contrary }, Ordering::Relaxed);
        if changes {
            self.set_down(!healthy);
        }
        changes
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}
