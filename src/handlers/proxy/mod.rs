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
mod announce;
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
mod hops;
mod host;
mod incoming;
mod keys;
mod lease;
mod limits;
mod manner;
mod mirror;
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
mod shared;
mod split;
mod spool;
mod tally;
mod tls;
mod tunnel;
mod upstream;
mod upstream_settings;
mod via;
mod view;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use smallvec::SmallVec;

use self::announce::Announce;
use self::attempt::{Failure, Sending};
use self::budget::{Budget, Budgets};
use self::mirror::Mirror;
use self::outgoing::{Head, Outgoing};
use self::passage::{Passage, Spare, SpareBody};
use self::pool::Pool;
use self::replay::{Again, Record};
use self::request::{Outward, body_length, head, may_upgrade};
use self::retry::Retry;
use self::settings::Rewriting;
use self::split::{Lane, Split};
use self::spool::Buffering;
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
    split: Split,
    rewriting: Rewriting,
    retry: Retry,
    /// How long the first try of a request may be alone before another is made beside it.
    hedge: Option<Duration>,
    mirror: Option<Mirror>,
    buffering: Option<Buffering>,
    announce: Option<Announce>,
}

/// The body of a request as it will be sent.
enum Content {
    None,
    /// As it comes.
    Stream(Box<dyn BodyStream>),
    /// Again if need be.
    Again(Rc<dyn Again>),
}

impl Proxy {
    /// Passes the request on; the response that comes back, or why none did.
    pub(super) async fn handle(&self, x: &mut Exchange<'_>) -> Response {
        if is_loop(&x.request.headers) {
            return Response::error(StatusCode::LOOP_DETECTED, Why::LoopDetected);
        }
        if let Some(answer) = hops::count(x.request) {
            return answer;
        }
        let Some(picked) = self.split.pick(x) else {
            return Response::error(StatusCode::SERVICE_UNAVAILABLE, Why::NoEndpoint);
        };
        let mut response = self.pass(x, picked.lane).await;
        self.split.mark(&picked, x, &mut response);
        response
    }

    /// Passes the request on to this upstream.
    async fn pass(&self, x: &mut Exchange<'_>, lane: &Lane) -> Response {
        let pool: Rc<Pool> = x.locals.keep();
        let view = pool.view(&lane.upstream, x.locals);
        x.upstream = Some(Box::new(UpstreamTrail::new(&view.name)));
        let body = x.body.take();
        let announce = self.announce.or(lane.upstream.manner.announce);
        let keep = announce.is_none();
        let mut outward = Outward {
            rewriting: &self.rewriting,
            body: body_length(x.request, body.as_ref().map(|body| body.length())),
            // What shares its connection cannot have it to itself.
            upgrade: !lane.upstream.manner.may_share() && may_upgrade(x.request, body.is_some()),
            expects: body.is_some() && x.request.headers.contains(&name::EXPECT),
            keep_alive: keep && lane.upstream.keep_alive.max_idle > 0,
        };
        let content = match self.copy(x, &outward, body) {
            None => Content::None,
            Some(body) => match self.content(x, &mut outward, body).await {
                Ok(content) => content,
                Err(why) => return unread(why),
            },
        };
        let head = head(pool.buffers.take(), x, &outward);
        let spare = self.spare(&head, &content, outward.body);
        let mut outgoing = Some(content.outgoing(head, &outward));
        let mut passage = Passage {
            upstream: &lane.upstream,
            sending: Sending {
                view: &view,
                pool: &pool,
                deadlines: &x.locals.deadlines,
                per_try: self.retry.per_try,
                affinity: view.affinity(x),
                idempotent: x.request.method.is_idempotent(),
                preface: announce.map(|announce| announce.preface(x)),
                started: x.started,
                inform: x.inform,
                trying: Cell::new(None),
            },
            rewriting: &self.rewriting,
            retry: &self.retry,
            hedge: self.hedge,
            budget: self.budget(x, &view),
            tally: &lane.tally,
            worker: x.locals.worker,
            upgrade: outward.upgrade,
            keep,
            spare,
            tried: SmallVec::new(),
        };
        match passage.pass(x, &mut outgoing).await {
            Ok(mut response) => {
                view.stick(x, &passage.sending.affinity, &mut response);
                response
            }
            Err(Failure::Client(why)) => unread(why),
            Err(failure) => {
                let why = failure.why();
                Response::error(status_of(why), why)
            }
        }
    }

    /// Has a copy sent to the mirror, if the route has one; the body to be passed on.
    fn copy(
        &self,
        x: &Exchange<'_>,
        outward: &Outward<'_>,
        body: Option<Box<dyn BodyStream>>,
    ) -> Option<Box<dyn BodyStream>> {
        let mirror = self.mirror.as_ref().filter(|_| !outward.upgrade);
        match mirror.filter(|mirror| mirror.wants(&x.locals.keep())) {
            None => body,
            Some(mirror) => {
                let copied = Outward {
                    expects: false,
                    keep_alive: true,
                    ..*outward
                };
                mirror.copy(x, head(Vec::new(), x, &copied), outward.body, body)
            }
        }
    }

    /// The body as it will be sent: taken in whole first, if the route says so.
    async fn content(
        &self,
        x: &Exchange<'_>,
        outward: &mut Outward<'_>,
        body: Box<dyn BodyStream>,
    ) -> Result<Content, Why> {
        let Some(buffering) = &self.buffering else {
            return Ok(if self.retry.body > 0 {
                Content::Again(Rc::new(Record::new(body, self.retry.body)))
            } else {
                Content::Stream(body)
            });
        };
        // Boxed, so that nobody else's future is larger for it.
        let taken = Box::pin(buffering.take(body, &x.locals.blocking)).await?;
        outward.expects = false;
        if !taken.has_trailers() {
            outward.body = BodyLength::Length(taken.length());
        }
        Ok(Content::Again(taken.shared()))
    }

    /// What the request is made of anew if it must be, if the route ever does.
    fn spare(&self, head: &Head, content: &Content, length: BodyLength) -> Option<Box<Spare>> {
        if self.retry.budget.is_none() && self.hedge.is_none() {
            return None;
        }
        let body = match content {
            Content::None => SpareBody::None,
            Content::Stream(_) => SpareBody::Gone,
            Content::Again(again) => SpareBody::Again(Rc::clone(again)),
        };
        Some(Box::new(Spare {
            head: head.clone(),
            length,
            body,
        }))
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

impl Content {
    /// The request as it goes out first.
    fn outgoing(self, head: Head, outward: &Outward<'_>) -> Outgoing {
        let mut outgoing = match self {
            Self::None => Outgoing::new(head, None, outward.body),
            Self::Stream(body) => Outgoing::new(head, Some(body), outward.body),
            Self::Again(again) => Outgoing::again(head, again, outward.body),
        };
        if outward.expects {
            outgoing.hold();
        }
        outgoing
    }
}

/// The client's body could not be had.
fn unread(why: Why) -> Response {
    let status = match why {
        Why::FileError => StatusCode::INTERNAL_SERVER_ERROR,
        Why::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    Response::error(status, why).closing()
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
