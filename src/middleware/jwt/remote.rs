//! Keys that an upstream publishes: asked for when they are first needed, and again in the
//! background before they are old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};
use tracing::{info, warn};

use super::keys::{Keys, Secrets};
use crate::clock;
use crate::exchange::{Fetched, Fetcher, WorkerLocals};
use crate::http::{RequestHead, StatusCode};
use crate::middleware::current::Current;

/// A key set at an upstream.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) fetcher: Arc<Fetcher>,
    /// Where it is, and for which host; with the fields that ask for it.
    pub(super) request: RequestHead,
    /// How old keys become before they are asked for again.
    pub(super) refresh: Duration,
    pub(super) timeout: Duration,
    pub(super) store: Arc<Store>,
}

/// The keys as they were last published. Kept across reloads, and holds no settings.
#[derive(Debug)]
pub(super) struct Store {
    keys: Current<Published>,
    /// When they were last asked for, well or ill.
    tried: Mutex<Option<Instant>>,
    /// Only one asks at a time.
    turn: Semaphore,
}

/// Keys, and when they came.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) keys: Arc<Keys>,
    at: Option<Instant>,
}

/// How often keys are asked for at the most, whatever tokens come: tokens with made-up key names
/// must not become requests.
const BETWEEN_TRIES: Duration = Duration::from_secs(10);

/// How long keys are used that could not be asked for again: a day, after which it is no longer
/// a disturbance, and who lost a key must be able to rely on its end.
const OLD_AFTER: Duration = Duration::from_hours(24);

/// How large a set may be: the large providers' have some 10 KiB.
const SET_BYTES_MAX: usize = 1 << 20;

/// What a worker can do with the keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Fresh,
    /// Good enough, but to be asked for again.
    Stale,
    /// There are none, or none that may be used any more.
    None,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            keys: Current::new(Published::default()),
            tried: Mutex::new(None),
            turn: Semaphore::new(1),
        }
    }
}

impl Remote {
    /// The keys there are, and what they are good for.
    pub(super) fn keys(&self, locals: &WorkerLocals) -> (Arc<Published>, State) {
        let published = self.store.keys.get(locals);
        let age = published
            .at
            .map(|at| clock::now().saturating_duration_since(at));
        let state = match age {
            Some(age) if age < self.refresh => State::Fresh,
            Some(age) if age < OLD_AFTER => State::Stale,
            Some(_) | None => State::None,
        };
        (published, state)
    }

    /// Asks for the keys, unless that was done a moment ago. A task of its own: whose client
    /// leaves while it waits must not end what others wait for.
    pub(super) fn refresh(self: &Arc<Self>, locals: &WorkerLocals) -> Option<JoinHandle<()>> {
        let began = clock::now();
        if self.store.tried_within(BETWEEN_TRIES, began) && self.store.turn.available_permits() > 0
        {
            return None;
        }
        let request = self.request.clone();
        let timeout = self.timeout;
        let asked = self
            .fetcher
            .ask(locals, request, Bytes::new(), timeout, SET_BYTES_MAX);
        let remote = Arc::clone(self);
        Some(spawn_local(async move {
            let Ok(_turn) = remote.store.turn.acquire().await else {
                return;
            };
            // While this one waited for its turn another may have asked.
            if remote.store.tried_within(BETWEEN_TRIES, clock::now()) {
                return;
            }
            remote.store.note_try(clock::now());
            let answer = asked.await.map_err(|why| why.as_str().to_owned());
            match answer.and_then(|fetched| read(&fetched)) {
                Ok(keys) => {
                    info!(
                        path = remote.request.target.raw(),
                        ?keys,
                        "fetched a key set"
                    );
                    let (keys, at) = (Arc::new(keys), Some(clock::now()));
                    remote.store.keys.set(Published { keys, at });
                }
                Err(problem) => {
                    let path = remote.request.target.raw();
                    warn!(path, problem, "cannot fetch a key set");
                }
            }
        }))
    }
}

fn read(fetched: &Fetched) -> Result<Keys, String> {
    let status = fetched.response.status;
    if status != StatusCode::OK {
        return Err(format!("it was answered with status {status}"));
    }
    Keys::set(&fetched.content, Secrets::Refused)
}

impl Store {
    fn tried_within(&self, time: Duration, now: Instant) -> bool {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.is_some_and(|tried| now.saturating_duration_since(tried) < time)
    }

    fn note_try(&self, now: Instant) {
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}
