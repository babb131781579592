//! What was written → what is meant. Every default stands here, with where its number comes
//! from. Nothing stops at the first problem.

mod acme;
mod chains;
mod instances;
mod layers;
mod limits;
mod listeners;
mod matchers;
mod own_tests;
mod routes;
pub(super) mod tls;

use std::num::NonZeroU16;
use std::time::Duration;

use super::file::{File, Table};
use super::model::{Level, Log, LogFormat, LogOutput, Model, Server, Workers};
use super::provenance::Provenance;
use super::sources::Sources;
use super::written;
use crate::build::problem::Severity;
use crate::build::wording::one_of;
use crate::build::{HumanDuration, ParseContext, Problem, Rotation, Span, Turn};
use layers::Layers;

/// One a core that the process may use: a worker never waits, so more would only take turns.
const WORKERS: Workers = Workers::Auto;

/// Cold reads of a disk wait for the disk; sixteen keep the queue of one SSD full.
const BLOCKING_THREADS: NonZeroU16 = NonZeroU16::new(16).expect("not zero");

/// At a millisecond a job and sixteen threads the last in line waits 64 ms, which a client
/// still bears.
const BLOCKING_QUEUE: NonZeroU16 = NonZeroU16::new(1024).expect("not zero");

/// Whoever polls readiness more slowly than connections break must say how slowly.
const DRAIN_DELAY: HumanDuration = HumanDuration::seconds(0);

/// Less than the 90 s after which systemd kills.
const DRAIN_TIMEOUT: HumanDuration = HumanDuration::seconds(30);

/// Systemd's `TimeoutStopSec`: what drains longer is killed.
const SYSTEMD_PATIENCE: Duration = Duration::from_secs(90);

/// Every request can be told from every other, and is logged.
const MIDDLEWARE: [&str; 2] = ["request_id", "access_log"];

/// The name without a version: whoever asks learns what it is and not what it suffers from.
const SERVER_HEADER: &str = "httpserverd";

/// What an operator wants to know on an ordinary day.
const LOG_LEVEL: Level = Level::Info;

/// People read the log first.
const LOG_FORMAT: LogFormat = LogFormat::Text;

/// Systemd keeps, dates and rotates what comes here.
const LOG_OUTPUT: LogOutput = LogOutput::Stderr;

/// Whoever names a file has his own way to rotate it, or says so.
const LOG_ROTATION: Rotation = Rotation {
    turn: Turn::Never,
    keep: None,
};

/// What a configuration means, as far as it could be made out.
pub(super) struct Resolved {
    /// All of it that has no mistakes.
    pub(super) model: Model,
    /// Whether that is everything. What is not is built all the same, to report what else is
    /// wrong, and then thrown away.
    pub(super) complete: bool,
    /// Where each value was set.
    pub(super) provenance: Provenance,
}

/// Understands a file. What is wrong with it goes to the context.
pub(super) fn resolve(file: &File<'_>, sources: &Sources, cx: &mut ParseContext<'_>) -> Resolved {
    let mut resolver = Resolver {
        sources,
        cx,
        provenance: Provenance::default(),
    };
    let upstreams = resolver.upstreams(file);
    let mut links = resolver.middleware(file);
    let server = resolver.server(file, &mut links);
    let log = resolver.log(file);
    let listeners = resolver.listeners(file);
    let routes = resolver.routes(file, &listeners, &server.middleware, &mut links);
    let own_tests = resolver.own_tests(file, &listeners, &routes);
    if routes.len() == file.routes.len() {
        resolver.unused(file, &links);
        let outer_at = resolver.provenance.place("server.middleware");
        let outer_at = outer_at.cloned().unwrap_or_default();
        resolver.chains((&server.middleware, &outer_at), &routes, &links);
    }
    resolver.nothing_to_do(file);
    let complete = {
        let mut problems = resolver.cx.problems.iter();
        problems.all(|problem| problem.severity == Severity::Warning)
    };
    Resolved {
        model: Model {
            server,
            log,
            listeners: listeners.good,
            upstreams,
            middleware: links.instances,
            routes,
            own_tests,
        },
        complete,
        provenance: resolver.provenance,
    }
}

struct Resolver<'r, 'c> {
    sources: &'r Sources,
    cx: &'r mut ParseContext<'c>,
    provenance: Provenance,
}

impl Resolver<'_, '_> {
    fn report(&mut self, problem: Problem) {
        self.cx.problems.push(problem);
    }

    /// Whether a problem reported since then is about this key.
    fn spoke_of(&self, key: &str, since: usize) -> bool {
        let quoted = format!("`{key}`");
        let mut problems = self.cx.problems.iter().skip(since);
        problems.any(|problem| {
            let hint = problem.hint.as_deref().unwrap_or_default();
            problem.message.starts_with(&quoted) || hint.contains(&quoted)
        })
    }

    /// A configuration that listens nowhere or answers nothing is not what anyone meant.
    fn nothing_to_do(&mut self, file: &File<'_>) {
        let listener = "[[listener]]\nbind = \"127.0.0.1:8080\"";
        let route = "[[route]]\npath = \"/*\"\nstatic = { root = \"/srv/www\" }";
        let problem = match (file.names_listeners, file.names_routes) {
            (true, true) => return,
            (false, false) => Problem::nowhere("E0305", "nothing is configured")
                .hint(format!("this serves a folder:\n{listener}\n{route}")),
            (false, true) => {
                Problem::nowhere("E0304", "there is no listener").hint(format!("add\n{listener}"))
            }
            (true, false) => {
                Problem::nowhere("E0407", "there is no route").hint(format!("add\n{route}"))
            }
        };
        self.report(problem);
    }

    fn server(&mut self, file: &File<'_>, links: &mut instances::Links) -> Server {
        let limits = self.limits(file);
        let written: Layers<written::Server> = self.layers(file, Table::Server);
        let workers = self.pick(&written, "workers", |w| &w.workers);
        let threads = self.pick(&written, "blocking_threads", |w| &w.blocking_threads);
        let queue = self.pick(&written, "blocking_queue", |w| &w.blocking_queue);
        let drain = self.pick(&written, "drain_timeout", |w| &w.drain_timeout);
        let delay = self.pick(&written, "drain_delay", |w| &w.drain_delay);
        let watch = self.pick(&written, "watch", |w| &w.watch);
        let control = self.pick(&written, "control_socket", |w| &w.control_socket);
        let trusted = self.pick(&written, "trusted_proxies", |w| &w.trusted_proxies);
        let header = self.pick(&written, "server_header", |w| &w.server_header);
        let names = self.pick(&written, "middleware", |w| &w.middleware);
        let middleware = match names {
            Some((names, span)) => self.links(&names, span.file, &[], links),
            None => self.default_links(&MIDDLEWARE, links),
        };
        self.systemd_waits(drain.as_ref(), delay.as_ref());
        Server {
            workers: or(workers, WORKERS),
            blocking_threads: or(threads, BLOCKING_THREADS),
            blocking_queue: or(queue, BLOCKING_QUEUE),
            drain_timeout: or(drain, DRAIN_TIMEOUT).0,
            drain_delay: or(delay, DRAIN_DELAY).0,
            watch: or(watch, true),
            control_socket: control.map(|(path, _)| path.into()),
            trusted_proxies: or(trusted, Vec::new()).iter().map(|net| net.0).collect(),
            middleware,
            server_header: match header {
                Some((header, _)) => header.0,
                None => Some(SERVER_HEADER.to_owned()),
            },
            limits,
        }
    }

    /// The drain, with what comes before it, ends before systemd kills.
    fn systemd_waits(
        &mut self,
        drain: Option<&(HumanDuration, Span)>,
        delay: Option<&(HumanDuration, Span)>,
    ) {
        let of = |written: Option<&(HumanDuration, Span)>| written.map(|(time, _)| time.0);
        let both = of(drain).unwrap_or(DRAIN_TIMEOUT.0) + of(delay).unwrap_or(DRAIN_DELAY.0);
        let Some((_, span)) = drain.or(delay).filter(|_| both >= SYSTEMD_PATIENCE) else {
            return;
        };
        let total = HumanDuration(both);
        let message = match delay {
            Some(_) => format!("`drain_delay` and `drain_timeout` are {total} together"),
            None => format!("`drain_timeout` is {total}"),
        };
        let problem = Problem::warning("W0502", span.clone(), message + ": systemd kills earlier");
        self.report(
            problem.hint("systemd kills after TimeoutStopSec, 90 s unless the unit says otherwise"),
        );
    }

    fn log(&mut self, file: &File<'_>) -> Log {
        let written: Layers<written::Log> = self.layers(file, Table::Log);
        let level = self.pick(&written, "level", |w| &w.level);
        let format = self.pick(&written, "format", |w| &w.format);
        let output = self.pick(&written, "output", |w| &w.output);
        let rotation = self.pick(&written, "rotation", |w| &w.rotation);
        // `INFO` is how half of the world writes it.
        let level = level.map(|(level, span)| (level.to_ascii_lowercase(), span));
        let level = self.one_of("level", level, Level::ALL, Level::as_str, LOG_LEVEL);
        let format = self.one_of(
            "format",
            format,
            LogFormat::ALL,
            LogFormat::as_str,
            LOG_FORMAT,
        );
        let rotation_at = rotation.as_ref().map(|(_, span)| span.clone());
        let rotation = or(rotation, LOG_ROTATION);
        let output = match output.as_ref().map(|(output, _)| output.as_str()) {
            None => LOG_OUTPUT,
            Some("stderr") => LogOutput::Stderr,
            Some("stdout") => LogOutput::Stdout,
            Some("") => {
                let at = output.map(|(_, span)| span).unwrap_or_default();
                let problem = Problem::error("E0002", at, "`output` is empty");
                self.report(problem.hint("it is \"stderr\", \"stdout\" or the path of a file"));
                LOG_OUTPUT
            }
            Some(path) => LogOutput::File {
                path: path.into(),
                rotation,
            },
        };
        let rotates = rotation.turn != Turn::Never;
        let is_file = matches!(output, LogOutput::File { .. });
        if let Some(at) = rotation_at.filter(|_| rotates && !is_file) {
            let problem = Problem::warning("W0502", at, "`rotation` without a file does nothing");
            self.report(problem.hint("`output` names the file"));
        }
        Log {
            level,
            format,
            output,
        }
    }

    fn one_of<T: Copy, const N: usize>(
        &mut self,
        key: &str,
        written: Option<(String, Span)>,
        all: [T; N],
        name: fn(T) -> &'static str,
        default: T,
    ) -> T {
        let Some((text, span)) = written else {
            return default;
        };
        let known = all.into_iter().find(|value| name(*value) == text);
        known.unwrap_or_else(|| {
            let names = all.map(name);
            self.report(one_of(span, &format!("`{key}`"), &text, &names));
            default
        })
    }
}

/// A value, without its place, or its default.
fn or<T>(value: Option<(T, Span)>, default: T) -> T {
    value.map_or(default, |(value, _)| value)
}
