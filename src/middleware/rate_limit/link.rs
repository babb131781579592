//! A Redis or Valkey server, as a worker talks to it: one connection, on which every question
//! goes out at once and is answered in its turn.
//!
//! ```text
//!                 asked ┌────────────┐ it answers   ┌──────┐
//!   ┌──────┐  ────────▶ │ connecting │ ───────────▶ │  up  │
//!   │ down │            └────────────┘              └──────┘
//!   └──────┘ ◀── pause, twice the last ──┘              │
//!       ▲                                               │
//!       └────── closed, or silent for too long ─────────┘
//! ```
//!
//! Nobody waits for a pause to pass: whoever asks meanwhile hears at once that there is nobody.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::{self, Arc};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::remote::{Driver, Server};
use crate::clock;
use crate::exchange::{BlockingPool, WorkerLocals};

/// A worker's connection to a server, as far as there is one.
pub(super) struct Link {
    blocking: BlockingPool,
    script: &'static str,
    state: RefCell<State>,
    /// Its state has changed.
    changed: Notify,
    /// How long the next failure keeps it down. Nothing, if the last question was answered.
    pause: Cell<Duration>,
    connections: Cell<u64>,
}

enum State {
    /// Until then; after it, who asks has it connected.
    Down(Instant),
    Connecting,
    Up(Up),
}

#[derive(Clone)]
struct Up {
    /// Of the connections of this link.
    number: u64,
    connection: MultiplexedConnection,
    /// What the server calls the script.
    script: Rc<str>,
    /// Since when questions have gone unanswered, if any did.
    silent_since: Rc<Cell<Option<Instant>>>,
}

/// Why a question got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no connection.
    Unreachable,
    /// Nothing came in time.
    Timeout,
    /// The server would not.
    Refused,
}

/// How long a server may take to let us in: the first questions do not wait that long, but those
/// after them find it there.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The pauses between tries to connect: short enough that a restarted server is back before
/// anyone has looked, and at most as long as one lets two daemons count apart.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection on which nothing was answered for so long is given up: the longest that a fork
/// of a large server takes, and the least after which a network has swallowed it.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// The connections of a worker. They do not keep alive what they lead to.
#[derive(Default)]
struct Links(RefCell<Vec<(sync::Weak<Server>, Rc<Link>)>>);

impl Link {
    /// This worker's connection to a server. `script` is what questions run there.
    pub(super) fn to(
        server: &Arc<Server>,
        script: &'static str,
        locals: &WorkerLocals,
    ) -> Rc<Self> {
        let links = locals.keep::<Links>();
        let mut links = links.0.borrow_mut();
        let known = links
            .iter()
            .find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(server)));
        if let Some((_, link)) = known {
            return Rc::clone(link);
        }
        // Connections that no configuration asks for any more go when another one comes.
        links.retain(|(known, _)| known.strong_count() > 0);
        let link = Rc::new(Self {
            blocking: locals.blocking.clone(),
            script,
            state: RefCell::new(State::Down(clock::now())),
            changed: Notify::new(),
            pause: Cell::default(),
            connections: Cell::default(),
        });
        links.push((Arc::downgrade(server), Rc::clone(&link)));
        link
    }

    /// Runs the script for a key, with these arguments: the numbers that it gives.
    pub(super) async fn ask(
        self: Rc<Self>,
        server: &Arc<Server>,
        key: &[u8],
        arguments: [u64; 2],
        within: Duration,
    ) -> Result<(u64, u64), Failure> {
        let mut asked = None;
        let answer = timeout(within, self.ask_twice(server, key, arguments, &mut asked)).await;
        let Ok(answer) = answer else {
            if let Some(up) = asked {
                self.unanswered(&up);
            }
            server.complain(&"it does not answer in time");
            return Err(Failure::Timeout);
        };
        answer
    }

    /// Asks, and once more if the connection was lost. A question that was heard, but whose
    /// answer was lost, counts twice: too strict, not too lax.
    async fn ask_twice(
        self: &Rc<Self>,
        server: &Arc<Server>,
        key: &[u8],
        arguments: [u64; 2],
        asked: &mut Option<Up>,
    ) -> Result<(u64, u64), Failure> {
        let mut last = false;
        loop {
            let mut up = self.connection(server).await?;
            *asked = Some(up.clone());
            let answer = up.run(self.script, key, arguments).await;
            let error = match answer {
                Ok(numbers) => {
                    up.silent_since.set(None);
                    self.pause.set(Duration::ZERO);
                    server.answered();
                    return Ok(numbers);
                }
                Err(error) => error,
            };
            if error.is_unrecoverable_error() || error.is_io_error() {
                self.down(up.number);
                if !last {
                    last = true;
                    continue;
                }
                server.complain(&error);
                return Err(Failure::Unreachable);
            }
            server.complain(&error);
            if is_no_master(&error) {
                // Its name or address may lead to another by now.
                self.pause.set(self.pause.get().max(PAUSE_MIN));
                self.down(up.number);
            }
            return Err(Failure::Refused);
        }
    }

    /// The connection. Waits for it to be opened, unless that has just failed.
    async fn connection(self: &Rc<Self>, server: &Arc<Server>) -> Result<Up, Failure> {
        loop {
            let changed = self.changed.notified();
            let due = match &*self.state.borrow() {
                State::Up(up) => return Ok(up.clone()),
                State::Connecting => false,
                State::Down(until) if clock::now() < *until => return Err(Failure::Unreachable),
                State::Down(_) => true,
            };
            if due {
                self.connect(Arc::clone(server));
            }
            if !self.pause.get().is_zero() {
                return Err(Failure::Unreachable);
            }
            changed.await;
        }
    }

    /// Opens a connection in a task of its own: who asked first may leave.
    fn connect(self: &Rc<Self>, server: Arc<Server>) {
        self.state.replace(State::Connecting);
        let number = self.connections.get() + 1;
        self.connections.set(number);
        let link = Rc::downgrade(self);
        let (blocking, script) = (self.blocking.clone(), self.script);
        spawn_local(async move {
            let opened = async {
                let (mut connection, driver) = server.open(&blocking).await?;
                spawn_local(drive(driver, Weak::clone(&link), number));
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(script);
                let script: String = load.query_async(&mut connection).await?;
                Ok((connection, script))
            };
            let opened = timeout(CONNECT_MAX, opened).await;
            let opened: Result<_, RedisError> =
                opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            let Some(link) = link.upgrade() else { return };
            match opened {
                Ok((connection, script)) => {
                    link.state.replace(State::Up(Up {
                        number,
                        connection,
                        script: script.into(),
                        silent_since: Rc::default(),
                    }));
                }
                Err(error) => {
                    server.complain(&error);
                    let pause = (link.pause.get() * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                    link.pause.set(pause);
                    link.state.replace(State::Down(clock::now() + pause));
                }
            }
            link.changed.notify_waiters();
        });
    }

    /// Gives this connection up, if it is still the one there is.
    fn down(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        if matches!(&*state, State::Up(up) if up.number == number) {
            *state = State::Down(clock::now() + self.pause.get());
        }
    }

    /// A question got no answer in time.
    fn unanswered(&self, up: &Up) {
        let now = clock::now();
        let since = up.silent_since.get().unwrap_or(now);
        up.silent_since.set(Some(since));
        if now.saturating_duration_since(since) >= SILENCE_MAX {
            self.pause.set(self.pause.get().max(PAUSE_MIN));
            self.down(up.number);
        }
    }
}

/// Moves the bytes of a connection until it is closed or given up.
async fn drive(driver: Driver, link: Weak<Link>, number: u64) {
    driver.await;
    if let Some(link) = link.upgrade() {
        link.down(number);
    }
}

impl Up {
    /// Runs the script by its name; as a whole if the server has forgotten it.
    async fn run(
        &mut self,
        script: &str,
        key: &[u8],
        arguments: [u64; 2],
    ) -> Result<(u64, u64), RedisError> {
        let mut named = command("EVALSHA", &self.script, key, arguments);
        let answer = named.query_async(&mut self.connection).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                named = command("EVAL", script, key, arguments);
                named.query_async(&mut self.connection).await
            }
            answer => answer,
        }
    }
}

fn command(name: &str, script: &str, key: &[u8], arguments: [u64; 2]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key).arg(&arguments);
    command
}

/// Whether the server cannot write, but another one may.
fn is_no_master(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
        )
    )
}
