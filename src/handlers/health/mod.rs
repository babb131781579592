//! Health: what an orchestrator and an operator ask the daemon about itself.
//!
//! A request only reads what probes found: nothing is checked on its path.

mod checks;
mod settings;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};

use self::checks::{Check, Finding};
use crate::clock;
use crate::exchange::{Exchange, Response, Why};
use crate::http::{Method, StatusCode, name};

pub(super) use settings::KIND;

/// Answers for the health of the daemon.
#[derive(Debug)]
pub struct Health {
    kind: HealthKind,
    checks: Box<[(Box<str>, Check)]>,
    /// Whether the full answer lists the checks.
    details: bool,
    /// What the full answer tells of the machine, if it does.
    system: Option<System>,
}

/// Which question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum HealthKind {
    /// Is the process alive? Always, if it answers at all.
    Liveness,
    /// Should it be sent requests? Not while it drains or a check fails.
    Readiness,
    /// How is everything?
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct System {
    hostname: String,
    platform: String,
    version: &'static str,
}

#[derive(serde::Serialize)]
struct NotReady<'a> {
    status: &'static str,
    reason: &'a str,
}

#[derive(serde::Serialize)]
struct Full<'a> {
    status: &'static str,
    uptime_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Findings<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a System>,
}

/// A map of names, sorted.
struct Findings<'a>(&'a [(&'a str, Finding)]);

impl Health {
    /// Answers GET and HEAD.
    pub(super) fn handle(&self, x: &Exchange<'_>) -> Response {
        if !matches!(x.request.method, Method::Get | Method::Head) {
            return Response::error(StatusCode::METHOD_NOT_ALLOWED, Why::MethodNotAllowed)
                .with(&name::ALLOW, "GET, HEAD");
        }
        let response = match self.kind {
            HealthKind::Liveness => alive(),
            HealthKind::Readiness => self.readiness(x.draining),
            HealthKind::Full => self.full(),
        };
        response.with(&name::CACHE_CONTROL, "no-store")
    }

    fn readiness(&self, draining: bool) -> Response {
        let reason = if draining {
            Some("draining".to_owned())
        } else {
            self.checks.iter().find_map(|(name, check)| {
                let finding = check.finding();
                let message = &finding.message;
                (!finding.healthy).then(|| format!("Check '{name}' failed: {message}"))
            })
        };
        match reason {
            None => Response::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ready"}"#)),
            Some(reason) => json(
                StatusCode::SERVICE_UNAVAILABLE,
                &NotReady {
                    status: "not ready",
                    reason: &reason,
                },
            ),
        }
    }

    fn full(&self) -> Response {
        let findings: Vec<(&str, Finding)> = self
            .checks
            .iter()
            .map(|(name, check)| (&**name, check.finding()))
            .collect();
        let healthy = findings.iter().all(|(_, finding)| finding.healthy);
        let (status, word) = if healthy {
            (StatusCode::OK, "healthy")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
        };
        json(
            status,
            &Full {
                status: word,
                uptime_seconds: clock::uptime().as_secs(),
                checks: self.details.then_some(Findings(&findings)),
                system: self.system.as_ref(),
            },
        )
    }
}

impl System {
    fn read() -> Self {
        let name = rustix::system::uname();
        Self {
            hostname: name.nodename().to_string_lossy().into_owned(),
            platform: format!(
                "{} {} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy(),
                name.machine().to_string_lossy()
            ),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Serialize for Findings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, finding) in self.0 {
            map.serialize_entry(name, finding)?;
        }
        map.end()
    }
}

fn alive() -> Response {
    Response::json(StatusCode::OK, Bytes::from_static(br#"{"status":"alive"}"#))
}

fn json(status: StatusCode, content: &impl Serialize) -> Response {
    // Structs of strings and numbers with string keys: there is nothing that could fail.
    let text = serde_json::to_vec(content).unwrap_or_default();
    Response::json(status, text)
}

#[cfg(test)]
mod tests;
