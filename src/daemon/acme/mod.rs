//! Has certificates issued and renewed, in a thread of its own, off the path of every request.
//!
//! A certificate that comes goes to the store and then straight to the handshakes that want it;
//! the configuration is not read for it. A renewal must not depend on whether somebody is just
//! editing the file.

mod https;
mod job;
mod order;
mod schedule;
mod store;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{error, info};

use crate::clock;
use crate::generation::Generation;
use crate::generation::acme::{Tokens, Wanted};
use crate::telemetry::Metrics;
use job::Job;
use store::{Store, Turn};

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
        while let Some((wanted, store, tokens, turn)) = self.next() {
            let name = wanted.name();
            let directory = &*wanted.authority.directory;
            info!(certificate = name, directory, "ordering a certificate");
            let order = || order::order(&wanted, &store, &tokens);
            // A panic has been logged by the hook.
            let done = catch_unwind(AssertUnwindSafe(order))
                .unwrap_or_else(|_| Err(String::from("the order panicked")));
            drop(turn);
            clock::invalidate();
            let mut list = self.lock();
            // One that is not wanted any more is kept on disk all the same.
            if let Some(job) = list.jobs.iter_mut().find(|job| job.is_for(&wanted)) {
                job.take(done);
            }
        }
    }

    /// Waits until a certificate is to be ordered; `None` at the end.
    fn next(&self) -> Option<(Wanted, Store, Arc<Tokens>, Turn)> {
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
            {
                match job.begin(now) {
                    Some(turn) => {
                        return Some((job.wanted.clone(), job.store.clone(), tokens, turn));
                    }
                    // Something is due later than it was.
                    None => continue,
                }
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
