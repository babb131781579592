//! All that the control plane holds, and how it carries out what was decided.

mod ending;
mod telling;

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::acme::Acme;
use super::action::{Action, Cause};
use super::askers::Answer;
use super::control_socket::{ControlSocket, Desk};
use super::event::{DrainTimes, Event, Events};
use super::listening::Listening;
use super::logging::Logging;
use super::prober::Prober;
use super::process::Background;
use super::reload::{Loader, Prepared, Refusal};
use super::upgrade::{Predecessor, Program, Successor};
use super::watcher::Watcher;
use super::workers::Workers;
use super::{Ended, OnReady, systemd};
use crate::build::problem::Severity;
use crate::config::{Loaded, Report};
use crate::generation::Generation;
use crate::telemetry::{Count, Metrics};

/// The control plane's hands.
#[derive(Debug)]
pub(super) struct Plane {
    loader: Loader,
    reloads: Reloads,
    logging: Logging,
    listening: Listening,
    watcher: Watcher,
    workers: Workers,
    prober: Prober,
    acme: Acme,
    /// What the process started with: some of it cannot change.
    first: Arc<Generation>,
    /// What every worker serves.
    current: Loaded,
    /// What was prepared and not published yet.
    prepared: Option<Prepared>,
    /// What is being published.
    next: Option<Loaded>,
    cut: u64,
    ready: Option<Ready>,
    background: Option<Background>,
    events: Events,
    program: Program,
    successor: Option<Successor>,
    predecessor: Option<Predecessor>,
    desk: Arc<Desk>,
    control_socket: Option<ControlSocket>,
}

/// What the process started with, and who it replaces.
#[derive(Debug)]
pub(super) struct Origin {
    /// How it was started.
    pub(super) program: Program,
    /// The process that it replaces.
    pub(super) predecessor: Option<Predecessor>,
}

/// What the control plane works with from its start to its end.
#[derive(Debug)]
pub(super) struct Hands {
    pub(super) loader: Loader,
    pub(super) logging: Logging,
    pub(super) listening: Listening,
    pub(super) watcher: Watcher,
    pub(super) workers: Workers,
    pub(super) acme: Acme,
    pub(super) events: Events,
}

/// How reloads went.
#[derive(Debug)]
struct Reloads {
    published: Count,
    refused: Count,
}

/// What is done when the first generation is served.
struct Ready {
    started: Instant,
    tell: Option<OnReady>,
}

/// What came of an action.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// It is done, and this happened.
    Answer(Event),
    /// The process ends.
    Ended(Ended),
}

impl Plane {
    pub(super) fn new(hands: Hands, current: Loaded, origin: Origin) -> Self {
        log_warnings(&current.warnings);
        let Hands {
            loader,
            logging,
            listening,
            watcher,
            workers,
            acme,
            events,
        } = hands;
        loader.metrics().set_workers(workers.counters());
        let reloads = Reloads::new(loader.metrics());
        Self {
            loader,
            reloads,
            logging,
            listening,
            watcher,
            workers,
            prober: Prober::default(),
            acme,
            first: Arc::clone(&current.generation),
            current,
            prepared: None,
            next: None,
            cut: 0,
            ready: None,
            background: None,
            events,
            program: origin.program,
            successor: None,
            predecessor: origin.predecessor,
            desk: Arc::default(),
            control_socket: None,
        }
    }

    /// What to do once everything serves.
    pub(super) fn on_ready(
        &mut self,
        started: Instant,
        background: Option<Background>,
        tell: Option<OnReady>,
    ) {
        self.background = background;
        self.ready = Some(Ready { started, tell });
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.count()
    }

    /// How a drain goes now.
    pub(super) fn drain_times(&self) -> DrainTimes {
        let newest = self.next.as_ref().unwrap_or(&self.current);
        newest.generation.drain_times()
    }

    /// The workers, to look whether they are alive.
    pub(super) const fn all_workers(&self) -> &Workers {
        &self.workers
    }

    /// The watcher's event was taken: the next touch is a new one.
    pub(super) fn files_touched(&self) {
        self.watcher.taken();
    }

    /// Carries out what was decided.
    pub(super) fn carry_out(&mut self, action: Action) -> Outcome {
        match action {
            Action::Prepare(cause) => return Outcome::Answer(self.prepare(cause)),
            Action::Publish { .. } => self.publish(),
            Action::Discard => self.prepared = None,
            Action::Announce { generation } => self.announce(generation),
            Action::Complain { generation, silent } => {
                error!(generation, workers = ?silent, "workers do not take the configuration");
            }
            Action::ReopenLogs => {
                self.logging.files().reopen();
                info!("opened the log files anew");
            }
            Action::Mourn { worker } => error!(worker, "a worker ended by itself"),
            Action::Upgrade => return self.upgrade(),
            Action::AbandonUpgrade => self.abandon_upgrade(),
            Action::Leave { signal, delay } => self.leave(signal, delay),
            Action::Drain(why) => self.drain(why),
            Action::Drained { worker, cut } => {
                debug!(worker, cut, "a worker has drained");
                self.cut = self.cut.saturating_add(cut);
            }
            Action::End { because, failed } => {
                return Outcome::Ended(self.end(&because, failed));
            }
        }
        Outcome::Done
    }

    fn prepare(&mut self, cause: Cause) -> Event {
        if cause == Cause::Files && !self.watcher.has_changed() {
            return Event::NotPrepared;
        }
        systemd::reloading();
        self.desk.reload.begin();
        let before = self.watcher.look();
        let current = self.current.generation.id;
        let loaded = match self.loader.load(current + 1) {
            Ok(loaded) => loaded,
            Err(report) => {
                // Whether to watch at all, the refused file cannot say.
                let watch = self.current.model.server.watch;
                self.watcher.follow(watch, &report, &before);
                return self.refuse(&Refusal::Configuration(report));
            }
        };
        let watch = loaded.model.server.watch;
        self.watcher.follow(watch, &loaded.warnings, &before);
        log_warnings(&loaded.warnings);
        let unchanged = loaded.model == self.current.model
            && loaded.generation.files == self.current.generation.files;
        if cause == Cause::Files && unchanged {
            let same = format!("the files changed, but mean the same: kept generation {current}");
            info!("{same}");
            systemd::ready(&self.status(""));
            self.desk.reload.answer(&Answer::done(same));
            return Event::NotPrepared;
        }
        match self.loader.prepare(loaded, &self.listening, &self.logging) {
            Ok(prepared) => {
                let generation = &prepared.loaded.generation;
                let event = Event::Prepared {
                    generation: generation.id,
                    drain: generation.drain_times(),
                };
                self.prepared = Some(prepared);
                event
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Says why everything stays as it was.
    fn refuse(&self, refusal: &Refusal) -> Event {
        let current = self.current.generation.id;
        let reason = match refusal {
            Refusal::Configuration(report) => {
                report.lines().for_each(|line| error!("{line}"));
                report.outline()
            }
            Refusal::System(errors) => {
                for line in errors {
                    error!("{line}");
                }
                errors.join("; ")
            }
        };
        self.reloads.refused.add(0, 1);
        let refused =
            format!("the configuration was refused ({reason}): kept generation {current}");
        error!("{refused}");
        systemd::ready(&self.status(&format!("; reload refused: {reason}")));
        self.desk.update(|state| state.refused = Some(reason));
        self.desk.reload.answer(&Answer {
            drawn: refusal.drawn(),
            ..Answer::failed(refusal.exit_code(), refused)
        });
        Event::NotPrepared
    }

    fn publish(&mut self) {
        let Some(prepared) = self.prepared.take() else {
            return;
        };
        let generation = &prepared.loaded.generation;
        self.acme.load(generation, self.loader.metrics());
        let sockets = self.listening.publish(prepared.added, generation);
        self.workers.publish(generation, sockets);
        self.logging.apply(prepared.log, prepared.log_file);
        self.next = Some(prepared.loaded);
    }
}

impl Reloads {
    fn new(metrics: &Metrics) -> Self {
        let count = |result: &str| {
            metrics.count(
                "httpserverd_reloads_total",
                "Reloads of the configuration, by how they ended.",
                vec![("result", result.into())],
            )
        };
        Self {
            published: count("published"),
            refused: count("refused"),
        }
    }
}

fn log_warnings(warnings: &Report) {
    if warnings.count(Severity::Warning) > 0 {
        warnings.lines().for_each(|line| warn!("{line}"));
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({:?})", self.started)
    }
}
