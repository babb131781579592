//! The connection loop: read a head, dispatch, write the response, again.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tracing::debug;

use super::connection::{After, Buffers, Connection};
use super::dispatch::{Answer, dispatch, refuse};
use super::h1_body::{BodyProgress, RequestBody};
use super::h1_write::{self, Sent};
use super::snapshot::Snapshot;
use super::worker::Phase;
use crate::clock;
use crate::exchange::client::{client_ip, is_trusted};
use crate::exchange::{BodyStream, Exchange, Outcome, Params, Response, Why};
use crate::generation::Limits;
use crate::http::h1::ParseError;
use crate::http::h1::framing::{Framing, request_framing};
use crate::http::h1::head::HeadLimits;
use crate::http::target::Form;
use crate::http::{Method, StatusCode, Version, name};

/// What is read and thrown away of a body nobody asked for, to keep its connection: less than
/// this costs less than a new connection would.
const DRAINED_MAX: usize = 64 * 1024;
/// What is read and thrown away behind an error before the connection is closed, so that the
/// client reads the error and not a reset (RFC 9112 §9.6).
const LINGER_MAX: usize = 256 * 1024;
/// For how long.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// What methods `OPTIONS *` tells of: all that handlers know.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

/// Serves a connection that has something to read until it has nothing more.
pub async fn serve(connection: &Rc<Connection>) -> After {
    let mut buffers = connection.worker.take_buffers();
    connection
        .input
        .borrow_mut()
        .lend(std::mem::take(&mut buffers.input));
    let after = exchanges(connection, &mut buffers).await;
    buffers.input = connection.input.borrow_mut().reclaim();
    connection.worker.give_buffers(buffers);
    after
}

/// What reading a head came to.
enum Head {
    Complete {
        started: Instant,
    },
    /// Nothing there, and nothing begun.
    Idle,
    /// The client has ended.
    Closed,
    /// Refused, with the reason.
    Refused {
        started: Instant,
        error: Refusal,
    },
}

#[derive(Debug, Clone, Copy)]
struct Refusal {
    status: StatusCode,
    reason: &'static str,
    why: Why,
}

async fn exchanges(connection: &Rc<Connection>, buffers: &mut Buffers) -> After {
    loop {
        let next = match read_head(connection, buffers).await {
            Head::Idle => return After::Idle,
            Head::Closed => After::Close,
            Head::Complete { started } => exchange(connection, buffers, started, None).await,
            Head::Refused { started, error } => {
                exchange(connection, buffers, started, Some(error)).await
            }
        };
        if next == After::Close {
            if h1_write::flush(connection, &mut buffers.output)
                .await
                .is_ok()
            {
                linger(connection).await;
            }
            return After::Close;
        }
    }
}

/// Reads a head. What is to be written is written before waiting.
async fn read_head(connection: &Rc<Connection>, buffers: &mut Buffers) -> Head {
    let mut started = None;
    let snapshot = connection.listening.snapshot();
    let limits = &snapshot.generation.limits;
    let head_limits = HeadLimits {
        request_line: limits.request_line,
        headers: limits.headers,
        header_count: limits.header_count,
    };
    loop {
        if let Some(head) = parse_head(connection, buffers, &head_limits, &mut started) {
            return head;
        }
        if h1_write::flush(connection, &mut buffers.output)
            .await
            .is_err()
        {
            return Head::Closed;
        }
        let begun = started.is_some();
        let mut armed = false;
        let filled = std::future::poll_fn(|cx| {
            if let Poll::Ready(filled) = connection.poll_fill(cx, Why::HeaderTimeout) {
                return Poll::Ready(Some(filled));
            }
            if !begun {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut armed, true) {
                connection
                    .read_deadline
                    .set(limits.header_timeout.saturating_sub(elapsed(started)));
                if let Poll::Ready(why) = connection.poll_give_up(cx, Why::HeaderTimeout) {
                    return Poll::Ready(Some(Err(why)));
                }
            }
            Poll::Pending
        })
        .await;
        match (filled, started) {
            (None, _) => return Head::Idle,
            (Some(Ok(0) | Err(Why::ClientAbort)), _) | (Some(Err(_)), None) => {
                return Head::Closed;
            }
            (Some(Ok(_)), _) => {}
            (Some(Err(why)), Some(started)) => {
                let error = Refusal {
                    status: StatusCode::REQUEST_TIMEOUT,
                    reason: "the request head did not come in time",
                    why,
                };
                return Head::Refused { started, error };
            }
        }
    }
}

/// Parses what was received; `None` if more is needed.
fn parse_head(
    connection: &Connection,
    buffers: &mut Buffers,
    limits: &HeadLimits,
    started: &mut Option<Instant>,
) -> Option<Head> {
    let mut input = connection.input.borrow_mut();
    if input.is_empty() {
        return None;
    }
    let started = *started.get_or_insert_with(clock::now);
    match buffers
        .parser
        .parse(input.filled(), limits, &mut buffers.head)
    {
        Ok(Some(consumed)) => {
            input.consume(consumed);
            connection.read_deadline.clear();
            Some(Head::Complete { started })
        }
        Ok(None) => None,
        Err(error) => Some(Head::Refused {
            started,
            error: error.into(),
        }),
    }
}

fn elapsed(started: Option<Instant>) -> std::time::Duration {
    started.map_or_else(Default::default, |at| {
        clock::now().saturating_duration_since(at)
    })
}

/// One request and its response.
async fn exchange(
    connection: &Rc<Connection>,
    buffers: &mut Buffers,
    started: Instant,
    refused: Option<Refusal>,
) -> After {
    connection.requests.set(connection.requests.get() + 1);
    let snapshot = connection.listening.snapshot();
    let Buffers { head, output, .. } = buffers;
    let progress = Rc::new(BodyProgress::default());
    let prepared = match refused {
        Some(refusal) => {
            head.clear();
            Err(refusal)
        }
        None => prepare(connection, head, &snapshot, &progress),
    };
    let (body, refusal) = match prepared {
        Ok(body) => (body, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let framed = body.is_some();
    let persistent =
        refusal.is_none() && is_persistent(connection, head, &snapshot.generation.limits);
    let version = head.version;
    let is_head = head.method == Method::Head;
    let peer = connection.info.peer.ip();
    let trusted = &snapshot.generation.trusted_proxies;
    let mut x = Exchange {
        client_ip: client_ip(peer, &head.headers, trusted),
        trusted_peer: is_trusted(peer, trusted),
        request: head,
        body: body.map(|body| Box::new(body) as Box<dyn BodyStream>),
        connection: &connection.info,
        locals: &connection.worker.locals,
        route: "",
        params: Params::default(),
        request_id: None,
        generation: snapshot.generation.id,
        started,
        why: None,
        upstream: None,
        draining: connection.worker.phase.get() != Phase::Serving,
    };
    let mut answer = answer(connection, &mut x, &snapshot, refusal, framed).await;
    replace_if_body_failed(&mut answer.response, &progress);
    if answer.response.why.is_some() {
        x.why = answer.response.why;
    }
    // Taken so that a body nobody read can be drained here.
    let unread = x.body.take();
    let keep = persistent
        && !answer.response.close
        && connection.worker.phase.get() == Phase::Serving
        && connection.listening.is_current()
        && (!framed
            || progress.complete.get()
            || can_drain(connection, &progress, unread.as_deref()));
    let options = h1_write::Options {
        version,
        is_head,
        keep,
        server: snapshot.generation.server_header.as_deref(),
    };
    let status = answer.response.status;
    let sent = h1_write::write(connection, output, &mut answer.response, &options).await;
    let after = after(connection, &progress, unread, keep && sent.complete, framed).await;
    finish(&answer, &mut x, &sent, status, &progress);
    after
}

async fn answer<'t>(
    connection: &Rc<Connection>,
    x: &mut Exchange<'t>,
    snapshot: &'t Snapshot,
    refusal: Option<Refusal>,
    framed: bool,
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
    // While a body is being read its reader notices that the client has gone.
    let mut watching = !framed;
    dispatch(x, snapshot, |cx| poll_gone(connection, &mut watching, cx)).await
}

/// Ready when the client has reset the connection or the drain time is up.
fn poll_gone(connection: &Connection, watching: &mut bool, cx: &mut Context<'_>) -> Poll<Why> {
    if let Poll::Ready(why) = connection.poll_give_up(cx, Why::ClientAbort) {
        return Poll::Ready(why);
    }
    if *watching && connection.transport.poll_read_ready(cx).is_ready() {
        if connection.transport.is_reset() {
            return Poll::Ready(Why::ClientAbort);
        }
        // More requests, or only the client's direction has ended: it still reads.
        *watching = false;
    }
    Poll::Pending
}

/// What must hold before a request is routed, and its body.
fn prepare(
    connection: &Rc<Connection>,
    head: &crate::http::RequestHead,
    snapshot: &Snapshot,
    progress: &Rc<BodyProgress>,
) -> Result<Option<RequestBody>, Refusal> {
    let refusal = |status, reason, why| {
        Err(Refusal {
            status,
            reason,
            why,
        })
    };
    let framing = request_framing(head.version, &head.headers)?;
    if head.method == Method::Connect {
        let reason = "this server is no tunnel: CONNECT is not implemented";
        return refusal(StatusCode::NOT_IMPLEMENTED, reason, Why::BadMethod);
    }
    let limit = snapshot.generation.limits.body;
    if matches!(framing, Framing::Length(length) if length > limit) {
        let reason = "the content is larger than this server takes";
        return refusal(StatusCode::CONTENT_TOO_LARGE, reason, Why::BodyTooLarge);
    }
    if let Some(expectation) = head.headers.get(&name::EXPECT) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            let reason = "the only expectation that can be met is 100-continue";
            return refusal(StatusCode::EXPECTATION_FAILED, reason, Why::BadExpectation);
        }
        // RFC 9110 §10.1.1: not for HTTP/1.0, not once content has come, not without content.
        let wanted = head.version != Version::Http10
            && framing != Framing::None
            && connection.input.borrow().is_empty();
        progress.expects_continue.set(wanted);
    }
    Ok(RequestBody::new(connection, framing, limit, progress))
}

/// Whether the client and our limits want the connection to go on (RFC 9112 §9.3).
fn is_persistent(
    connection: &Connection,
    head: &crate::http::RequestHead,
    limits: &Limits,
) -> bool {
    let most = limits.requests_per_connection;
    if most != 0 && connection.requests.get() >= most {
        return false;
    }
    if !head.headers.contains(&name::CONNECTION) {
        return head.version != Version::Http10;
    }
    if head.headers.has_token(&name::CONNECTION, "close") {
        return false;
    }
    head.version != Version::Http10 || head.headers.has_token(&name::CONNECTION, "keep-alive")
}

/// A body that broke its framing or its limits makes any answer to it void.
fn replace_if_body_failed(response: &mut Response, progress: &BodyProgress) {
    let Some(why) = progress.failed.get() else {
        return;
    };
    let (status, reason) = match why {
        Why::BodyTooLarge => (
            StatusCode::CONTENT_TOO_LARGE,
            "the content is larger than this server takes",
        ),
        Why::BadChunk => (StatusCode::BAD_REQUEST, "the chunked coding is malformed"),
        Why::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the trailer fields are too large",
        ),
        Why::BodyTimeout | Why::BodyTooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            "the content did not come in time",
        ),
        _ => {
            response.close = true;
            return;
        }
    };
    *response = Response::error_text(status, reason).closing();
    response.why = Some(why);
}

/// Whether what is left of a body nobody read is little and on its way.
fn can_drain(
    connection: &Connection,
    progress: &BodyProgress,
    unread: Option<&dyn BodyStream>,
) -> bool {
    if progress.failed.get().is_some() || progress.expects_continue.get() {
        return false;
    }
    let here = connection.input.borrow().filled().len() as u64;
    match unread.map(BodyStream::length) {
        Some(Some(left)) => left <= here.max(DRAINED_MAX as u64),
        Some(None) => true,
        // A handler has it, or dropped it half-read.
        None => false,
    }
}

/// What the connection does behind an exchange.
async fn after(
    connection: &Rc<Connection>,
    progress: &BodyProgress,
    unread: Option<Box<dyn BodyStream>>,
    keep: bool,
    framed: bool,
) -> After {
    if !keep {
        return After::Close;
    }
    if framed && !progress.complete.get() {
        let Some(mut body) = unread else {
            return After::Close;
        };
        let mut drained = 0;
        while drained <= DRAINED_MAX {
            match body.chunk().await {
                Some(Ok(piece)) => drained += piece.len(),
                None => return After::Idle,
                Some(Err(_)) => return After::Close,
            }
        }
        debug!(peer = %connection.info.peer, "closed a connection with too much unread content");
        return After::Close;
    }
    After::Idle
}

fn finish(
    answer: &Answer<'_>,
    x: &mut Exchange<'_>,
    sent: &Sent,
    status: StatusCode,
    progress: &BodyProgress,
) {
    if sent.why.is_some() {
        x.why = sent.why;
    }
    let outcome = Outcome {
        status: Some(status),
        body_sent: sent.body,
        body_received: progress.received.get(),
        duration: clock::now().saturating_duration_since(x.started),
        why: x.why,
    };
    answer.complete(x, &outcome);
}

/// Ends our direction and reads what the client still sends, for a while.
async fn linger(connection: &Rc<Connection>) {
    if connection.transport.shutdown_write().is_err() {
        return;
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
            Ok(_) | Err(_) => return,
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        let why = match error {
            ParseError::Target => Why::BadTarget,
            ParseError::Version => Why::BadVersion,
            ParseError::TargetTooLong => Why::TargetTooLong,
            ParseError::FieldsTooLarge
            | ParseError::TooManyFields
            | ParseError::TrailersTooLarge => Why::HeadTooLarge,
            ParseError::HostMissing | ParseError::HostRepeated | ParseError::HostInvalid => {
                Why::BadHost
            }
            ParseError::BothFramings | ParseError::ContentLength | ParseError::TransferEncoding => {
                Why::BadFraming
            }
            ParseError::UnknownCoding => Why::UnknownCoding,
            ParseError::Chunk => Why::BadChunk,
            ParseError::StartLine
            | ParseError::Method
            | ParseError::LineEnd
            | ParseError::FieldName
            | ParseError::Fold
            | ParseError::NoColon
            | ParseError::FieldValue => Why::BadHead,
        };
        Self {
            status: error.status(),
            reason: error.reason(),
            why,
        }
    }
}
