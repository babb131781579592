//! What a `health` table may say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::checks::{Check, CheckProbe, Found, Room, Subject};
use super::{Health, HealthKind, System};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, Span, keys,
};
use crate::handlers::Handler;
use crate::handlers::address::Address;
use crate::handlers::proxy::Upstream;

/// Health of the daemon and of what it needs.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "health",
    summary: "Answers health probes: liveness, readiness, or everything",
    example: r#"
kind = "full"             # or "liveness", "readiness" (503 while draining or a check fails)
details = true            # full: list the checks
system = false            # full: tell host name, platform and version

[checks]                  # of readiness and full; run in the background, never by a request
database = { tcp = "127.0.0.1:5432", interval = "10s", timeout = "2s" }
search = { http = "http://127.0.0.1:9200/_cluster/health" }
uploads = { file = "/tmp", writable = true }
space = { disk = "/", min_free = "5%" }                     # or "1GiB"
# app = { upstream = "backend" }                            # has a healthy server
"#,
    keys: keys! {
        "kind": "word",
            "`liveness`, `readiness` (503 while draining or while a check fails) or `full`";
        "details": "true or false" = "true", "whether `full` lists the checks";
        "system": "true or false" = "false",
            "whether `full` tells host name, platform and version";
        "checks": "table of checks" = "{}",
            "what `readiness` and `full` depend on, by name; run in the background";
        "checks.NAME.tcp": "address" = "(none)", "healthy if this can be connected to";
        "checks.NAME.http": "URL" = "(none)", "healthy if a GET is answered with 2xx";
        "checks.NAME.file": "path" = "(none)", "healthy if this is there";
        "checks.NAME.writable": "true or false" = "false", "whether the file must be writable";
        "checks.NAME.disk": "path" = "(none)", "healthy if its file system has space";
        "checks.NAME.min_free": "size or percentage" = r#""5%""#, "how much space";
        "checks.NAME.upstream": "name" = "(none)", "healthy if it has a healthy server";
        "checks.NAME.interval": "duration" = r#""10s""#, "from one run to the next";
        "checks.NAME.timeout": "duration" = r#""2s""#, "what takes longer has failed";
    },
    parse,
};

/// How many checks a route may have. Each is asked for at every request.
const CHECKS_MAX: usize = 64;

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Spanned<HealthKind>,
    #[serde(default = "yes")]
    details: bool,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    checks: BTreeMap<Spanned<String>, WrittenCheck>,
}

const fn yes() -> bool {
    true
}

/// One of `tcp`, `http`, `file`, `disk`, `upstream`, and what goes with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCheck {
    #[serde(default)]
    tcp: Option<Address>,
    #[serde(default)]
    http: Option<Spanned<String>>,
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    writable: Option<Spanned<bool>>,
    #[serde(default)]
    disk: Option<PathBuf>,
    #[serde(default)]
    min_free: Option<Spanned<String>>,
    #[serde(default)]
    upstream: Option<Spanned<String>>,
    #[serde(default)]
    interval: Option<Spanned<HumanDuration>>,
    #[serde(default)]
    timeout: Option<Spanned<HumanDuration>>,
}

/// What to look at, before relative paths have a start.
#[derive(Debug, Clone)]
enum Wanted {
    Probed(Subject),
    Upstream(Arc<str>, Span),
}

#[derive(Debug)]
struct CheckSettings {
    name: Box<str>,
    wanted: Wanted,
    interval: Duration,
    timeout: Duration,
}

/// Read and right.
#[derive(Debug)]
struct HealthSettings {
    kind: HealthKind,
    details: bool,
    system: bool,
    checks: Vec<CheckSettings>,
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let mut reading = Reading { section, cx };
    let kind = *written.kind.get_ref();
    if let Some((name, _)) = written.checks.iter().next()
        && kind == HealthKind::Liveness
    {
        reading.refuse(
            name,
            "liveness has no checks",
            "a failing check would have the daemon restarted: use kind = \"readiness\"",
        );
    }
    if let Some((name, _)) = written.checks.iter().nth(CHECKS_MAX) {
        let message = format!("more than {CHECKS_MAX} checks");
        reading.refuse(name, message, "divide them among several routes");
    }
    let checks = written.checks.iter();
    let checks = checks.filter_map(|(name, check)| reading.check(name, check));
    let settings = HealthSettings {
        kind,
        details: written.details,
        system: written.system,
        checks: checks.collect(),
    };
    (cx.problems.len() == before).then(|| Box::new(settings) as Box<dyn Settings<Handler>>)
}

struct Reading<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Reading<'_, '_, '_> {
    fn refuse<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: &str) {
        let problem = Problem::error("E0002", self.section.at(at.span()), message).hint(hint);
        self.cx.problems.push(problem);
    }

    fn check(&mut self, name: &Spanned<String>, written: &WrittenCheck) -> Option<CheckSettings> {
        let upstream = written.upstream.is_some();
        // Ten seconds are fresh enough to act on and too seldom to be felt.
        let interval = self.duration(written.interval.as_ref(), 10, upstream);
        let timeout = self.duration(written.timeout.as_ref(), 2, upstream);
        Some(CheckSettings {
            name: name.get_ref().as_str().into(),
            wanted: self.wanted(name, written)?,
            interval,
            timeout,
        })
    }

    fn duration(
        &mut self,
        written: Option<&Spanned<HumanDuration>>,
        default: u64,
        upstream: bool,
    ) -> Duration {
        let Some(written) = written else {
            return Duration::from_secs(default);
        };
        if upstream {
            self.refuse(
                written,
                "an upstream is not asked here",
                "set `health_check` of the upstream",
            );
        }
        let duration = written.get_ref().0;
        if duration.is_zero() {
            self.refuse(written, "no time at all", "give it at least \"100ms\"");
        }
        duration
    }

    fn wanted(&mut self, name: &Spanned<String>, written: &WrittenCheck) -> Option<Wanted> {
        let WrittenCheck {
            tcp,
            http,
            file,
            disk,
            upstream,
            ..
        } = written;
        if let Some(writable) = &written.writable
            && file.is_none()
        {
            self.refuse(writable, "`writable` goes with `file`", "leave it out");
        }
        if let Some(room) = &written.min_free
            && disk.is_none()
        {
            self.refuse(room, "`min_free` goes with `disk`", "leave it out");
        }
        Some(match (tcp, http, file, disk, upstream) {
            (Some(server), None, None, None, None) => Wanted::Probed(Subject::Tcp(server.clone())),
            (None, Some(url), None, None, None) => Wanted::Probed(self.http(url)?),
            (None, None, Some(path), None, None) => Wanted::Probed(Subject::File {
                path: path.as_path().into(),
                writable: written.writable.as_ref().is_some_and(|w| *w.get_ref()),
            }),
            (None, None, None, Some(path), None) => Wanted::Probed(Subject::Disk {
                path: path.as_path().into(),
                free: self.room(name, written.min_free.as_ref())?,
            }),
            (None, None, None, None, Some(upstream)) => {
                let span = self.section.at(upstream.span());
                Wanted::Upstream(self.cx.upstream(self.section, upstream)?, span)
            }
            _ => {
                let message = format!("the check `{}` must look at one thing", name.get_ref());
                let hint = "give it one of `tcp`, `http`, `file`, `disk`, `upstream`";
                self.refuse(name, message, hint);
                return None;
            }
        })
    }

    fn http(&mut self, url: &Spanned<String>) -> Option<Subject> {
        const HINT: &str = "write it like \"http://127.0.0.1:9200/health\"";
        let text = url.get_ref();
        let Some(rest) = text.strip_prefix("http://") else {
            let message = if text.starts_with("https://") {
                "https:// is not supported yet".to_owned()
            } else {
                format!("{text:?} is not a URL that starts with \"http://\"")
            };
            self.refuse(url, message, HINT);
            return None;
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        match Address::parse(&format!("http://{authority}")) {
            Ok(server) if path.bytes().all(|byte| matches!(byte, b'!'..=b'~')) => {
                Some(Subject::Http {
                    server,
                    path: path.into(),
                })
            }
            _ => {
                self.refuse(url, format!("{text:?} is not a URL"), HINT);
                None
            }
        }
    }

    fn room(&mut self, name: &Spanned<String>, room: Option<&Spanned<String>>) -> Option<Room> {
        const HINT: &str = "write it like min_free = \"1GiB\" or min_free = \"5%\"";
        let Some(written) = room else {
            let message = format!("the check `{}` needs `min_free`", name.get_ref());
            self.refuse(name, message, HINT);
            return None;
        };
        let text = written.get_ref();
        let room = if text.trim_end().ends_with('%') {
            text.parse().map(Room::Share)
        } else {
            text.parse().map(Room::Bytes)
        };
        if room.is_err() {
            let message = format!("{text:?} is neither a size nor a share");
            self.refuse(written, message, HINT);
        }
        room.ok()
    }
}

impl Settings<Handler> for HealthSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let mut checks = Vec::with_capacity(self.checks.len());
        for check in &self.checks {
            checks.push((check.name.clone(), check.build(cx)?));
        }
        Ok(Handler::Health(Box::new(Health {
            kind: self.kind,
            checks: checks.into(),
            details: self.details,
            system: self.system.then(System::read),
        })))
    }
}

impl CheckSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Check, Box<Problem>> {
        let subject = match &self.wanted {
            Wanted::Upstream(name, at) => {
                let upstream = cx.provided::<Upstream>(name).ok_or_else(|| {
                    let message = format!("the upstream `{name}` could not be built");
                    Box::new(Problem::error("E0202", at.clone(), message))
                })?;
                return Ok(Check::Upstream(upstream));
            }
            Wanted::Probed(subject) => subject.from(cx),
        };
        // With the subject, so that what was found of another one is not taken for this one's.
        let key = format!("{}/{}/{subject:?}", cx.name, self.name);
        let found = cx.carry_over.keep(&key, Found::default);
        cx.probes.push(Arc::new(CheckProbe {
            name: self.name.clone(),
            subject,
            interval: self.interval,
            timeout: self.timeout,
            found: Arc::clone(&found),
        }));
        Ok(Check::Probed(found))
    }
}

impl Subject {
    /// With its path from the folder of the configuration file.
    fn from(&self, cx: &BuildContext<'_>) -> Self {
        let mut subject = self.clone();
        match &mut subject {
            Self::Tcp(_) | Self::Http { .. } => {}
            Self::File { path, .. } | Self::Disk { path, .. } => *path = cx.path(path).into(),
        }
        subject
    }
}
