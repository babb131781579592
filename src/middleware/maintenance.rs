//! `maintenance`: a switch that answers 503 to everyone but those who work on it. A file turns it
//! on, `httpserverd maintenance on`, or the configuration; it is off when none of them does.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use tracing::info;

use super::paths::Paths;
use super::refusal;
use crate::build::{
    BuildContext, HumanDuration, Kind, Network, ParseContext, Probe, Problem, Section, Settings,
    Span, Toggle, keys,
};
use crate::exchange::client::is_within;
use crate::exchange::{Exchange, Flow, Middleware, Response, Why};
use crate::http::accept::prefers_html;
use crate::http::{StatusCode, name};
use crate::telemetry::Count;

/// A switch for maintenance.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "maintenance",
    summary: "Answers 503 while a file is there, or a command turned it on: for maintenance",
    example: r#"
file = "maintenance.on"            # while it is there, however empty
# on = true                        # or by the configuration
retry_after = "10m"
status = 503
allow = ["10.0.0.0/8"]             # who comes through all the same
allow_paths = ["/health/*"]
# page = "maintenance.html"        # for those who would rather have HTML
"#,
    keys: keys! {
        "file": "path" = r#""maintenance""#,
            "the switch: on while this is there; looked at once a second";
        "on": "true or false" = "false", "on, whether the file is there or not";
        "retry_after": "duration" = r#""5m""#, "when to come again";
        "status": "status" = "503", "what is told: 400 to 599";
        "allow": "list of networks" = "[]", "who comes through all the same";
        "allow_paths": "list of paths" = "[]", "what is answered all the same";
        "page": "path" = "(none)",
            "an HTML file for those who would rather have that; others get JSON";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "default_file")]
    file: PathBuf,
    #[serde(default)]
    on: bool,
    #[serde(default = "default_retry_after")]
    retry_after: HumanDuration,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default)]
    allow: Vec<Network>,
    #[serde(default)]
    allow_paths: Vec<Spanned<String>>,
    #[serde(default)]
    page: Option<Spanned<PathBuf>>,
}

fn default_file() -> PathBuf {
    PathBuf::from("maintenance")
}

/// Long enough that nobody hammers, short enough that nobody forgets.
const fn default_retry_after() -> HumanDuration {
    HumanDuration::seconds(300)
}

/// A page of that size is a site of its own.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// As long as an operator waits after `touch` before wondering.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct MaintenanceSettings {
    file: PathBuf,
    on: bool,
    retry_after: u64,
    status: StatusCode,
    allow: Vec<Network>,
    allow_paths: Paths,
    page: Option<(PathBuf, Span)>,
}

/// A switch for maintenance.
#[derive(Debug)]
struct Maintenance {
    switch: Arc<Switch>,
    /// In seconds.
    retry_after: Box<str>,
    status: StatusCode,
    allow: Box<[IpNet]>,
    allow_paths: Paths,
    page: Option<Bytes>,
    refused: Count,
}

/// What turns it on while the daemon runs.
#[derive(Debug)]
struct Switch {
    name: Arc<str>,
    file: PathBuf,
    /// Whether the configuration has it on.
    always: bool,
    /// Whether the file is there, as it was last seen; never looked at by a request.
    there: AtomicBool,
    turned: Arc<Turned>,
}

/// Whether a command turned it on. Kept across reloads.
#[derive(Debug, Default)]
struct Turned(AtomicBool);

impl Middleware for Maintenance {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if !self.switch.is_on() || self.comes_through(x.client_ip, x.request.target.path()) {
            return Flow::Continue;
        }
        self.refused.add(x.locals.worker, 1);
        let mut response = match &self.page {
            Some(page) if prefers_html(&x.request.headers) => Response {
                why: Some(Why::Refused),
                ..Response::typed(self.status, "text/html; charset=utf-8", page.clone())
            },
            _ => Response::error(self.status, Why::Refused),
        };
        let headers = &mut response.headers;
        headers.set(&name::RETRY_AFTER, self.retry_after.as_bytes());
        // Nobody shall keep it for when all is well again.
        headers.set(&name::CACHE_CONTROL, "no-store");
        if self.page.is_some() {
            headers.add_member(&name::VARY, "Accept");
        }
        Flow::Respond(response)
    }
}

impl Maintenance {
    fn comes_through(&self, client: IpAddr, path: &[u8]) -> bool {
        is_within(client, &self.allow) || self.allow_paths.contain(path)
    }
}

impl Probe for Switch {
    fn name(&self) -> String {
        format!("maintenance {}", self.name)
    }

    fn interval(&self) -> Duration {
        LOOK_INTERVAL
    }

    fn run(&self) {
        let on = is_there(&self.file);
        if self.there.swap(on, Ordering::Relaxed) != on {
            self.tell();
        }
    }
}

impl Toggle for Switch {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn turn(&self, on: bool) -> Result<(), String> {
        if self.turned.0.swap(on, Ordering::Relaxed) != on {
            self.tell();
        }
        if on || !self.is_on() {
            return Ok(());
        }
        Err(if self.always {
            "the configuration says `on = true`".to_owned()
        } else {
            format!("{} is there", self.file.display())
        })
    }

    fn is_on(&self) -> bool {
        self.always || self.there.load(Ordering::Relaxed) || self.turned.0.load(Ordering::Relaxed)
    }
}

impl Switch {
    fn tell(&self) {
        let switch = if self.is_on() { "on" } else { "off" };
        info!(middleware = &*self.name, "maintenance is {switch}");
    }
}

/// Also a link that leads nowhere is there: who made it meant it.
fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let default = StatusCode::SERVICE_UNAVAILABLE;
    let status = refusal::status(written.status.as_ref(), default, section, cx);
    let allow_paths = Paths::read(&written.allow_paths, section, cx);
    let page = written.page.map(|page| {
        let span = section.at(page.span());
        (page.into_inner(), span)
    });
    (cx.problems.len() == before).then(|| {
        Box::new(MaintenanceSettings {
            file: written.file,
            on: written.on,
            retry_after: written.retry_after.0.as_secs(),
            status,
            allow: written.allow,
            allow_paths,
            page,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for MaintenanceSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let page = match &self.page {
            Some((path, span)) => Some(Bytes::from(cx.read(path, PAGE_BYTES_MAX, span)?)),
            None => None,
        };
        let file = cx.path(&self.file);
        let name = Arc::clone(&cx.name);
        let switch = Arc::new(Switch {
            name: Arc::clone(&cx.name),
            always: self.on,
            there: AtomicBool::new(is_there(&file)),
            file,
            turned: cx.carry_over.keep(&name, Turned::default),
        });
        cx.probes
            .push(Arc::<Switch>::clone(&switch) as Arc<dyn Probe>);
        cx.toggles
            .push(Arc::<Switch>::clone(&switch) as Arc<dyn Toggle>);
        Ok(Box::new(Maintenance {
            switch,
            retry_after: self.retry_after.to_string().into(),
            status: self.status,
            allow: self.allow.iter().map(|network| network.0).collect(),
            allow_paths: self.allow_paths.clone(),
            page,
            refused: cx.carry_over.metrics.count(
                "httpserverd_maintenance_refused_total",
                "Requests that were refused because of maintenance.",
                vec![("name", (&*cx.name).into())],
            ),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::CarryOver;
    use crate::exchange::Body;
    use crate::exchange::testing::TestRequest;
    use crate::middleware::tests::{build_in, problems};

    fn answer(maintenance: &dyn Middleware, request: &mut TestRequest) -> Option<Response> {
        match maintenance.on_request(&mut request.exchange()) {
            Flow::Respond(response) => Some(response),
            Flow::Continue => None,
            Flow::Wait(_) => panic!("it waits for nobody"),
        }
    }

    #[test]
    fn on_while_the_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let switch = folder.path().join("off");
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, folder.path().to_path_buf());
        let maintenance = build_in(&KIND, "file = 'off'\nretry_after = '90s'", &mut cx);
        let probe = Arc::clone(&cx.probes[0]);
        let mut request = TestRequest::get("/");
        assert!(answer(&*maintenance, &mut request).is_none());
        std::fs::write(&switch, "").unwrap();
        assert!(answer(&*maintenance, &mut request).is_none());
        probe.run();
        let response = answer(&*maintenance, &mut request).unwrap();
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.why, Some(Why::Refused));
        assert_eq!(response.headers.get_str(&name::RETRY_AFTER), Some("90"));
        assert_eq!(
            response.headers.get_str(&name::CACHE_CONTROL),
            Some("no-store")
        );
        std::fs::remove_file(&switch).unwrap();
        probe.run();
        assert!(answer(&*maintenance, &mut request).is_none());
        let again = build_in(&KIND, "file = '.'", &mut cx);
        assert!(
            answer(&*again, &mut request).is_some(),
            "it is known from the start"
        );
    }

    #[test]
    fn a_command_turns_it_on_until_it_is_turned_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, folder.path().to_path_buf());
        let maintenance = build_in(&KIND, "file = 'off'", &mut cx);
        let toggle = cx.toggles.remove(0);
        let mut request = TestRequest::get("/");
        assert_eq!((toggle.turn(true), toggle.is_on()), (Ok(()), true));
        assert!(answer(&*maintenance, &mut request).is_some());
        let reloaded = build_in(&KIND, "file = 'off'", &mut cx);
        assert!(answer(&*reloaded, &mut request).is_some());
        assert_eq!(toggle.turn(false), Ok(()));
        assert!(answer(&*reloaded, &mut request).is_none());
        for (settings, why) in [
            ("on = true", "the configuration says `on = true`"),
            ("file = '.'", "is there"),
        ] {
            cx.toggles.clear();
            build_in(&KIND, settings, &mut cx);
            let stays = cx.toggles.remove(0).turn(false).unwrap_err();
            assert!(stays.contains(why), "{stays}");
        }
    }

    #[test]
    fn some_come_through() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.html"), "<h1>soon</h1>").unwrap();
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, folder.path().to_path_buf());
        let settings = "on = true\nallow = ['10.0.0.0/8']\nallow_paths = ['/health']\n\
                        page = 'p.html'\nstatus = 500";
        let maintenance = build_in(&KIND, settings, &mut cx);
        let mut request = TestRequest::get("/health");
        assert!(answer(&*maintenance, &mut request).is_none());
        let mut request = TestRequest::get("/").header("Accept", "text/html");
        let response = answer(&*maintenance, &mut request).unwrap();
        assert_eq!(response.status.code(), 500);
        assert_eq!(response.headers.get_str(&name::VARY), Some("Accept"));
        assert!(matches!(response.body, Body::Bytes(page) if page == "<h1>soon</h1>"));
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        x.client_ip = "10.1.1.1".parse().unwrap();
        assert!(matches!(maintenance.on_request(&mut x), Flow::Continue));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("status = 200", "200 is not the status of a refusal");
        check("allow = ['home']", "`home` is neither an address");
        check("allow_paths = ['health']", "`health` is not a path");
        check("retry_after = 'soon'", "`soon`");
    }
}
