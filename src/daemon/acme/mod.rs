//! Has certificates issued and renewed, in a thread of its own, off the path of every request.
//!
//! A certificate that comes goes to the store and then straight to the handshakes that want it;
//! the configuration is not read for it. A renewal must not depend on whether somebody is just
//! editing the file.

mod https;
mod order;
mod schedule;
mod store;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{error, info, warn};

use crate::clock;
use crate::exchange::Random;
use crate::generation::Generation;
use crate::generation::acme::{Tokens, Wanted};
use crate::http::date::rfc3339;
use crate::sys::tls::Certificate;
use crate::telemetry::{Count, Gauge, Metrics};
use schedule::{Life, Standing};
use store::Store;

/// How long the thread sleeps at the most: clocks are set, machines sleep.
const NAP_MAX: Duration = Duration::from_hours(1);

/// What is ordered, and the thread that does it once there is something.
#[derive(Debug, Default)]
pub(super) struct Acme {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct List {
    jobs: Vec<Job>,
    tokens: Arc<Tokens>,
    ended: bool,
}

/// A certificate, and how it stands with it.
struct Job {
    wanted: Wanted,
    store: Store,
    standing: Standing,
    /// Drawn once, see [`Standing::due`].
    random: u32,
    numbers: Numbers,
}

/// What is counted of a certificate.
#[derive(Debug, Clone)]
struct Numbers {
    issued: Count,
    failed: Count,
    expires: Gauge,
}

impl Acme {
    /// Takes what the store holds to the handshakes of a generation, before it is served, and
    /// orders from now on what that generation wants.
    pub(super) fn load(&self, generation: &Generation, metrics: &Metrics) {
        let mut list = self.shared.lock();
        let mut old = std::mem::take(&mut list.jobs);
        list.tokens = generation.tokens.clone().unwrap_or_default();
        list.jobs = generation
            .wanted
            .iter()
            .map(|wanted| {
                let known = old.iter().position(|job| job.is_for(wanted));
                match known.map(|at| old.swap_remove(at)) {
                    Some(job) => job.with(wanted),
                    None => Job::new(wanted, metrics),
                }
            })
            .collect();
        for job in &list.jobs {
            job.tell_missing();
        }
    }

    /// The generation is served: its authorities will find what they ask for.
    pub(super) fn run(&mut self) {
        if let Err(error) = self.start() {
            error!(%error, "cannot start the thread that has certificates issued");
        }
        self.shared.changed.notify_all();
    }

    /// Orders nothing more. Does not wait for what is under way.
    pub(super) fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }

    fn start(&mut self) -> io::Result<()> {
        if self.thread.is_some() || self.shared.lock().jobs.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(String::from("acme"))
            .spawn(move || shared.run())?;
        self.thread = Some(thread);
        Ok(())
    }
}

impl Shared {
    fn run(&self) {
        while let Some((wanted, store, tokens)) = self.next() {
            let name = wanted.name();
            let directory = &*wanted.authority.directory;
            info!(certificate = name, directory, "ordering a certificate");
            let order = || order::order(&wanted, &store, &tokens);
            // A panic has been logged by the hook.
            let done = catch_unwind(AssertUnwindSafe(order))
                .unwrap_or_else(|_| Err(String::from("the order panicked")));
            clock::invalidate();
            let mut list = self.lock();
            // One that is not wanted any more is kept on disk all the same.
            if let Some(job) = list.jobs.iter_mut().find(|job| job.is_for(&wanted)) {
                job.take(done);
            }
        }
    }

    /// Waits until a certificate is to be ordered; `None` at the end.
    fn next(&self) -> Option<(Wanted, Store, Arc<Tokens>)> {
        let mut list = self.lock();
        loop {
            if list.ended {
                return None;
            }
            clock::invalidate();
            let now = clock::unix_now();
            let tokens = Arc::clone(&list.tokens);
            let next = list.jobs.iter_mut().min_by_key(|job| job.due());
            let wait = next.as_ref().map(|job| job.due().saturating_sub(now));
            if let Some(job) = next
                && wait == Some(Duration::ZERO)
                && job.begin(now)
            {
                return Some((job.wanted.clone(), job.store.clone(), tokens));
            }
            let nap = wait.unwrap_or(NAP_MAX).clamp(NAP_MIN, NAP_MAX);
            let woken = self.changed.wait_timeout(list, nap);
            list = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever is due, the thread does not go round faster than this.
const NAP_MIN: Duration = Duration::from_millis(100);

impl Job {
    fn new(wanted: &Wanted, metrics: &Metrics) -> Self {
        let store = Store::of(&wanted.authority);
        let name = wanted.name();
        let certificate = store.certificate(name).unwrap_or_else(|error| {
            error!(
                certificate = name,
                error, "a certificate is spoilt: it is ordered anew"
            );
            None
        });
        let tries = store.tries(name).unwrap_or_else(|error| {
            warn!(
                certificate = name,
                error, "cannot tell when orders were tried"
            );
            Vec::new()
        });
        let mut job = Self {
            wanted: wanted.clone(),
            store,
            standing: Standing {
                tries,
                ..Standing::default()
            },
            random: (Random::default().next() >> 32) as u32,
            numbers: Numbers::new(wanted, metrics),
        };
        if let Some(certificate) = certificate {
            job.serve(certificate);
        }
        job
    }

    /// The same with other settings.
    fn with(mut self, wanted: &Wanted) -> Self {
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        let same = before.domains == wanted.domains
            && before.challenge == wanted.challenge
            && before.profile == wanted.profile
            && before.authority == wanted.authority;
        if !same {
            self.standing.change();
        }
        if let Some(certificate) = before.issued.certificate() {
            self.serve(certificate);
        }
        self
    }

    /// Whether this is the one that is wanted, whatever its settings.
    fn is_for(&self, wanted: &Wanted) -> bool {
        self.wanted.is_same(wanted)
    }

    fn due(&self) -> Duration {
        self.standing.due(self.random)
    }

    /// Hands a certificate to the handshakes.
    fn serve(&mut self, certificate: Certificate) {
        let whole = order::uncovered(&certificate, &self.wanted).is_none();
        self.standing.life = whole.then(|| life(&certificate));
        let expires = &self.numbers.expires;
        expires.add(0, certificate.not_after() - expires.get());
        self.wanted.issued.put(certificate);
    }

    /// A try begins, if it can be noted: a daemon that cannot write the certificate that it gets
    /// would ask for one after the other.
    fn begin(&mut self, now: Duration) -> bool {
        self.standing.begin(now);
        let noted = self
            .store
            .keep_tries(self.wanted.name(), &self.standing.tries);
        let Err(error) = noted else { return true };
        self.take(Err(error));
        false
    }

    /// What came of a try.
    fn take(&mut self, done: Result<Certificate, String>) {
        let name = self.wanted.name();
        match done {
            Ok(certificate) => {
                self.numbers.issued.add(0, 1);
                let until = date(certificate.not_after());
                info!(certificate = name, until, "a certificate was issued");
                self.standing.succeed(life(&certificate));
                self.serve(certificate);
            }
            Err(reason) => {
                self.numbers.failed.add(0, 1);
                self.standing.fail();
                let again = date(i64::try_from(self.due().as_secs()).unwrap_or(i64::MAX));
                self.tell_failed(&reason, &again);
            }
        }
    }

    fn tell_failed(&self, reason: &str, again: &str) {
        let certificate = self.wanted.name();
        let Some(served) = self.wanted.issued.certificate() else {
            let message = "no certificate was issued, and there is none to serve";
            error!(certificate, reason, again, "{message}");
            return;
        };
        let until = date(served.not_after());
        if life(&served).ends <= clock::unix_now() {
            let message = "no new certificate was issued, and the old one has expired";
            error!(certificate, reason, again, until, "{message}");
        } else {
            let message = "no new certificate was issued; the old one stays";
            warn!(certificate, reason, again, until, "{message}");
        }
    }

    /// Says so if there is nothing to serve yet.
    fn tell_missing(&self) {
        if self.wanted.issued.certificate().is_none() {
            warn!(
                certificate = self.wanted.name(),
                directory = &*self.wanted.authority.directory,
                "there is no certificate yet: handshakes fail until one is issued"
            );
        }
    }
}

fn life(certificate: &Certificate) -> Life {
    let since = |time: i64| Duration::from_secs(time.try_into().unwrap_or(0));
    Life {
        begins: since(certificate.not_before()),
        ends: since(certificate.not_after()),
    }
}

/// A time since 1970 as logs show it.
fn date(seconds: i64) -> String {
    rfc3339(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

impl Numbers {
    fn new(wanted: &Wanted, metrics: &Metrics) -> Self {
        let certificate = || ("certificate", wanted.name().into());
        let orders = |result: &str| {
            metrics.count(
                "httpserverd_acme_orders_total",
                "Orders of certificates, by how they ended.",
                vec![certificate(), ("result", result.into())],
            )
        };
        Self {
            issued: orders("issued"),
            failed: orders("failed"),
            expires: metrics.gauge(
                "httpserverd_tls_certificate_not_after_seconds",
                "Until when a certificate holds, in seconds since 1970.",
                vec![("listener", Box::from(&*wanted.listener)), certificate()],
            ),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("certificate", &self.wanted.name())
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
