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

mod balance;
mod body;
mod buffers;
mod call;
mod check;
mod connect;
mod edits;
mod endpoint;
mod fetch;
mod forwarded;
mod incoming;
mod lease;
mod moved;
mod outgoing;
mod pool;
mod request;
mod response;
mod settings;
mod tunnel;
mod upstream;
mod upstream_settings;
mod via;
mod view;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use self::call::{Call, CallError};
use self::connect::Connection;
use self::endpoint::EndpointId;
use self::incoming::Incoming;
use self::lease::Witness;
use self::moved::translate;
use self::outgoing::Outgoing;
use self::pool::Pool;
use self::request::{Outward, body_length, may_upgrade, write_head};
use self::response::{Asked, respond};
use self::settings::Rewriting;
use self::via::is_loop;
use self::view::{Refused, View};
use crate::clock;
use crate::exchange::{Exchange, Response, UpstreamTrail, Why};
use crate::http::StatusCode;
use crate::http::h1::encode::BodyLength;

pub use fetch::fetcher;
pub(super) use settings::KIND;
pub use upstream::Upstream;
pub use upstream_settings::UPSTREAM;

/// How many endpoints are tried for one request if they cannot be connected to. A third that
/// fails says more about the network than about endpoints.
const ENDPOINTS_TRIED_MAX: usize = 3;

/// Passes requests on to an upstream.
#[derive(Debug)]
pub struct Proxy {
    upstream: Arc<Upstream>,
    rewriting: Rewriting,
}

/// One request on its way through.
struct Passage<'p> {
    proxy: &'p Proxy,
    view: Rc<View>,
    pool: Rc<Pool>,
    length: BodyLength,
    upgrade: bool,
    /// Taken from try to try.
    outgoing: Option<Outgoing>,
}

/// Why a try came to nothing.
enum Failed {
    /// No connection: another endpoint may be tried.
    Connect(Refused),
    /// The client's body broke off.
    Client(Why),
    /// It is not safe, or of no use, to try again.
    Upstream(Why),
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
        let upgrade = may_upgrade(x.request, body.is_some());
        let mut passage = Passage {
            proxy: self,
            pool,
            view,
            length,
            upgrade,
            outgoing: Some(Outgoing::new(Vec::new(), body, length)),
        };
        match passage.pass(x).await {
            Ok(response) => response,
            Err(Failed::Client(why)) => Response::error(StatusCode::BAD_REQUEST, why).closing(),
            Err(Failed::Connect(Refused { why, .. }) | Failed::Upstream(why)) => {
                Response::error(status_of(why), why)
            }
        }
    }
}

/// The status of a failure of the upstream (RFC 9110 §15.6).
const fn status_of(why: Why) -> StatusCode {
    match why {
        Why::NoEndpoint => StatusCode::SERVICE_UNAVAILABLE,
        Why::ConnectTimeout | Why::FirstByteTimeout | Why::IdleTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

impl Passage<'_> {
    /// Tries endpoints until one answers, or the failure is not one that another could mend.
    async fn pass(&mut self, x: &mut Exchange<'_>) -> Result<Response, Failed> {
        let mut tried = SmallVec::<[EndpointId; ENDPOINTS_TRIED_MAX]>::new();
        let mut failed = Why::NoEndpoint;
        let view = Rc::clone(&self.view);
        let affinity = view.affinity(x);
        while tried.len() < ENDPOINTS_TRIED_MAX {
            let repeatable = self.is_repeatable(x);
            let refused = match view.lease(&affinity, &tried, repeatable).await {
                Ok(connection) => {
                    note_try(x, connection.lease.name());
                    match self.try_connection(x, connection).await {
                        Err(Failed::Connect(refused)) => refused,
                        done => return done,
                    }
                }
                Err(refused) => {
                    if let Some(endpoint) = &refused.endpoint {
                        note_try(x, &endpoint.name);
                    }
                    refused
                }
            };
            // Why the last one failed says more than that none is left.
            if refused.endpoint.is_some() || tried.is_empty() {
                failed = refused.why;
            }
            let Some(endpoint) = refused.endpoint else {
                break;
            };
            tried.push(endpoint.id);
        }
        Err(Failed::Upstream(failed))
    }

    /// Tries one endpoint: on the connection that was given, and once more on a new one if that
    /// was a kept one, had ended meanwhile, and the request can be sent again.
    async fn try_connection(
        &mut self,
        x: &mut Exchange<'_>,
        mut connection: Connection,
    ) -> Result<Response, Failed> {
        loop {
            let began = clock::now();
            let mut call = self.call(x, connection);
            let result = call.answer(&self.proxy.upstream.timeouts).await;
            if call.connection.reused && Self::is_stale(x, &call, result) {
                let ended = self.take_back(call);
                connection = ended.renew().await.map_err(Failed::Connect)?;
                continue;
            }
            return match result {
                Ok(()) => self.answered(x, call, began),
                Err(error) => Err(failed(&call.connection.lease.witness(), error)),
            };
        }
    }

    /// Puts the request on a connection.
    fn call(&mut self, x: &mut Exchange<'_>, connection: Connection) -> Call {
        let elapsed = x.elapsed();
        trail(x, |trail| trail.connected = Some(elapsed));
        let upstream = &self.proxy.upstream;
        let buffers = &self.pool.buffers;
        let mut outgoing = self
            .outgoing
            .take()
            .unwrap_or_else(|| Outgoing::new(Vec::new(), None, self.length));
        let mut head = outgoing.take_head();
        if head.capacity() == 0 {
            head = buffers.take();
        }
        head.clear();
        let outward = Outward {
            rewriting: &self.proxy.rewriting,
            authority: connection.lease.authority(),
            body: self.length,
            upgrade: self.upgrade,
            keep_alive: upstream.keep_alive.max_idle > 0,
        };
        write_head(&mut head, x, &outward);
        outgoing.head = head;
        Call::new(connection, outgoing, Incoming::new(buffers.take()))
    }

    /// Whether the request may be sent a second time without asking anyone.
    fn is_repeatable(&self, x: &Exchange<'_>) -> bool {
        let has_body = self.outgoing.as_ref().is_some_and(Outgoing::has_body);
        x.request.method.is_idempotent() && !has_body
    }

    /// Whether a kept connection had ended before the request came, as far as one can tell, and
    /// the request may be sent again (RFC 9110 §9.2.2).
    fn is_stale(x: &Exchange<'_>, call: &Call, result: Result<(), CallError>) -> bool {
        let repeatable = x.request.method.is_idempotent() && !call.outgoing.has_body();
        let again = repeatable || call.outgoing.is_unsent();
        match result {
            Err(CallError::Unanswered) => again,
            // Said to an idle connection, and crossed by our request.
            Ok(()) => repeatable && call.incoming.head.status == StatusCode::REQUEST_TIMEOUT,
            Err(_) => false,
        }
    }

    /// Takes back what the next try needs of one that failed; the connection that had ended.
    fn take_back(&mut self, call: Call) -> Connection {
        let Call {
            connection,
            mut outgoing,
            incoming,
            ..
        } = call;
        outgoing.rewind();
        self.outgoing = Some(outgoing);
        self.pool.buffers.give(incoming.into_buffer());
        connection
    }

    fn answered(
        &self,
        x: &mut Exchange<'_>,
        call: Call,
        began: Instant,
    ) -> Result<Response, Failed> {
        let (elapsed, status) = (x.elapsed(), call.incoming.head.status);
        trail(x, |trail| {
            trail.first_byte = Some(elapsed);
            trail.status = Some(status.code());
        });
        let witness = call.connection.lease.witness();
        let asked = Asked {
            request: x.request,
            upstream: &self.proxy.upstream,
            upgrade: self.upgrade,
            pool: Rc::clone(&self.pool),
        };
        let mut response =
            respond(call, asked).map_err(|error| failed(&witness, CallError::BadHead(error)))?;
        witness.answered(status, clock::now().saturating_duration_since(began));
        let rewriting = &self.proxy.rewriting;
        translate(&mut response.headers, x, rewriting, witness.authority());
        rewriting.answers.fields.apply(&mut response.headers, x);
        Ok(response)
    }
}

/// What a failed call comes to; the endpoint is told.
fn failed(witness: &Witness, error: CallError) -> Failed {
    let (why, reason) = match error {
        CallError::Client(why) => return Failed::Client(why),
        CallError::Unanswered => (Why::UpstreamReset, "closed without an answer"),
        CallError::BadHead(error) => (Why::UpstreamBadHead, error.reason()),
        CallError::Upstream(why) => (why, "did not answer"),
    };
    witness.failed(why, reason);
    Failed::Upstream(why)
}

fn note_try(x: &mut Exchange<'_>, endpoint: &Rc<str>) {
    trail(x, |trail| {
        trail.tries += 1;
        trail.endpoint = Rc::clone(endpoint);
    });
}

fn trail(x: &mut Exchange<'_>, change: impl FnOnce(&mut UpstreamTrail)) {
    change(x.upstream.get_or_insert_default());
}
