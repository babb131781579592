//! The answer of an upstream as a response of ours: what is kept, and how its body comes.

use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::attempt::Reply;
use super::body::{Start, UpstreamBody};
use super::call::Call;
use super::outgoing::Outgoing;
use super::pool::Pool;
use super::tunnel::Upgraded;
use super::upstream::{Timeouts, Upstream};
use super::via::response_via;
use crate::exchange::{Body, Response};
use crate::http::h1::ParseError;
use crate::http::h1::chunked::Decoder;
use crate::http::h1::framing::{Framing, response_framing};
use crate::http::name::NameSet;
use crate::http::{Headers, Method, RequestHead, StatusCode, Version, name};

/// What the answer belongs to.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a RequestHead,
    pub(super) upstream: &'a Upstream,
    /// The request asked to leave HTTP, and this was passed on.
    pub(super) upgrade: bool,
    /// The connection may serve another exchange.
    pub(super) keep: bool,
    pub(super) pool: Rc<Pool>,
}

/// Makes the response of a call whose answer has its head. `outgoing` is of no use afterwards:
/// its buffer is given back, or what is left of it is sent while the body comes.
///
/// # Errors
/// The answer cannot be trusted: its framing, its content as far as it has come, or a switch of
/// protocols that nobody asked for.
pub(super) fn respond(
    reply: Reply,
    outgoing: &mut Option<Outgoing>,
    asked: Asked<'_>,
) -> Result<Response, ParseError> {
    let call = match reply {
        Reply::Own(call) => call,
        Reply::Shared(call) => return call.respond(outgoing, &asked),
    };
    let head = &call.incoming.head;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(*call, outgoing.take(), asked);
    }
    let method = &asked.request.method;
    let framing = response_framing(method, head.status, head.version, &head.headers)?;
    let mut response = Response::new(head.status);
    if *method == Method::Head {
        response.head_length = told_length(head.status, head.version, &head.headers)?;
    }
    let persistent = asked.keep && is_persistent(head.version, &head.headers);
    body(&mut response, call, outgoing, asked, framing, persistent)?;
    Ok(response)
}

/// Whether the upstream wants the connection to go on (RFC 9112 §9.3).
fn is_persistent(version: Version, headers: &Headers) -> bool {
    if !headers.contains(&name::CONNECTION) {
        return version == Version::Http11;
    }
    !headers.has_token(&name::CONNECTION, "close")
        && (version == Version::Http11 || headers.has_token(&name::CONNECTION, "keep-alive"))
}

/// The length that the answer to a HEAD tells.
pub(super) fn told_length(
    status: StatusCode,
    version: Version,
    headers: &Headers,
) -> Result<Option<u64>, ParseError> {
    Ok(
        match response_framing(&Method::Get, status, version, headers)? {
            Framing::Length(length) => Some(length),
            Framing::None if headers.contains(&name::CONTENT_LENGTH) => Some(0),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        },
    )
}

/// Fills in fields and body. A body that has come whole already is taken at once, and the
/// connection is free again before a byte of it is sent.
fn body(
    response: &mut Response,
    call: Box<Call>,
    outgoing: &mut Option<Outgoing>,
    asked: Asked<'_>,
    framing: Framing,
    persistent: bool,
) -> Result<(), ParseError> {
    let Call {
        connection,
        mut incoming,
        refused,
        ..
    } = *call;
    let version = incoming.head.version;
    response.headers = std::mem::take(&mut incoming.head.headers);
    let sent = outgoing.as_ref().is_none_or(Outgoing::is_done);
    let reusable = persistent && !refused && framing != Framing::UntilClose;
    let Asked {
        request,
        upstream,
        pool,
        ..
    } = asked;
    if let Some(outgoing) = outgoing.as_mut().filter(|own| own.is_head_sent()) {
        pool.buffers.give(outgoing.take_head());
    }
    // An upload that goes on, and is wanted, needs someone to poll it.
    let awaits_upload = !sent && !refused && persistent && response.status.code() < 400;
    let whole = if awaits_upload {
        None
    } else {
        whole(incoming.rest(), framing)?
    };
    // RFC 9110 §6.5.1: to those who say that they take them.
    let trailers = whole.is_none()
        && request.version != Version::Http10
        && request.headers.contains(&name::TE)
        && request.headers.has_token(&name::TE, "trailers");
    clean(&mut response.headers, version, trailers);
    if let Some((content, clean_end)) = whole {
        response.body = content.into();
        if reusable && sent && clean_end {
            connection.keep();
        }
        pool.buffers.give(incoming.into_buffer());
        return Ok(());
    }
    let input = Bytes::copy_from_slice(incoming.rest());
    pool.buffers.give(incoming.into_buffer());
    response.body = Body::Stream(Box::new(UpstreamBody::new(Start {
        connection,
        input,
        framing,
        idle_timeout: upstream.timeouts.idle,
        upload: outgoing.take().filter(|_| !sent && !refused).map(Box::new),
        awaits_upload,
        reusable,
        trailers,
    })));
    Ok(())
}

/// The content, if all of it has come, and whether nothing stands behind it.
///
/// # Errors
/// Its coding is broken. Nothing has been sent yet, so that the client can be told.
fn whole(rest: &[u8], framing: Framing) -> Result<Option<(Bytes, bool)>, ParseError> {
    match framing {
        Framing::None => Ok(Some((Bytes::new(), rest.is_empty()))),
        Framing::Length(length) => Ok(usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .map(|(content, behind)| (Bytes::copy_from_slice(content), behind.is_empty()))),
        Framing::Chunked => whole_chunked(rest),
        Framing::UntilClose => Ok(None),
    }
}

fn whole_chunked(rest: &[u8]) -> Result<Option<(Bytes, bool)>, ParseError> {
    let mut decoder = Decoder::default();
    let mut content = Vec::new();
    let mut input = rest;
    while !input.is_empty() && !decoder.is_done() {
        let step = decoder.decode(input)?;
        content.extend_from_slice(input.get(step.data).unwrap_or_default());
        input = input.get(step.consumed..).unwrap_or_default();
    }
    // Trailers come behind a stream only.
    if !decoder.is_done() || decoder.trailers().is_some() {
        return Ok(None);
    }
    Ok(Some((content.into(), input.is_empty())))
}

/// What is about the upstream's connection only, whatever it says (RFC 9110 §7.6.1), and the
/// framing, which is told anew.
const OF_THE_CONNECTION: NameSet = NameSet::of(&[
    &name::CONNECTION,
    &name::CONTENT_LENGTH,
    &name::KEEP_ALIVE,
    &name::PROXY_AUTHENTICATE,
    &name::PROXY_AUTHORIZATION,
    &name::PROXY_CONNECTION,
    &name::TE,
    &name::TRANSFER_ENCODING,
    &name::UPGRADE,
]);

/// Takes out what was about the upstream's connection only, and signs.
pub(super) fn clean(headers: &mut Headers, version: Version, trailers: bool) {
    if headers.contains(&name::CONNECTION) {
        let options: SmallVec<[Box<[u8]>; 2]> =
            headers.list(&name::CONNECTION).map(Box::from).collect();
        headers.retain(|field, _| !options.iter().any(|own| own.eq_ignore_ascii_case(field)));
    }
    headers.remove_all(OF_THE_CONNECTION);
    if !trailers {
        headers.remove(&name::TRAILER);
    }
    headers.append(&name::VIA, response_via(version));
}

/// Leaves HTTP, if the client asked for it and for this protocol.
fn switch(
    call: Call,
    outgoing: Option<Outgoing>,
    asked: Asked<'_>,
) -> Result<Response, ParseError> {
    let Call {
        connection,
        mut incoming,
        ..
    } = call;
    let offered: Vec<&[u8]> = asked.request.headers.list(&name::UPGRADE).collect();
    let chosen = incoming.head.headers.list(&name::UPGRADE);
    let wanted = chosen
        .map(|protocol| offered.iter().any(|own| own.eq_ignore_ascii_case(protocol)))
        .reduce(|all, one| all && one);
    let mut outgoing = outgoing.filter(Outgoing::is_done);
    let (true, Some(true), Some(outgoing)) = (asked.upgrade, wanted, &mut outgoing) else {
        return Err(ParseError::StartLine);
    };
    let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS);
    response.headers = std::mem::take(&mut incoming.head.headers);
    let protocols: Vec<u8> = response
        .headers
        .list(&name::UPGRADE)
        .collect::<Vec<_>>()
        .join(&b", "[..]);
    clean(&mut response.headers, incoming.head.version, false);
    response.headers.append(&name::UPGRADE, protocols);
    let pool = asked.pool;
    let early = incoming.rest().to_vec();
    pool.buffers.give(outgoing.take_head());
    pool.buffers.give(incoming.into_buffer());
    let Timeouts { tunnel_idle, .. } = asked.upstream.timeouts;
    response.body = Body::Tunnel(Box::new(Upgraded {
        connection,
        early,
        idle_timeout: tunnel_idle,
        pool,
    }));
    Ok(response)
}
