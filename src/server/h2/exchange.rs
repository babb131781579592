//! One stream: its request, and the response to it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use h2::RecvStream;
use h2::server::SendResponse;
use tracing::debug;

use super::body::RequestBody;
use super::head;
use super::priority::Priority;
use super::respond::Respond;
use super::session::{Open, Session};
use super::tunnel;
use super::turns::Piece;
use super::write::{self, Sent};
use crate::clock;
use crate::exchange::client::{client_ip, is_within};
use crate::exchange::{Body, BodyStream, Exchange, Outcome, Random, Response};
use crate::http::h1::state::DRAINED_MAX;
use crate::http::target::Form;
use crate::http::{Method, RequestHead, StatusCode, name};
use crate::server::behind;
use crate::server::dispatch::{Answer, dispatch, refuse};
use crate::server::h1::ALLOWED;
use crate::server::h1_head::{Refusal, replace_if_body_failed};
use crate::server::snapshot::Snapshot;
use crate::server::worker::Phase;

/// How long content that nobody wanted may still come.
const DRAIN: Duration = Duration::from_secs(2);

/// A request that has come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) session: Rc<Session>,
    pub(super) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Piece>,
    pub(super) started: Instant,
}

/// Serves a request to its end.
pub(super) async fn serve(head: &mut RequestHead, asked: Asked) {
    let Asked {
        session,
        request,
        respond,
        started,
    } = asked;
    let _open = Open::new(&session);
    let connection = &*session.connection;
    let snapshot = connection.listening.snapshot();
    let respond = Rc::new(Respond::new(respond));
    let (parts, stream) = request.into_parts();
    let has_content = !stream.is_end_stream();
    let prepared = head::read(head, &parts, has_content, &snapshot.generation.limits);
    drop(parts);
    let mut raw = None;
    let (body, refusal) = match prepared {
        Ok(asked) if asked.tunnel => {
            let random = connection.worker.locals.keep::<Random>();
            let key = head::websocket_key([random.next(), random.next()]);
            head.headers.set(&name::SEC_WEBSOCKET_KEY, key);
            raw = Some(stream);
            (None, None)
        }
        Ok(asked) if has_content => {
            let body = RequestBody::new(&session, &snapshot, &respond, stream, asked);
            (Some(body), None)
        }
        Ok(_) => (None, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let progress = body.as_ref().map(|body| Rc::clone(body.progress()));
    let is_head = head.method == Method::Head;
    let priority = Priority::of(&head.headers);
    let mut x = begin(head, &session, &snapshot, &respond, body);
    x.started = started;
    let mut answer = answer(&session, &mut x, &snapshot, &respond, refusal).await;
    behind::start(&mut x, answer.route, &connection.worker, &snapshot);
    let unread = x.body.take().map(|mut unread| {
        unread.discard_received();
        unread
    });
    replace_if_body_failed(&mut answer.response, progress.as_deref());
    x.why = answer.response.why.or(x.why);
    if raw.is_some() {
        answer_tunnel(&mut answer.response);
    }
    let status = answer.response.status;
    let options = write::Options {
        session: &session,
        snapshot: &snapshot,
        respond: &respond,
        is_head,
        priority,
        time_limit: x.time_limit,
    };
    let sent = send(&mut answer.response, raw, &options).await;
    if sent.why.is_none() {
        session.wire.watch.borrow_mut().answered();
    }
    let received = progress.as_ref().map_or(0, |own| own.received.get());
    finish(&answer, &mut x, sent, status, received);
    if let (Some(unread), Some(progress)) = (unread, progress)
        && sent.why.is_none()
        && !progress.complete.get()
        && progress.failed.get().is_none()
    {
        drain(&session, unread).await;
    }
}

/// The exchange of a request that has come.
fn begin<'x>(
    head: &'x mut RequestHead,
    session: &'x Session,
    snapshot: &Snapshot,
    respond: &'x Respond,
    body: Option<RequestBody>,
) -> Exchange<'x> {
    let connection = &session.connection;
    let peer = connection.info.peer.ip();
    let trusted = &snapshot.generation.trusted_proxies;
    let now = clock::now();
    let mut x = Exchange::new(head, &connection.info, &connection.worker.locals, now);
    x.trusted_peer = is_within(peer, trusted);
    if x.trusted_peer {
        x.client_ip = client_ip(peer, &x.request.headers, trusted);
    }
    x.body_limit = body.as_ref().map(RequestBody::limit);
    x.body = body.map(|body| Box::new(body) as Box<dyn BodyStream>);
    x.generation = snapshot.generation.id;
    x.draining = connection.worker.phase.get() != Phase::Serving;
    x.phases.read = Some(now);
    x.inform = Some(respond);
    x
}

/// Sends a response; `raw` is the stream of a request for a tunnel.
async fn send(
    response: &mut Response,
    raw: Option<RecvStream>,
    options: &write::Options<'_>,
) -> Sent {
    match (raw, std::mem::take(&mut response.body)) {
        (Some(stream), Body::Tunnel(tunnel)) => match write::open(response, options) {
            // Boxed, so that others have no room for it.
            Ok(writer) => Box::pin(tunnel::carry(options.session, tunnel, stream, writer)).await,
            Err(sent) => sent,
        },
        (_, body) => {
            response.body = body;
            write::write(response, options).await
        }
    }
}

/// The answer to a request for a tunnel: 200 says that the stream is one (RFC 8441 §5), so nothing
/// else may.
fn answer_tunnel(response: &mut Response) {
    if matches!(response.body, Body::Tunnel(_)) {
        response.status = StatusCode::OK;
        response.headers.remove(&name::SEC_WEBSOCKET_ACCEPT);
    } else if response.status.is_success() {
        let reason = "no WebSocket is served here";
        *response = Response::error_text(StatusCode::NOT_IMPLEMENTED, reason);
    }
}

/// Reads what is left of content nobody wanted, for a while. The end of a stream whose content is
/// still on its way is a reset (RFC 9113 §8.1), and there are clients that then forget the answer
/// they have read.
async fn drain(session: &Session, mut unread: Box<dyn BodyStream>) {
    if unread.length().is_some_and(|left| left > DRAINED_MAX) {
        return;
    }
    let draining = async {
        let mut drained = 0;
        while drained <= DRAINED_MAX
            && let Some(Ok(piece)) = unread.chunk().await
        {
            drained += piece.len() as u64;
        }
    };
    let deadline = session.connection.worker.locals.deadlines.register();
    deadline.set(DRAIN);
    if deadline.limit(draining).await.is_err() {
        debug!(peer = %session.connection.info.peer, "reset a stream with unread content");
    }
}

async fn answer<'t>(
    session: &Session,
    x: &mut Exchange<'t>,
    snapshot: &'t Snapshot,
    respond: &Respond,
    refusal: Option<Refusal>,
) -> Answer<'t> {
    if let Some(refusal) = refusal {
        let connection = &session.connection;
        connection.worker.locals.counters.requests_refused.add(1);
        debug!(reason = refusal.reason, peer = %connection.info.peer, "refused a request");
        let mut response = Response::error_text(refusal.status, refusal.reason);
        response.why = Some(refusal.why);
        return refuse(x, snapshot, response).await;
    }
    if x.request.target.form() == Form::Asterisk {
        let response = Response::new(StatusCode::NO_CONTENT).with(&name::ALLOW, ALLOWED);
        return refuse(x, snapshot, response).await;
    }
    dispatch(x, snapshot, |cx| respond.poll_gone(session, cx)).await
}

fn finish(
    answer: &Answer<'_>,
    x: &mut Exchange<'_>,
    sent: Sent,
    status: StatusCode,
    received: u64,
) {
    if sent.why.is_some() {
        x.why = sent.why;
    }
    let outcome = Outcome {
        status: Some(status),
        body_sent: sent.body,
        body_received: received,
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
