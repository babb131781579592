//! Reading a request head, and what must hold before it is routed.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::desk::Buffers;
use super::h1_body::{BodyProgress, RequestBody};
use super::h1_output;
use super::h2::PREFACE_START;
use super::snapshot::Snapshot;
use crate::clock;
use crate::exchange::{Response, Why};
use crate::http::h1::ParseError;
use crate::http::h1::framing::{Framing, request_framing};
use crate::http::h1::head::HeadLimits;
use crate::http::{HeaderName, Headers, Method, RequestHead, StatusCode, Version, name};
use crate::sys::tls::Alpn;

/// What reading a head came to.
pub(super) enum Head {
    Complete {
        started: Instant,
    },
    /// Nothing there, and nothing begun.
    Nothing,
    /// The client has ended.
    Gone,
    /// No head: the client speaks HTTP/2.
    Preface,
    /// Refused, with the reason.
    Refused {
        started: Instant,
        error: Refusal,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
    pub(super) why: Why,
}

/// Reads a head. What is to be written is written before waiting.
pub(super) async fn read_head(connection: &Rc<Connection>, buffers: &mut Buffers) -> Head {
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
        if h1_output::flush(connection, &mut buffers.output)
            .await
            .is_err()
        {
            return Head::Gone;
        }
        let Some(begun) = started else {
            match connection.try_fill() {
                None => return Head::Nothing,
                Some(Ok(0) | Err(_)) => return Head::Gone,
                Some(Ok(_)) => continue,
            }
        };
        match fill_begun(connection, limits.header_timeout, begun).await {
            Ok(0) | Err(Why::ClientAbort) => return Head::Gone,
            Ok(_) => {}
            // An answer to nothing would be taken for one to the next request.
            Err(Why::HeaderTimeout) if !buffers.parser.has_begun() => return Head::Gone,
            Err(why) => {
                let error = Refusal {
                    status: StatusCode::REQUEST_TIMEOUT,
                    reason: "the request head did not come in time",
                    why,
                };
                let started = begun;
                return Head::Refused { started, error };
            }
        }
    }
}

/// Waits for more of a head that began at this time.
async fn fill_begun(
    connection: &Connection,
    timeout: Duration,
    begun: Instant,
) -> Result<usize, Why> {
    let mut armed = false;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(filled) = connection.poll_fill(cx, Why::HeaderTimeout) {
            return Poll::Ready(filled);
        }
        if !std::mem::replace(&mut armed, true) {
            let elapsed = clock::now().saturating_duration_since(begun);
            connection
                .read_deadline
                .set(timeout.saturating_sub(elapsed));
            // Set after the poll above, so registered by polling once more.
            return connection.poll_give_up(cx, Why::HeaderTimeout).map(Err);
        }
        Poll::Pending
    })
    .await
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
        Err(ParseError::Version) if is_preface(connection, input.filled()) => Some(Head::Preface),
        Err(error) => Some(Head::Refused {
            started,
            error: error.into(),
        }),
    }
}

/// Whether a connection begins with HTTP/2 (RFC 9113 §3.3). Looked at only where HTTP/1 would be
/// refused.
fn is_preface(connection: &Connection, received: &[u8]) -> bool {
    connection.requests.get() == 0
        && received.starts_with(PREFACE_START)
        && connection.listening.snapshot().protocols.http2
        && connection.transport.alpn() != Some(Alpn::Http1)
}

/// What must hold before a request is routed, and its body.
pub(super) fn prepare(
    connection: &Rc<Connection>,
    head: &mut RequestHead,
    snapshot: &Snapshot,
) -> Result<Option<RequestBody>, Refusal> {
    let refusal = |status, reason, why| {
        Err(Refusal {
            status,
            reason,
            why,
        })
    };
    if !snapshot.protocols.http1 {
        let reason = "only HTTP/2 is spoken here";
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        return refusal(status, reason, Why::BadVersion);
    }
    let framing = request_framing(head.version, &head.headers)?;
    if head.method == Method::Connect {
        let reason = "this server is no tunnel: CONNECT is not implemented";
        return refusal(StatusCode::NOT_IMPLEMENTED, reason, Why::BadMethod);
    }
    let limit = snapshot.generation.limits.body;
    let mut expects_continue = false;
    if let Some(expectation) = head.headers.get(&name::EXPECT) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            let reason = "the only expectation that can be met is 100-continue";
            return refusal(StatusCode::EXPECTATION_FAILED, reason, Why::BadExpectation);
        }
        // RFC 9110 §10.1.1: not for HTTP/1.0, not once content has come, not without content.
        expects_continue = head.version != Version::Http10
            && framing != Framing::None
            && connection.input.borrow().is_empty();
        if !expects_continue {
            // Whoever reads the field further in shall find that the client waits.
            head.headers.remove(&name::EXPECT);
        }
    }
    if head.headers.contains(&name::CONNECTION) {
        remove_hop_by_hop(&mut head.headers);
    }
    let body = RequestBody::new(connection, framing, limit);
    if let Some(body) = &body {
        body.progress().expects_continue.set(expects_continue);
    }
    Ok(body)
}

/// Fields of this connection that are read further in, so that they stay where a client names
/// them in `Connection`.
const OF_THE_CONNECTION: [&HeaderName; 6] = [
    &name::HOST,
    &name::CONTENT_LENGTH,
    &name::TRANSFER_ENCODING,
    &name::EXPECT,
    &name::UPGRADE,
    &name::TE,
];

/// Takes away the fields that `Connection` names, and their names in it (RFC 9110 §7.6.1).
///
/// Done before any middleware runs: otherwise a client could name a field that a middleware
/// sets, say who was authenticated, and whoever forwards the request would take it away.
fn remove_hop_by_hop(headers: &mut Headers) {
    let named = |token: &[u8]| {
        let name = HeaderName::from_bytes(token)?;
        let stays = name == name::CONNECTION || OF_THE_CONNECTION.contains(&&name);
        (!stays && headers.contains(&name)).then_some(name)
    };
    let gone: Vec<HeaderName> = headers.list(&name::CONNECTION).filter_map(named).collect();
    let is_option = |token: &&[u8]| {
        [&b"close"[..], b"keep-alive", b"upgrade", b"te"]
            .iter()
            .any(|known| token.eq_ignore_ascii_case(known))
    };
    let options: Vec<&[u8]> = headers.list(&name::CONNECTION).filter(is_option).collect();
    let options = options.join(&b", "[..]);
    for name in &gone {
        headers.remove(name);
    }
    if options.is_empty() {
        headers.remove(&name::CONNECTION);
    } else {
        headers.set(&name::CONNECTION, options);
    }
}

/// A body that broke its framing or its limits makes any answer to it void.
pub(super) fn replace_if_body_failed(response: &mut Response, progress: Option<&BodyProgress>) {
    let Some(why) = progress.and_then(|progress| progress.failed.get()) else {
        return;
    };
    let (status, reason) = match why {
        Why::BodyTooLarge => {
            *response = Response::body_too_large();
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(connection: &str, expected: &[&str]) {
        let mut headers = Headers::new();
        headers.append(&name::HOST, "a");
        headers.append(&name::CONNECTION, connection);
        headers.append(&name::KEEP_ALIVE, "timeout=5");
        headers.append(&name::COOKIE, "c");
        headers.append(&name::TE, "trailers");
        remove_hop_by_hop(&mut headers);
        let left: Vec<String> = headers
            .iter()
            .map(|(name, value)| {
                let (name, value) = (name.escape_ascii(), value.escape_ascii());
                format!("{name}: {value}")
            })
            .collect();
        assert_eq!(left, expected, "{connection}");
    }

    #[test]
    fn what_connection_names_is_gone_before_anyone_sees_it() {
        let (cookie, kept) = ("Cookie: c", "Keep-Alive: timeout=5");
        let (host, te) = ("Host: a", "TE: trailers");
        check("close", &[host, "Connection: close", kept, cookie, te]);
        check("Cookie", &[host, kept, te]);
        check("X-User, cookie, TE", &[host, "Connection: TE", kept, te]);
        check(
            "Keep-Alive, x y",
            &[host, "Connection: Keep-Alive", cookie, te],
        );
        check("host, connection", &[host, kept, cookie, te]);
    }
}
