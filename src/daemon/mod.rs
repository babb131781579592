//! The control plane: one thread that starts everything, replaces it and ends it.
//!
//! [`run`] starts things in the order in which they must start; then comes the control loop: it
//! waits for an [`event::Event`], lets [`control::Control`] decide, and carries that out.

mod action;
pub mod control;
pub mod event;
mod listening;
mod log_file;
mod logging;
mod plane;
mod prober;
mod process;
mod reload;
mod signals;
mod sinks;
mod systemd;
mod watcher;
mod workers;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

pub use action::{Action, Because, Cause};
pub use reload::{Configuration, Refusal};

use crate::clock;
use crate::config::{Inputs, Model};
use control::Control;
use event::{EndSignal, Event, Events, Inbox};
use listening::Listening;
use logging::Logging;
use plane::{Outcome, Plane};
use process::Side;
use reload::Loader;
use sinks::LogFiles;
use watcher::Watcher;
use workers::Workers;

/// What to run, and how.
pub struct Options {
    /// Where the configuration is.
    pub configuration: Configuration,
    /// What outranks it, and what it may name.
    pub inputs: Inputs,
    /// Whether to go to the background.
    pub background: bool,
    /// Where to write the process id when in the background.
    pub pid_file: Option<PathBuf>,
    /// Called once, when every worker serves: with the model, and name and address of every
    /// listener.
    pub on_ready: Option<OnReady>,
}

/// See [`Options::on_ready`].
pub type OnReady = Box<dyn FnOnce(&Model, &[(Arc<str>, String)])>;

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// As it was asked to.
    Well,
    /// Something went wrong; the log says what.
    Failed,
    /// It never started, for this reason.
    Refused(Refusal),
    /// The daemon is another process now, or failed to become one; this one ends with its code.
    Left(u8),
}

/// Runs until it is told to end.
pub fn run(options: Options) -> Ended {
    let started = clock::precise_now();
    // Asked first thing: it counts from here.
    clock::uptime();
    let mut background = None;
    if options.background {
        match process::to_background(options.pid_file.as_deref()) {
            Ok(Side::Front(code)) => return Ended::Left(code),
            Ok(Side::Back(back)) => background = Some(back),
            Err(error) => return Ended::Refused(failure("go to the background", &error)),
        }
    }
    let files = Arc::new(LogFiles::default());
    let loader = Loader::new(options.configuration, options.inputs, Arc::clone(&files));
    let ended = match start(loader, &files) {
        Ok((mut plane, inbox)) => {
            plane.on_ready(started, background, options.on_ready);
            control_loop(plane, &inbox)
        }
        Err(refusal) => {
            if let Some(mut background) = background {
                background.failed(refusal.exit_code());
            }
            Ended::Refused(refusal)
        }
    };
    files.close();
    ended
}

/// Starts everything, or nothing.
fn start(mut loader: Loader, files: &Arc<LogFiles>) -> Result<(Plane, Inbox), Refusal> {
    let before = watcher::look(loader.main_file());
    let first = loader.load(1).map_err(Refusal::Configuration)?;
    let mut listening = Listening::new(first.generation.workers.get());
    let added = listening
        .prepare(&first.generation)
        .map_err(Refusal::System)?;

    let settings = loader.log_settings(&first.model);
    let logging = Logging::start(Arc::clone(files), settings)
        .map_err(|error| failure("open the log", &error))?;
    process::raise_descriptor_limit();

    let (events, inbox) = Events::new();
    signals::listen(events.clone()).map_err(|error| failure("hear signals", &error))?;
    let mut watcher = Watcher::new(events.clone());
    watcher.watch(first.sources.files(), first.sources.directories(), &before);
    let sockets = listening.publish(added, &first.generation);
    let workers = Workers::start(&first.generation, sockets, &events.reporter())
        .map_err(|error| failure("start the workers", &error))?;
    let plane = Plane::new(loader, first, logging, listening, watcher, workers);
    Ok((plane, inbox))
}

fn failure(what: &str, error: &io::Error) -> Refusal {
    Refusal::System(vec![format!("cannot {what}: {error}")])
}

/// THE CONTROL LOOP.
fn control_loop(mut plane: Plane, inbox: &Inbox) -> Ended {
    let mut control = Control::new(plane.workers(), plane.drain_timeout(), clock::now());
    let mut watchdog = Watchdog::new();
    let mut answers = VecDeque::new();
    loop {
        let event = match answers.pop_front() {
            Some(event) => event,
            None => next_event(inbox, control.deadline(), &mut watchdog),
        };
        if event == Event::FilesTouched {
            plane.files_touched();
        }
        for action in control.handle(event, clock::now()) {
            match plane.carry_out(action) {
                Outcome::Done => {}
                Outcome::Answer(event) => answers.push_back(event),
                Outcome::Ended(ended) => return ended,
            }
        }
    }
}

/// Waits for an event, or for the deadline.
fn next_event(inbox: &Inbox, deadline: Option<Instant>, watchdog: &mut Watchdog) -> Event {
    clock::invalidate();
    watchdog.feed(clock::now());
    let wake = deadline.into_iter().chain(watchdog.due).min();
    let wait = wake.map(|wake| wake.saturating_duration_since(clock::now()));
    let event = match wait {
        Some(wait) => inbox.recv_timeout(wait),
        None => inbox.recv().map_err(RecvTimeoutError::from),
    };
    clock::invalidate();
    match event {
        Ok(event) => event,
        Err(RecvTimeoutError::Timeout) => Event::Tick,
        // Nobody is left who could ask for anything, not even a worker.
        Err(RecvTimeoutError::Disconnected) => Event::End(EndSignal::Terminate),
    }
}

/// Tells the service manager now and then that the control loop goes round.
struct Watchdog {
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Watchdog {
    fn new() -> Self {
        let interval = systemd::watchdog_interval();
        Self {
            interval,
            due: interval.map(|_| clock::now()),
        }
    }

    fn feed(&mut self, now: Instant) {
        if let Some(interval) = self.interval
            && self.due.is_none_or(|due| due <= now)
        {
            systemd::alive();
            self.due = now.checked_add(interval);
        }
    }
}

impl Refusal {
    /// What the process ends with: 78 (`EX_CONFIG`) if the configuration is wrong, else 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => 78,
            Self::System(_) => 1,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("configuration", &self.configuration)
            .field("background", &self.background)
            .field("pid_file", &self.pid_file)
            .finish_non_exhaustive()
    }
}
