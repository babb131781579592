//! `basic_auth`: who asks, by user and password (RFC 7617).
//!
//! ```text
//! Authorization ──▶ known to be right? ──▶ go on                       (no lock, no wait)
//!                        │ no
//!                   guard: wrong too often? ──▶ 429
//!                        │ no
//!                   a thread of the pool compares ──▶ go on, or 401
//! ```

mod guard;
mod hash;
mod settings;
mod users;
mod verified;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Semaphore;

use self::guard::{Guard, Wait};
use self::hash::Hash;
use self::users::{Users, is_name};
use self::verified::OfWorker;
use super::credentials::{Ambiguous, Tally, Verdict, authorization, retry_after};
use super::current::Current;
use super::told::take_away;
use crate::build::Rate;
use crate::clock;
use crate::exchange::{BlockingPool, Exchange, Flow, Middleware, Resume};
use crate::http::{HeaderName, StatusCode, name};
use crate::telemetry::metrics::Count;

pub(super) use settings::KIND;

/// Asks for user and password.
#[derive(Debug, Clone)]
struct BasicAuth(Arc<Asker>);

#[derive(Debug)]
struct Asker {
    users: Arc<Current<Users>>,
    guard: Arc<Guard>,
    gate: Arc<Gate>,
    failures: Rate,
    /// What `WWW-Authenticate` says.
    challenge: Box<[u8]>,
    strip: bool,
    user_header: Option<HeaderName>,
    tally: Tally,
    forgotten: Count,
}

/// How many passwords are compared at a time. It takes a core for a quarter of a second, and
/// memory: more at a time would only make all of them slower, and leave the pool no thread for
/// files.
#[derive(Debug)]
struct Gate {
    open: Semaphore,
    waiting: AtomicUsize,
}

/// Passwords compared at a time; half of the pool's threads as they are by default.
const COMPARED_MAX: usize = 8;
/// How many may wait for their turn: some seconds' work. Above it the answer is 503.
const WAITING_MAX: usize = 256;

/// How long a password may be. SHA-crypt takes time with the square of it; nobody types this.
const PASSWORD_BYTES_MAX: usize = 512;

impl Default for Gate {
    fn default() -> Self {
        Self {
            open: Semaphore::new(COMPARED_MAX),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// Somebody who waits at the gate; leaves when dropped.
struct Waiting(Arc<Gate>);

impl Waiting {
    fn at(gate: &Arc<Gate>) -> Option<Self> {
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(Arc::clone(gate));
        (before < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A user and a password, as a client sent them.
struct Pair {
    user: Box<str>,
    password: Box<[u8]>,
}

impl Pair {
    /// Reads what stands behind `Basic`.
    fn read(token: &[u8]) -> Option<Self> {
        let pair = STANDARD.decode(token).ok()?;
        let colon = pair.iter().position(|&byte| byte == b':')?;
        let (user, password) = pair.split_at(colon);
        let password = password.get(1..)?;
        let user = std::str::from_utf8(user)
            .ok()
            .filter(|user| is_name(user))?;
        let good =
            password.len() <= PASSWORD_BYTES_MAX && !password.iter().any(u8::is_ascii_control);
        good.then(|| Self {
            user: user.into(),
            password: password.into(),
        })
    }
}

impl Middleware for BasicAuth {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let asker = &self.0;
        if let Some(header) = &asker.user_header {
            take_away(&mut x.request.headers, header);
        }
        let pair = match authorization(&x.request.headers, "Basic") {
            Ok(None) => return asker.challenge(x, Verdict::Missing),
            Ok(Some(token)) => Pair::read(token),
            Err(Ambiguous) => None,
        };
        let Some(pair) = pair else {
            return asker.challenge(x, Verdict::Malformed);
        };
        let users = asker.users.get(x.locals);
        let verified = OfWorker::of(x.locals, &asker.guard, &users);
        let known = verified.borrow().knows(&pair.user, &pair.password);
        if known {
            return asker.accept(x, &pair.user);
        }
        match asker
            .guard
            .charge(x.client_ip, asker.failures, clock::now())
        {
            Ok(false) => {}
            Ok(true) => asker.forgotten.add(x.locals.worker, 1),
            Err(Wait(wait)) => {
                let flow =
                    asker
                        .tally
                        .refuse(x, Verdict::Limited, StatusCode::TOO_MANY_REQUESTS, None);
                return retry_after(flow, wait.as_secs() + 1);
            }
        }
        let Some(waiting) = Waiting::at(&asker.gate) else {
            return asker.unavailable(x);
        };
        let hash = users.hash_of(&pair.user).cloned();
        let stand_in = users.stand_in(&pair.user).cloned();
        Flow::Wait(Box::pin(compare(
            Arc::clone(asker),
            pair,
            hash,
            stand_in,
            waiting,
            x.locals.blocking.clone(),
        )))
    }
}

/// Compares on a thread of the pool; a stranger's password too, with the hash of another.
async fn compare(
    asker: Arc<Asker>,
    pair: Pair,
    hash: Option<Hash>,
    stand_in: Option<Hash>,
    waiting: Waiting,
    pool: BlockingPool,
) -> Resume {
    let (known, measured) = (hash.is_some(), hash.or(stand_in));
    let right = {
        let turn = asker.gate.open.acquire().await;
        drop(waiting);
        match (turn, measured.clone()) {
            (Ok(_turn), Some(hash)) => {
                let password = pair.password.clone();
                pool.run(move || hash.is_of(&password)).await.ok()
            }
            // Without a single user there is nothing to compare with.
            (Ok(_), None) => Some(false),
            (Err(_), _) => None,
        }
    };
    Box::new(move |x| match (right, measured) {
        (Some(true), Some(hash)) if known => {
            asker.guard.refund(x.client_ip, asker.failures);
            let users = asker.users.get(x.locals);
            let verified = OfWorker::of(x.locals, &asker.guard, &users);
            verified
                .borrow_mut()
                .learn(&pair.user, &pair.password, hash);
            asker.accept(x, &pair.user)
        }
        (Some(_), _) => asker.challenge(x, Verdict::Wrong),
        (None, _) => {
            asker.guard.refund(x.client_ip, asker.failures);
            asker.unavailable(x)
        }
    })
}

impl Asker {
    fn accept(&self, x: &mut Exchange<'_>, user: &str) -> Flow {
        self.tally.accept(x);
        if self.strip {
            x.request.headers.remove(&name::AUTHORIZATION);
        }
        if let Some(header) = &self.user_header {
            x.request.headers.set(header, user.as_bytes());
        }
        x.facts_mut().user = Some(user.into());
        Flow::Continue
    }

    fn challenge(&self, x: &mut Exchange<'_>, verdict: Verdict) -> Flow {
        let status = StatusCode::UNAUTHORIZED;
        self.tally.refuse(x, verdict, status, Some(&self.challenge))
    }

    fn unavailable(&self, x: &mut Exchange<'_>) -> Flow {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let flow = self.tally.refuse(x, Verdict::Unavailable, status, None);
        retry_after(flow, 1)
    }
}

#[cfg(test)]
mod tests;
