//! What is checked, how, and what was found last.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::build::{ByteSize, Percent, Probe};
use crate::clock;
use crate::handlers::address::{Address, Scheme};
use crate::handlers::checking;
use crate::handlers::proxy::Upstream;

/// One check of a health route.
#[derive(Debug)]
pub(super) enum Check {
    /// Run now and then by the control plane; this is what it found last.
    Probed(Arc<Found>),
    /// Whether a request could be sent on: known without asking anyone.
    Upstream(Arc<Upstream>),
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) healthy: bool,
    pub(super) message: String,
    /// How long the check took, and when it ended; `None` for what was not run.
    ran: Option<(Duration, Instant)>,
}

/// The last finding of a check, kept from one configuration to the next.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Option<Finding>>);

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A server that accepts connections.
    Tcp(Address),
    /// A server that answers GET with 2xx or 3xx.
    Http { server: Address, path: Box<str> },
    /// A file or directory that is there and, if so wanted, may be written.
    File { path: Box<Path>, writable: bool },
    /// A file system with room left.
    Disk { path: Box<Path>, free: Room },
}

/// How much room there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Bytes(ByteSize),
    Share(Percent),
}

/// Looks at a subject now and then.
#[derive(Debug)]
pub(super) struct CheckProbe {
    pub(super) name: Box<str>,
    pub(super) subject: Subject,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) found: Arc<Found>,
}

impl Check {
    /// What is known now.
    pub(super) fn finding(&self) -> Finding {
        match self {
            Self::Probed(found) => found.last(),
            Self::Upstream(upstream) => {
                let healthy = upstream.has_healthy_endpoint();
                let message = if healthy {
                    format!("upstream {} has a healthy server", upstream.name())
                } else {
                    format!("upstream {} has no healthy server", upstream.name())
                };
                Finding {
                    healthy,
                    message,
                    ran: None,
                }
            }
        }
    }
}

impl Found {
    fn last(&self) -> Finding {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody has looked at yet is not called healthy: traffic may wait that long.
        last.clone().unwrap_or_else(|| Finding {
            healthy: false,
            message: "not checked yet".to_owned(),
            ran: None,
        })
    }

    /// Replaces the finding; whether it is another than before, health first or health changed.
    fn replace(&self, finding: Finding) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = last
            .as_ref()
            .is_none_or(|last| last.healthy != finding.healthy);
        *last = Some(finding);
        changed
    }
}

impl Probe for CheckProbe {
    fn name(&self) -> String {
        format!("health check `{}`", self.name)
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn run(&self) {
        let begun = clock::precise_now();
        let found = self.subject.look(self.timeout);
        let ended = clock::precise_now();
        let healthy = found.is_ok();
        let (Ok(message) | Err(message)) = found;
        let changed = self.found.replace(Finding {
            healthy,
            message: message.clone(),
            ran: Some((ended.saturating_duration_since(begun), ended)),
        });
        match (changed, healthy) {
            (true, true) => tracing::info!(check = &*self.name, message, "check passes"),
            (true, false) => tracing::warn!(check = &*self.name, message, "check fails"),
            (false, _) => {}
        }
    }
}

impl Subject {
    /// Looks at it: what is well, or what is wrong.
    fn look(&self, timeout: Duration) -> Result<String, String> {
        match self {
            Self::Tcp(server) => {
                let destinations = resolve(server)?;
                checking::connect(&destinations, &[], timeout)
                    .map(|()| format!("{server} accepts connections"))
                    .map_err(|unwell| format!("{server}: {unwell}"))
            }
            Self::Http { server, path } => {
                let destinations = resolve(server)?;
                checking::get(
                    &destinations,
                    &server.authority(Scheme::Http),
                    path,
                    timeout,
                )
                .map(|status| format!("http://{server}{path} answers {status}"))
                .map_err(|unwell| format!("http://{server}{path}: {unwell}"))
            }
            Self::File { path, writable } => file(path, *writable),
            Self::Disk { path, free } => disk(path, *free),
        }
    }
}

fn resolve(server: &Address) -> Result<Vec<crate::handlers::address::Destination>, String> {
    server
        .resolve()
        .map_err(|error| format!("{server}: {error}"))
}

fn file(path: &Path, writable: bool) -> Result<String, String> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let shown = path.display();
    std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if !writable {
        return Ok(format!("{shown} is there"));
    }
    // With the rights the process has now, not those it was started with.
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)
        .map(|()| format!("{shown} can be written"))
        .map_err(|errno| format!("{shown}: {}", std::io::Error::from(errno)))
}

fn disk(path: &Path, wanted: Room) -> Result<String, String> {
    let shown = path.display();
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| format!("{shown}: {}", std::io::Error::from(errno)))?;
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let enough = match wanted {
        Room::Bytes(bytes) => free >= bytes.0,
        Room::Share(share) => free >= share.of(total),
    };
    let percent = free
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or_default();
    let message = format!("{shown} has {} MiB free ({percent} %)", free >> 20);
    if enough { Ok(message) } else { Err(message) }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 4)?;
        let status = if self.healthy { "healthy" } else { "unhealthy" };
        fields.serialize_field("status", status)?;
        fields.serialize_field("message", &self.message)?;
        if let Some((took, ended)) = self.ran {
            let age = clock::now().saturating_duration_since(ended);
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            fields.serialize_field("duration_ms", &took)?;
            fields.serialize_field("age_seconds", &age.as_secs())?;
        }
        fields.end()
    }
}
