//! The reverse proxy: a request goes out to an endpoint of an upstream, its answer comes back.
//!
//! ```text
//!            Proxy::handle ── whose turn? ──▶ view (endpoints, balance) · pool · connect
//!                 │
//!   x.body ──▶ outgoing ──▶ ┌──────┐
//!   request ─▶ (head)       │ call │ both directions at the same time
//!              incoming ◀── └──────┘
//!                 │
//!              response ──▶ Body::Bytes (all is there) · body (a stream) · tunnel (a 101)
//! ```
//!
//! A connection goes back to the pool only at the clean end of an answer, with nothing left on
//! it in either direction. In every other case it is dropped, and dropping closes it.

mod admission;
mod attempt;
mod balance;
mod body;
mod budget;
mod buffers;
mod call;
mod chance;
mod connect;
mod edits;
mod endpoint;
mod fetch;
mod forwarded;
mod health;
mod incoming;
mod lease;
mod limits;
mod moved;
mod numbers;
mod outgoing;
mod passage;
mod pool;
mod replay;
mod request;
mod resolve;
mod response;
mod retry;
mod roster;
mod settings;
mod tally;
mod tunnel;
mod upstream;
mod upstream_settings;
mod via;
mod view;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::attempt::{Failure, Sending};
use self::budget::{Budget, Budgets};
use self::outgoing::{Head, Outgoing};
use self::passage::{Passage, Spare, SpareBody};
use self::pool::Pool;
use self::replay::{Again, Record};
use self::request::{Outward, body_length, head, may_upgrade};
use self::retry::Retry;
use self::settings::Rewriting;
use self::tally::Tally;
use self::via::is_loop;
use self::view::View;
use crate::clock;
use crate::exchange::{BodyStream, Exchange, Response, UpstreamTrail, Why};
use crate::http::h1::encode::BodyLength;
use crate::http::{StatusCode, name};

pub use fetch::fetcher;
pub use health::history::Change;
pub(super) use settings::KIND;
pub use upstream::{EndpointReport, Upstream};
pub use upstream_settings::UPSTREAM;

/// Passes requests on to an upstream.
#[derive(Debug)]
pub struct Proxy {
    upstream: Arc<Upstream>,
    rewriting: Rewriting,
    retry: Retry,
    /// How long the first try of a request may be alone before another is made beside it.
    hedge: Option<Duration>,
    tally: Tally,
}

impl Proxy {
    /// Passes the request on; the response that comes back, or why none did.
    pub(super) async fn handle(&self, x: &mut Exchange<'_>) -> Response {
        if is_loop(&x.request.headers) {
            return Response::error(StatusCode::LOOP_DETECTED, Why::LoopDetected);
        }
        let pool: Rc<Pool> = x.locals.keep();
        let view = pool.view(&self.upstream, x.locals);
        x.upstream = Some(Box::new(UpstreamTrail {
            upstream: Rc::clone(&view.name),
            ..UpstreamTrail::default()
        }));
        let body = x.body.take();
        let length = body_length(x.request, body.as_ref().map(|body| body.length()));
        let outward = Outward {
            rewriting: &self.rewriting,
            body: length,
            upgrade: may_upgrade(x.request, body.is_some()),
            expects: body.is_some() && x.request.headers.contains(&name::EXPECT),
            keep_alive: self.upstream.keep_alive.max_idle > 0,
        };
        let head = head(pool.buffers.take(), x, &outward);
        let (outgoing, spare) = self.outgoing(head, body, length, outward.expects);
        let mut passage = Passage {
            upstream: &self.upstream,
            sending: Sending {
                view: &view,
                pool: &pool,
                deadlines: &x.locals.deadlines,
                timeouts: self.upstream.timeouts,
                per_try: self.retry.per_try,
                affinity: view.affinity(x),
                idempotent: x.request.method.is_idempotent(),
                started: x.started,
                inform: x.inform,
                trying: Cell::new(None),
            },
            rewriting: &self.rewriting,
            retry: &self.retry,
            hedge: self.hedge,
            budget: self.budget(x, &view),
            chance: x.locals.keep(),
            tally: &self.tally,
            worker: x.locals.worker,
            upgrade: outward.upgrade,
            outgoing: Some(outgoing),
            spare,
            tried: SmallVec::new(),
        };
        match passage.pass(x).await {
            Ok(response) => response,
            Err(Failure::Client(why)) => Response::error(StatusCode::BAD_REQUEST, why).closing(),
            Err(failure) => {
                let why = failure.why();
                Response::error(status_of(why), why)
            }
        }
    }

    /// The request as it goes out first, and what it is made of anew if it must be.
    fn outgoing(
        &self,
        head: Head,
        body: Option<Box<dyn BodyStream>>,
        length: BodyLength,
        expects: bool,
    ) -> (Outgoing, Option<Spare>) {
        let spares = self.retry.budget.is_some() || self.hedge.is_some();
        let kept = spares.then(|| head.clone());
        let has_body = body.is_some();
        let (mut outgoing, body) = match body {
            Some(body) if self.retry.body > 0 => {
                let again: Rc<dyn Again> = Rc::new(Record::new(body, self.retry.body));
                let outgoing = Outgoing::again(head, Rc::clone(&again), length);
                (outgoing, SpareBody::Again(again))
            }
            body => {
                let left = if has_body {
                    SpareBody::Gone
                } else {
                    SpareBody::None
                };
                (Outgoing::new(head, body, length), left)
            }
        };
        if expects {
            outgoing.hold();
        }
        let spare = kept.map(|head| Spare { head, length, body });
        (outgoing, spare)
    }

    /// What retries of this upstream are counted against, if they are.
    fn budget(&self, x: &Exchange<'_>, view: &Rc<View>) -> Option<Rc<Budget>> {
        self.retry.budget?;
        let budgets: Rc<Budgets> = x.locals.keep();
        let budget = budgets.of(view);
        budget.request(clock::now());
        Some(budget)
    }
}

/// The status of a failure of the upstream (RFC 9110 §15.6).
const fn status_of(why: Why) -> StatusCode {
    match why {
        Why::NoEndpoint | Why::QueueFull | Why::QueueTimeout | Why::BreakerOpen => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Why::ConnectTimeout | Why::FirstByteTimeout | Why::IdleTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}
