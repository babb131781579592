//! The control plane: one thread that starts everything, replaces it and ends it.
//!
//! [`run`] starts things in the order in which they must start; then comes the control loop: it
//! waits for an [`event::Event`], lets [`control::Control`] decide, and carries that out.

mod acme;
mod action;
mod askers;
pub mod control;
mod control_socket;
pub mod event;
mod inherited;
mod journal;
mod listening;
mod log_file;
mod logging;
mod plane;
mod prober;
mod process;
mod reload;
mod rolling;
mod signals;
mod sinks;
mod systemd;
mod upgrade;
mod watchdog;
mod watcher;
mod workers;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

pub use action::{Action, Because, Cause, DrainCause};
pub use reload::{Configuration, Refusal};

use crate::clock;
use crate::config::{Inputs, Model};
use crate::server::mailbox::Report;
use crate::sys::accounts;
use acme::Acme;
use control::Control;
use event::{EndSignal, Event, Events, Inbox};
use inherited::Inherited;
use listening::Listening;
use logging::Logging;
use plane::{Origin, Outcome, Plane};
use process::{Background, Side};
use reload::Loader;
use sinks::LogFiles;
use upgrade::{Predecessor, Program};
use watchdog::Watchdog;
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
    /// Who to be: `user` or `user:group`. Whoever started it, unless it is said.
    pub user: Option<String>,
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
    let (mut background, origin, inherited) = match begin(&options) {
        Ok(Begun::Front(code)) => return Ended::Left(code),
        Ok(Begun::Daemon(background, origin, inherited)) => (background, origin, inherited),
        Err(refusal) => return Ended::Refused(refusal),
    };
    let files = Arc::new(LogFiles::default());
    let predecessor = origin.predecessor.clone();
    let loader = Loader::new(options.configuration, options.inputs, Arc::clone(&files));
    let ended = match start(loader, &files, origin, inherited) {
        Ok((mut plane, inbox)) => {
            drop(predecessor);
            plane.on_ready(started, background, options.on_ready);
            control_loop(plane, &inbox)
        }
        Err(refusal) => {
            if let Some(predecessor) = predecessor {
                predecessor.refuse(refusal.exit_code());
            }
            if let Some(background) = &mut background {
                background.failed(refusal.exit_code());
            }
            Ended::Refused(refusal)
        }
    };
    files.close();
    ended
}

/// What became of the process at its begin.
enum Begun {
    /// It stayed in front of the daemon, which has started or failed: the exit code.
    Front(u8),
    /// It is the daemon.
    Daemon(Option<Background>, Origin, Inherited),
}

/// What must be asked and done before there is any thread.
fn begin(options: &Options) -> Result<Begun, Refusal> {
    let program = Program::of_process()
        .map_err(|error| failure("find the program that this process runs", &error))?;
    if upgrade::start_if_between(&program)
        .map_err(|error| failure("start the program that replaces another", &error))?
    {
        return Ok(Begun::Front(0));
    }
    let taken_over = Inherited::of_process().and_then(|(inherited, replaces)| {
        let predecessor = replaces.then(Predecessor::on_stdin).transpose()?;
        Ok((inherited, predecessor))
    });
    let (inherited, predecessor) =
        taken_over.map_err(|error| failure("take over the sockets of another process", &error))?;
    let replaces = predecessor.is_some();
    let origin = Origin {
        program,
        predecessor,
    };
    let pid_file = options.pid_file.as_deref();
    let background = match (options.background, replaces) {
        (false, _) => None,
        (true, true) => Some(
            Background::taken_over(pid_file)
                .map_err(|error| failure("take over the pid file", &error))?,
        ),
        (true, false) if process::is_first() => {
            let first = "--daemon ends process 1, and its container: leave it out";
            return Err(Refusal::System(vec![first.into()]));
        }
        (true, false) => match process::to_background(pid_file) {
            Ok(Side::Front(code)) => return Ok(Begun::Front(code)),
            Ok(Side::Back(background)) => Some(background),
            Err(error) => return Err(failure("go to the background", &error)),
        },
    };
    if let Some(user) = &options.user {
        accounts::become_user(user).map_err(|error| Refusal::System(vec![error]))?;
    }
    Ok(Begun::Daemon(background, origin, inherited))
}

/// Starts everything, or nothing.
fn start(
    mut loader: Loader,
    files: &Arc<LogFiles>,
    origin: Origin,
    inherited: Inherited,
) -> Result<(Plane, Inbox), Refusal> {
    // Before anything that takes its time: what is sent to the first process of a container while
    // it does not listen, the kernel drops.
    let (events, inbox) = Events::new();
    signals::listen(events.clone()).map_err(|error| failure("hear signals", &error))?;
    let before = watcher::look(loader.main_file());
    let first = loader.load(1).map_err(Refusal::Configuration)?;
    let mut listening = Listening::new(first.generation.workers.get(), inherited);
    let added = listening
        .prepare(&first.generation)
        .map_err(Refusal::System)?;

    let settings = loader.log_settings(&first.model);
    let place = settings.place.clone();
    let logging = Logging::start(Arc::clone(files), settings)
        .map_err(|error| Refusal::System(vec![reload::no_log(&place, &error)]))?;
    process::raise_descriptor_limit();

    let mut watcher = Watcher::new(events.clone());
    watcher.follow(first.model.server.watch, &first.warnings, &before);
    let acme = Acme::default();
    acme.load(&first.generation, loader.metrics());
    let sockets = listening.publish(added, &first.generation);
    let workers = Workers::start(&first.generation, sockets, &events.reporter())
        .map_err(|error| failure("start the workers", &error))?;
    let hands = plane::Hands {
        loader,
        logging,
        listening,
        watcher,
        workers,
        acme,
        events,
    };
    Ok((Plane::new(hands, first, origin), inbox))
}

fn failure(what: &str, error: &io::Error) -> Refusal {
    Refusal::System(vec![format!("cannot {what}: {error}")])
}

/// THE CONTROL LOOP.
fn control_loop(mut plane: Plane, inbox: &Inbox) -> Ended {
    let mut control = Control::new(plane.workers(), plane.drain_times(), clock::now());
    let mut watchdog = Watchdog::new(plane.workers(), clock::now());
    let mut answers = VecDeque::new();
    loop {
        watchdog.feed(clock::now(), plane.all_workers());
        let event = match answers.pop_front() {
            Some(event) => event,
            None => next_event(inbox, control.deadline(), watchdog.due()),
        };
        match event {
            Event::FilesTouched => plane.files_touched(),
            Event::Report(Report::Alive { worker }) => watchdog.heard(worker),
            _ => {}
        }
        for action in control.handle(event, clock::now()) {
            if matches!(action, Action::Drain(_)) {
                watchdog.drain();
            }
            match plane.carry_out(action) {
                Outcome::Done => {}
                Outcome::Answer(event) => answers.push_back(event),
                Outcome::Ended(ended) => return ended,
            }
        }
    }
}

/// Waits for an event, or for the time that comes first.
fn next_event(inbox: &Inbox, deadline: Option<Instant>, watchdog: Instant) -> Event {
    clock::invalidate();
    let wake = deadline.map_or(watchdog, |deadline| deadline.min(watchdog));
    let event = inbox.recv_timeout(wake.saturating_duration_since(clock::now()));
    clock::invalidate();
    match event {
        Ok(event) => event,
        Err(RecvTimeoutError::Timeout) => Event::Tick,
        // Nobody is left who could ask for anything, not even a worker.
        Err(RecvTimeoutError::Disconnected) => Event::End(EndSignal::Terminate),
    }
}

impl Refusal {
    /// All that is wrong with the configuration, drawn: plain, and with colours.
    fn drawn(&self) -> Option<(String, String)> {
        match self {
            Self::Configuration(report) => Some((report.text(false), report.text(true))),
            Self::System(_) => None,
        }
    }

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
