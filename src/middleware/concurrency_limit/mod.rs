//! `concurrency_limit`: so many exchanges at a time, for all or for each key; others wait for a
//! while or are refused. The number is given, or found from how long exchanges take.

mod adaptive;
mod lanes;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::adaptive::{Learnt, Range};
use self::lanes::{Asked, Lanes, Limit, Slot};
use super::enforce::Policy;
use super::request_key::{self, Key};
use crate::clock;
use crate::exchange::deadlines::Elapsed;
use crate::exchange::{Exchange, Flow, Middleware, Response, Resume, Why};
use crate::http::{StatusCode, name};
use crate::telemetry::{Count, Gauge};

pub(super) use settings::KIND;

/// Lets so many exchanges be in flight at a time.
#[derive(Debug)]
struct ConcurrencyLimit(Arc<Gate>);

/// What an exchange goes through, at once or after it has waited.
#[derive(Debug)]
struct Gate {
    lanes: Arc<Lanes>,
    limit: Arc<Limit>,
    /// Whose lane; `None` for one lane for all.
    key: Option<Key>,
    queue: usize,
    queue_timeout: Duration,
    /// What a refused request is answered with.
    status: StatusCode,
    adaptive: Option<Adaptive>,
    policy: Arc<Policy>,
    in_flight: Gauge,
    queued: Count,
}

/// A limit that is found.
#[derive(Debug)]
struct Adaptive {
    learnt: Arc<Learnt>,
    range: Range,
    shown: Gauge,
}

/// What an exchange in flight holds. Dropped with the exchange, however that ends.
#[derive(Debug)]
struct InFlight {
    slot: Slot,
    since: Instant,
    counted: Gauge,
    worker: usize,
}

impl Middleware for ConcurrencyLimit {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let gate = &self.0;
        let key = match &gate.key {
            None => 0,
            Some(key) => match key.write(x, "") {
                Some(key) => request_key::hash(&key, gate.lanes.hasher()),
                None => return Flow::Continue,
            },
        };
        if !gate.policy.is_enforced() {
            return gate.watch(x, key);
        }
        match gate.lanes.ask(key, &gate.limit, gate.queue) {
            Asked::Given(slot) => gate.enter(x, slot),
            Asked::Full => gate.refuse(x, Why::QueueFull),
            Asked::Wait(slot) => Gate::wait(gate, x, slot),
        }
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        self.0.on_response(x, response);
    }
}

impl Middleware for Gate {
    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let Some(adaptive) = &self.adaptive else {
            return;
        };
        if let Some(in_flight) = x.held::<InFlight>(self) {
            let now = clock::precise_now();
            let took = now.saturating_duration_since(in_flight.since);
            let failed = response.why.is_some_and(is_want_of_time);
            let many = in_flight.slot.in_flight;
            let learnt = &adaptive.learnt;
            if let Some(limit) = learnt.observe(adaptive.range, now, took, many, failed) {
                adaptive.set(&self.limit, limit, x.locals.worker);
            }
        }
    }
}

impl Gate {
    fn enter(&self, x: &mut Exchange<'_>, slot: Slot) -> Flow {
        let worker = x.locals.worker;
        self.in_flight.add(worker, 1);
        let in_flight = InFlight {
            slot,
            since: clock::precise_now(),
            counted: self.in_flight.clone(),
            worker,
        };
        x.hold(self, in_flight);
        Flow::Continue
    }

    fn refuse(&self, x: &mut Exchange<'_>, why: Why) -> Flow {
        let refusal = Response::error(self.status, why).with(&name::RETRY_AFTER, "1");
        self.policy.refuse(x, refusal)
    }

    /// Takes a slot beyond the limit too, and notes that it was beyond. Who only watches lets
    /// nobody wait.
    fn watch(&self, x: &mut Exchange<'_>, key: u64) -> Flow {
        let slot = self.lanes.take(key, &self.limit);
        if slot.in_flight > self.limit.get() {
            self.policy.watch(x);
        }
        self.enter(x, slot)
    }

    /// Waits for a slot. A client that hangs up drops this, and with it its place in the queue.
    fn wait(gate: &Arc<Self>, x: &Exchange<'_>, slot: oneshot::Receiver<Slot>) -> Flow {
        gate.queued.add(x.locals.worker, 1);
        let deadline = x.locals.deadlines.register();
        deadline.set(gate.queue_timeout);
        let gate = Arc::clone(gate);
        Flow::Wait(Box::pin(async move {
            let waited = deadline.limit(slot).await;
            Box::new(move |x: &mut Exchange<'_>| match waited {
                Ok(Ok(slot)) => gate.enter(x, slot),
                Ok(Err(_)) | Err(Elapsed) => gate.refuse(x, Why::QueueTimeout),
            }) as Resume
        }))
    }
}

impl Adaptive {
    fn set(&self, limit: &Limit, most: usize, worker: usize) {
        let before = limit.set(most);
        self.shown.add(worker, signed(most) - signed(before));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counted.add(self.worker, -1);
    }
}

/// Whether an exchange failed because something behind it was too slow.
const fn is_want_of_time(why: Why) -> bool {
    matches!(
        why,
        Why::ConnectTimeout
            | Why::FirstByteTimeout
            | Why::IdleTimeout
            | Why::ExchangeTimeout
            | Why::Overloaded
    )
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
