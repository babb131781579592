//! The connection loop: read a head, dispatch, write the response, again.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tracing::debug;

use super::behind;
use super::connection::Connection;
use super::desk::Buffers;
use super::dispatch::{Answer, dispatch, refuse};
use super::h1_body::{BodyProgress, RequestBody};
use super::h1_head::{Head, Refusal, prepare, read_head, replace_if_body_failed};
use super::h1_output;
use super::h1_write::{self, Sent};
use super::snapshot::Snapshot;
use super::worker::Phase;
use crate::clock;
use crate::exchange::client::{client_ip, is_within};
use crate::exchange::{BodyStream, Exchange, Inform, Outcome, Response, Why};
use crate::generation::Limits;
use crate::http::h1::state::{DRAINED_MAX, Event, State, Unread, is_persistent};
use crate::http::target::Form;
use crate::http::{Method, RequestHead, StatusCode, Version, name};

/// What is read and thrown away behind an error before the connection is closed, so that the
/// client reads the error and not a reset (RFC 9112 §9.6).
const LINGER_MAX: usize = 256 * 1024;
/// For how long.
const LINGER: Duration = Duration::from_secs(2);

/// What methods `OPTIONS *` tells of: all that handlers know.
pub(super) const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

/// Serves a connection that has something to read until it is idle again, or over.
pub async fn serve(connection: &Rc<Connection>, buffers: &mut Buffers, state: State) -> State {
    connection
        .input
        .borrow_mut()
        .lend(std::mem::take(&mut buffers.input));
    let state = exchanges(connection, buffers, state).await;
    buffers.input = connection.input.borrow_mut().reclaim();
    state
}

async fn exchanges(connection: &Rc<Connection>, buffers: &mut Buffers, mut state: State) -> State {
    loop {
        state = match read_head(connection, buffers).await {
            Head::Nothing => return state.on(Event::Nothing),
            Head::Gone => return state.on(Event::Gone),
            Head::Preface => {
                connection.switched.set(true);
                return State::Closed;
            }
            Head::Complete { started } => exchange(connection, buffers, started, state, None).await,
            Head::Refused { started, error } => {
                exchange(connection, buffers, started, state, Some(error)).await
            }
        };
        if state != State::Idle {
            break;
        }
        // The next head may be here already.
        state = state.on(Event::Begun);
    }
    if state == State::Lingering {
        let flushed = h1_output::flush(connection, &mut buffers.output).await;
        state = state.on(match flushed {
            Ok(()) => linger(connection).await,
            Err(_) => Event::Gone,
        });
    }
    state
}

/// One request and its response.
async fn exchange(
    connection: &Rc<Connection>,
    buffers: &mut Buffers,
    started: Instant,
    state: State,
    refused: Option<Refusal>,
) -> State {
    connection.requests.set(connection.requests.get() + 1);
    let snapshot = connection.listening.snapshot();
    let Buffers { head, output, .. } = buffers;
    let prepared = match refused {
        Some(refusal) => {
            head.clear();
            Err(refusal)
        }
        None => prepare(connection, head, &snapshot),
    };
    let (body, refusal) = match prepared {
        Ok(body) => (body, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let progress = body.as_ref().map(|body| Rc::clone(body.progress()));
    let state = state.on(match refusal {
        Some(_) => Event::Refused,
        None => Event::Parsed {
            keep: may_go_on(connection, head, &snapshot.generation.limits),
        },
    });
    let version = head.version;
    let is_head = head.method == Method::Head;
    let peer = connection.info.peer.ip();
    let trusted = &snapshot.generation.trusted_proxies;
    let mut x = Exchange::new(head, &connection.info, &connection.worker.locals, started);
    x.trusted_peer = is_within(peer, trusted);
    if x.trusted_peer {
        x.client_ip = client_ip(peer, &x.request.headers, trusted);
    }
    x.body_limit = body.as_ref().map(RequestBody::limit);
    x.body = body.map(|body| Box::new(body) as Box<dyn BodyStream>);
    x.generation = snapshot.generation.id;
    x.draining = connection.worker.phase.get() != Phase::Serving;
    x.phases.read = Some(clock::now());
    x.inform = (version == Version::Http11).then_some(&**connection as &dyn Inform);
    let mut answer = answer(connection, &mut x, &snapshot, refusal, output).await;
    behind::start(&mut x, answer.route, &connection.worker, &snapshot);
    let unread = take_unread(&mut x);
    replace_if_body_failed(&mut answer.response, progress.as_deref());
    x.why = answer.response.why.or(x.why);
    let state = state.on(Event::Answered {
        keep: !answer.response.close && !connection.is_ending(),
        unread: left_unread(progress.as_deref(), unread.as_deref()),
    });
    let options = h1_write::Options {
        version,
        is_head,
        keep: state.is_kept(),
        server: snapshot.generation.server_header.as_deref(),
    };
    let status = answer.response.status;
    connection.time_limit.set(x.time_limit);
    let sent = h1_write::write(connection, output, &mut answer.response, &options).await;
    connection.time_limit.set(None);
    let received = progress.map_or(0, |progress| progress.received.get());
    finish(&answer, &mut x, &sent, status, received);
    let state = state.on(sent.event);
    if state != State::Draining {
        return state;
    }
    // The client may be waiting for the answer before it sends the rest.
    state.on(match h1_output::flush(connection, output).await {
        Ok(()) => drain(connection, unread).await,
        Err(_) => Event::Gone,
    })
}

/// Whether the client and our limits want the connection to go on.
fn may_go_on(connection: &Connection, head: &RequestHead, limits: &Limits) -> bool {
    let most = limits.requests_per_connection;
    (most == 0 || connection.requests.get() < most) && is_persistent(head.version, &head.headers)
}

async fn answer<'t>(
    connection: &Rc<Connection>,
    x: &mut Exchange<'t>,
    snapshot: &'t Snapshot,
    refusal: Option<Refusal>,
    output: &mut Vec<u8>,
) -> Answer<'t> {
    if let Some(refusal) = refusal {
        connection.worker.locals.counters.requests_refused.add(1);
        debug!(reason = refusal.reason, peer = %connection.info.peer, "refused a request");
        let mut response = Response::error_text(refusal.status, refusal.reason).closing();
        response.why = Some(refusal.why);
        return refuse(x, snapshot, response).await;
    }
    if x.request.target.form() == Form::Asterisk {
        let response = Response::new(StatusCode::NO_CONTENT).with(&name::ALLOW, ALLOWED);
        return refuse(x, snapshot, response).await;
    }
    // Its reader will write a 100 past the output, which must not overtake what is in there.
    if x.body.is_some() && h1_output::flush(connection, output).await.is_err() {
        return refuse(
            x,
            snapshot,
            Response::error(StatusCode::BAD_REQUEST, Why::ClientAbort),
        )
        .await;
    }
    // While a body is being read its reader notices that the client has gone.
    let mut watching = x.body.is_none();
    dispatch(x, snapshot, |cx| {
        // The handler waits: answers to requests before this one shall not.
        match h1_output::poll_progress(connection, output, cx) {
            Err(why) => Poll::Ready(why),
            Ok(()) => connection.poll_gone(&mut watching, cx),
        }
    })
    .await
}

/// Content that nobody read, to be drained here, less what has come of it: while nothing has been
/// sent, content that is broken can still be answered as that.
fn take_unread(x: &mut Exchange<'_>) -> Option<Box<dyn BodyStream>> {
    let mut unread = x.body.take()?;
    unread.discard_received();
    Some(unread)
}

/// What is left of the content, which `unread` reads if nobody has taken it.
fn left_unread(progress: Option<&BodyProgress>, unread: Option<&dyn BodyStream>) -> Unread {
    let Some(progress) = progress.filter(|progress| !progress.complete.get()) else {
        return Unread::Nothing;
    };
    if progress.failed.get().is_some() || progress.expects_continue.get() {
        return Unread::Lost;
    }
    match unread.map(BodyStream::length) {
        Some(Some(left)) => Unread::Length(left),
        Some(None) => Unread::Chunked,
        None => Unread::Lost,
    }
}

/// Reads what is left of a body nobody wanted, to keep its connection.
async fn drain(connection: &Rc<Connection>, unread: Option<Box<dyn BodyStream>>) -> Event {
    let Some(mut body) = unread else {
        return Event::Enough;
    };
    let mut drained = 0;
    while drained <= DRAINED_MAX {
        match body.chunk().await {
            Some(Ok(piece)) => drained += piece.len() as u64,
            None => return Event::Drained,
            Some(Err(error)) => {
                // The answer has gone out: what is left to do is to read no further.
                let (reason, peer) = (error.0.as_str(), connection.info.peer);
                debug!(reason, %peer, "content behind an answer broke off");
                return Event::Enough;
            }
        }
    }
    debug!(peer = %connection.info.peer, "closed a connection with too much unread content");
    Event::Enough
}

fn finish(
    answer: &Answer<'_>,
    x: &mut Exchange<'_>,
    sent: &Sent,
    status: StatusCode,
    body_received: u64,
) {
    if sent.why.is_some() {
        x.why = sent.why;
    }
    let outcome = Outcome {
        status: Some(status),
        body_sent: sent.body,
        body_received,
        duration: if answer.is_heard() {
            // Read anew: the coarse clock stands still within a wake-up.
            clock::precise_now().saturating_duration_since(x.started)
        } else {
            Duration::ZERO
        },
        why: x.why,
    };
    answer.complete(x, &outcome);
}

/// Ends our direction and reads what the client still sends, for a while.
pub(super) async fn linger(connection: &Rc<Connection>) -> Event {
    if connection.transport.shutdown_write().is_err() {
        return Event::Gone;
    }
    connection.read_deadline.set(LINGER);
    let mut drained = 0;
    while drained < LINGER_MAX {
        let filled = std::future::poll_fn(|cx| connection.poll_fill(cx, Why::ClientAbort)).await;
        match filled {
            Ok(count) if count > 0 => {
                drained += count;
                let mut input = connection.input.borrow_mut();
                let all = input.filled().len();
                input.consume(all);
            }
            Ok(_) | Err(_) => return Event::Gone,
        }
    }
    Event::Enough
}
