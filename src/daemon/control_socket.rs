//! The unix socket on which `httpserverd reload`, `status` and their kin reach the daemon.
//!
//! One connection, one question: a line of a few words goes in, a line of JSON comes out. Whoever
//! may open the socket may do what a signal does; only the daemon's own user (and root) may.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, warn};

use super::askers::{Answer, Askers};
use super::event::{EndSignal, Event, Events};
use crate::build::Toggle;
use crate::clock;
use crate::sys::socket::UnixSocket;
use crate::telemetry::WorkerCounters;

/// The name of the socket in the folder that the service manager gives.
const NAME: &str = "control.sock";

/// For the daemon's own user.
const MODE: u32 = 0o600;

/// A question is a few words, one of which may be a name out of the configuration; who needs
/// longer to send it is not one of ours.
const QUESTION_MAX: u64 = 1024;
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long someone waits for a reload or an upgrade: longer than either may take.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// How long the end of the process waits for those who ask to have their answers.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);

/// How many may ask at the same time.
const ASKERS_MAX: usize = 16;

/// What those who ask can be told.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Who waits for a reload.
    pub(super) reload: Askers,
    /// Who waits for an upgrade.
    pub(super) upgrade: Askers,
    /// How things stand.
    pub(super) state: Mutex<State>,
}

/// How things stand.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What the daemon is about: `serving`, `leaving`, `draining`.
    pub(super) phase: &'static str,
    /// The generation that is served.
    pub(super) generation: u64,
    /// How many routes it has.
    pub(super) routes: usize,
    /// Name and address of every listener.
    pub(super) listeners: Vec<(String, String)>,
    /// Why the last reload was refused, if it was.
    pub(super) refused: Option<String>,
    /// What can be turned on and off.
    pub(super) toggles: Vec<Arc<dyn Toggle>>,
    /// What the workers count.
    pub(super) workers: Vec<Arc<WorkerCounters>>,
}

impl Desk {
    /// Changes how things stand.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The daemon ends: nothing will be done any more.
    pub(super) fn close(&self) {
        let answer = Answer::failed(1, "the daemon is about to end");
        self.reload.close(&answer);
        self.upgrade.close(&answer);
    }

    /// Turns instances of a kind on or off: the named one, or all.
    fn turn(&self, kind: &str, on: bool, name: Option<&str>) -> Answer {
        let toggles: Vec<_> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let toggles = state.toggles.iter();
            toggles
                .filter(|toggle| toggle.kind() == kind)
                .filter(|toggle| name.is_none_or(|name| toggle.name() == name))
                .cloned()
                .collect()
        };
        if toggles.is_empty() {
            return Answer::failed(
                2,
                match name {
                    Some(name) => format!("there is no {kind} `{}`", name.escape_debug()),
                    None => format!("there is no {kind} in the configuration"),
                },
            );
        }
        let switched = if on { "on" } else { "off" };
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for toggle in toggles {
            match toggle.turn(on) {
                Ok(()) => done.push(format!("{kind} `{}` is {switched}", toggle.name())),
                Err(why) => failed.push(format!("{kind} `{}` stays on: {why}", toggle.name())),
            }
        }
        if failed.is_empty() {
            Answer::done(done.join("\n"))
        } else {
            done.append(&mut failed);
            Answer::failed(1, done.join("\n"))
        }
    }

    /// `maintenance on`, `maintenance off NAME`
    fn maintenance(&self, question: &str) -> Answer {
        let mut words = question.splitn(3, ' ').skip(1);
        let on = match words.next() {
            Some("on") => true,
            Some("off") => false,
            _ => return Answer::failed(2, "maintenance is `on` or `off`"),
        };
        self.turn("maintenance", on, words.next())
    }

    fn status(&self) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |count: fn(&WorkerCounters) -> u64| -> u64 {
            state.workers.iter().map(|worker| count(worker)).sum()
        };
        let on = state.toggles.iter().filter(|toggle| toggle.is_on());
        let on: Vec<_> = on.map(|toggle| toggle.name()).collect();
        let listeners: serde_json::Map<_, _> = state
            .listeners
            .iter()
            .map(|(name, address)| (name.clone(), Value::from(address.as_str())))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "phase": state.phase,
            "uptime_seconds": clock::uptime().as_secs(),
            "generation": state.generation,
            "reload_refused": state.refused,
            "routes": state.routes,
            "listeners": listeners,
            "maintenance": (!on.is_empty()).then_some(on),
            "workers": state.workers.len(),
            "connections_open": sum(|worker| worker.connections_open.get()),
            "connections_accepted": sum(|worker| worker.connections_accepted.get()),
            "connections_refused": sum(|worker| worker.connections_refused.get()),
            "exchanges_open": sum(|worker| {
                let ended = worker.exchanges_ended.get();
                worker.exchanges_begun.get().saturating_sub(ended)
            }),
            "exchanges": sum(|worker| worker.exchanges_ended.get()),
            "requests_refused": sum(|worker| worker.requests_refused.get()),
            "panics": sum(|worker| worker.panics.get()),
        })
    }
}

/// The socket. Its file is removed with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    _socket: UnixSocket,
    busy: Arc<Busy>,
}

/// How many ask now.
#[derive(Debug, Default)]
struct Busy {
    askers: Mutex<usize>,
    fewer: Condvar,
}

/// One of those who ask.
struct Asker(Arc<Busy>);

impl Busy {
    fn askers(&self) -> MutexGuard<'_, usize> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, unless there are too many.
    fn enter(self: &Arc<Self>) -> Option<Asker> {
        let mut askers = self.askers();
        if *askers >= ASKERS_MAX {
            return None;
        }
        *askers += 1;
        Some(Asker(Arc::clone(self)))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        *self.0.askers() -= 1;
        self.0.fewer.notify_all();
    }
}

impl ControlSocket {
    /// Where it is unless the configuration says: in the folder that the service manager gives
    /// to what it runs; nowhere if it gives none.
    pub(super) fn default_path() -> Option<PathBuf> {
        let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
        // Several are separated by colons.
        std::env::split_paths(&folders)
            .next()
            .map(|folder| folder.join(NAME))
    }

    /// Listens from now on. One that the process that is being replaced has left there is
    /// taken over.
    ///
    /// # Errors
    /// It cannot be bound, or somebody else's daemon answers there.
    pub(super) fn open(
        path: &Path,
        replaces: bool,
        desk: &Arc<Desk>,
        events: &Events,
    ) -> io::Result<Self> {
        let socket = if replaces {
            UnixSocket::bind_over(path, MODE)
        } else {
            UnixSocket::bind(path, MODE, None)
        };
        let socket = socket.map_err(io::Error::other)?;
        let listener = socket.share().map_err(io::Error::other)?;
        listener.set_nonblocking(false)?;
        let busy = Arc::<Busy>::default();
        let (desk, events, shared) = (Arc::clone(desk), events.clone(), Arc::clone(&busy));
        thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&listener, &desk, &events, &shared))?;
        Ok(Self {
            _socket: socket,
            busy,
        })
    }

    /// Lets those who ask read their answers before the process ends.
    pub(super) fn finish(self) {
        let askers = self.busy.askers();
        let left = self
            .busy
            .fewer
            .wait_timeout_while(askers, FINISH_TIMEOUT, |askers| *askers > 0);
        let (askers, _) = left.unwrap_or_else(PoisonError::into_inner);
        if *askers > 0 {
            debug!(
                askers = *askers,
                "left without an answer at the control socket"
            );
        }
    }
}

fn accept(listener: &UnixListener, desk: &Arc<Desk>, events: &Events, busy: &Arc<Busy>) {
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "cannot accept on the control socket");
                // No descriptor is free, most likely: not at once again.
                thread::park_timeout(Duration::from_secs(1));
                continue;
            }
        };
        // Who comes when there are too many is closed on.
        let Some(asker) = busy.enter() else { continue };
        let (desk, events) = (Arc::clone(desk), events.clone());
        let thread = thread::Builder::new().name("asker".into()).spawn(move || {
            if let Err(error) = serve(&stream, &desk, &events) {
                debug!(%error, "an asker on the control socket has gone");
            }
            drop(asker);
        });
        if let Err(error) = thread {
            warn!(%error, "cannot start a thread for the control socket");
        }
    }
}

fn serve(stream: &UnixStream, desk: &Desk, events: &Events) -> io::Result<()> {
    stream.set_read_timeout(Some(QUESTION_TIMEOUT))?;
    stream.set_write_timeout(Some(QUESTION_TIMEOUT))?;
    let mut question = String::new();
    BufReader::new(stream.take(QUESTION_MAX)).read_line(&mut question)?;
    let answer = match question.trim_end() {
        "status" => {
            let mut answer = to_json(&Answer::done(""));
            answer["status"] = desk.status();
            answer
        }
        "reload" => to_json(&ask(&desk.reload, events, Event::Reload)),
        "upgrade" => to_json(&ask(&desk.upgrade, events, Event::Upgrade)),
        "stop" => {
            events.send(Event::End(EndSignal::Terminate));
            to_json(&Answer::done("draining"))
        }
        turn if turn.starts_with("maintenance ") => to_json(&desk.maintenance(turn)),
        other => {
            let message = format!("the daemon knows no `{}`", other.escape_debug());
            to_json(&Answer::failed(2, message))
        }
    };
    let mut line = answer.to_string();
    line.push('\n');
    let mut stream = stream;
    stream.write_all(line.as_bytes())
}

fn ask(askers: &Askers, events: &Events, event: Event) -> Answer {
    let waits: Receiver<_> = askers.wait();
    events.send(event);
    waits
        .recv_timeout(ANSWER_TIMEOUT)
        .unwrap_or_else(|_| Answer::failed(1, "the daemon does not say how it ended; see its log"))
}

fn to_json(answer: &Answer) -> Value {
    let drawn = answer.drawn.as_ref();
    json!({
        "code": answer.code,
        "message": answer.message,
        "drawn": drawn.map(|(plain, _)| plain),
        "coloured": drawn.map(|(_, coloured)| coloured),
    })
}
