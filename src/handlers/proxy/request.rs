//! The head that goes out to an upstream: what is kept of the client's, what is said anew.

use std::borrow::Cow;
use std::ops::Range;

use super::edits::Edits;
use super::forwarded::{write_forwarded, write_standard};
use super::host::told_host;
use super::outgoing::Head;
use super::settings::Rewriting;
use super::via::write_request_via;
use crate::exchange::Exchange;
use crate::http::h1::encode::{BodyLength, write_field, write_framing};
use crate::http::path::strip_prefix;
use crate::http::target::Form;
use crate::http::token::are_alike;
use crate::http::{Headers, Method, RequestHead, Version, name};

/// What the head is made of, beside the request itself.
#[derive(Debug)]
pub(super) struct Outward<'a> {
    pub(super) rewriting: &'a Rewriting,
    pub(super) body: BodyLength,
    /// The client asks to leave HTTP, and may.
    pub(super) upgrade: bool,
    /// The client waits for a 100 (Continue) before it sends content.
    pub(super) expects: bool,
    /// The connection will be kept.
    pub(super) keep_alive: bool,
}

/// What is done with a field of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes on as it is.
    Kept,
    /// It ends here: it is about this connection, or is said anew.
    Ends,
    /// It is believed only from a trusted peer.
    Forwarded,
    /// It goes on with a chunked body only.
    Trailer,
}

/// The request head, written into this buffer.
pub(super) fn head(mut out: Vec<u8>, x: &Exchange<'_>, outward: &Outward<'_>) -> Head {
    let request = &*x.request;
    let rewriting = outward.rewriting;
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    write_target(
        &mut out,
        request,
        &rewriting.strip_prefix,
        &rewriting.add_prefix,
    );
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = write_host(&mut out, told_host(rewriting, request));
    write_kept(
        &mut out,
        &request.headers,
        outward.body,
        &rewriting.request_fields,
    );
    write_forwarded(&mut out, x, rewriting.forwarded);
    write_standard(&mut out, x, rewriting.standard);
    rewriting.request_fields.write(&mut out, x);
    write_request_via(&mut out, request.version);
    if outward.expects {
        write_field(&mut out, b"Expect", b"100-continue");
    }
    write_connection(&mut out, &request.headers, outward);
    write_framing(&mut out, outward.body);
    out.extend_from_slice(b"\r\n");
    Head { bytes: out, host }
}

/// Writes `Host`; where the authority of the endpoint will stand, if that is what is told.
fn write_host(out: &mut Vec<u8>, told: Option<&[u8]>) -> Option<Range<usize>> {
    write_field(out, b"Host", told.unwrap_or_default());
    let end = out.len() - 2;
    told.is_none().then_some(end..end)
}

/// The head of a request of the server's own, its fields as they are but for those about the
/// connection and the framing.
pub(super) fn own_head(
    mut out: Vec<u8>,
    request: &RequestHead,
    body: BodyLength,
    keep_alive: bool,
) -> Head {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    write_target(&mut out, request, "", "");
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let asked_for = Some(request.authority_bytes()).filter(|host| !host.is_empty());
    let host = write_host(&mut out, asked_for);
    for (name, value) in request.headers.iter() {
        if matches!(fate(name), Fate::Kept | Fate::Forwarded) {
            write_field(&mut out, name, value);
        }
    }
    // Who asks itself shall notice.
    write_request_via(&mut out, request.version);
    if !keep_alive {
        write_field(&mut out, b"Connection", b"close");
    }
    write_framing(&mut out, body);
    out.extend_from_slice(b"\r\n");
    Head { bytes: out, host }
}

/// Whether the client asks to leave HTTP for something else, and may: HTTP/2 in the clear would
/// let it speak to the upstream past every rule that is held here.
pub(super) fn may_upgrade(request: &RequestHead, has_body: bool) -> bool {
    request.version != Version::Http10
        && !has_body
        && request.method == Method::Get
        && request.headers.contains(&name::UPGRADE)
        && request.headers.has_token(&name::CONNECTION, "upgrade")
        && !request
            .headers
            .list(&name::UPGRADE)
            .any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"))
}

/// The length that goes out with a request, by its body.
#[expect(
    clippy::option_option,
    reason = "no body, a body, a body whose length is known"
)]
pub(super) fn body_length(request: &RequestHead, body: Option<Option<u64>>) -> BodyLength {
    match body {
        Some(Some(length)) => BodyLength::Length(length),
        Some(None) => BodyLength::Chunked,
        // Those that mean content tell that there is none (RFC 9110 §8.6).
        None if matches!(request.method, Method::Post | Method::Put | Method::Patch) => {
            BodyLength::Length(0)
        }
        None => BodyLength::Untold,
    }
}

fn write_target(out: &mut Vec<u8>, request: &RequestHead, strip: &str, add: &str) {
    let target = &request.target;
    if target.form() == Form::Asterisk {
        out.push(b'*');
        return;
    }
    let path: Cow<'_, str> = target.upstream_path();
    let rest = strip_prefix(&path, strip).unwrap_or(&path);
    out.extend_from_slice(add.as_bytes());
    if rest.is_empty() && add.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(rest.as_bytes());
    if let Some(query) = target.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
}

fn write_kept(out: &mut Vec<u8>, headers: &Headers, body: BodyLength, edits: &Edits) {
    for (name, value) in headers.iter() {
        let kept = match fate(name) {
            // What the client named in `Connection` is gone since its head was read.
            Fate::Kept => true,
            Fate::Trailer => body == BodyLength::Chunked,
            Fate::Ends | Fate::Forwarded => false,
        };
        if kept && !edits.takes(name) && !is_shadow(name, headers) {
            write_field(out, name, value);
        }
    }
}

/// Whether a name with `_` stands beside its twin with `-`, which middleware may have set to what
/// is true: the application could not tell which is which.
fn is_shadow(name: &[u8], headers: &Headers) -> bool {
    memchr::memchr(b'_', name).is_some()
        && headers
            .iter()
            .any(|(other, _)| !other.eq_ignore_ascii_case(name) && are_alike(other, name))
}

/// By RFC 9110 §7.6.1, by length first: this is asked of every field of every request. What an
/// application would take for one of these is one.
fn fate(field: &[u8]) -> Fate {
    let is = |name: &[u8]| are_alike(field, name);
    let ends = match field.len() {
        2 => is(b"te"),
        4 => is(b"host"),
        6 => is(b"expect"),
        7 if is(b"trailer") => return Fate::Trailer,
        7 => is(b"upgrade"),
        9 if is(b"forwarded") => return Fate::Forwarded,
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length") || is(b"http2-settings"),
        15 if is(b"x-forwarded-for") => return Fate::Forwarded,
        16 if is(b"x-forwarded-host") => return Fate::Forwarded,
        16 => is(b"proxy-connection"),
        17 if is(b"x-forwarded-proto") => return Fate::Forwarded,
        17 => is(b"transfer-encoding"),
        18 => is(b"proxy-authenticate"),
        19 => is(b"proxy-authorization"),
        _ => false,
    };
    if ends { Fate::Ends } else { Fate::Kept }
}

/// The fields about our own connection to the upstream.
fn write_connection(out: &mut Vec<u8>, headers: &Headers, outward: &Outward<'_>) {
    // RFC 9110 §10.1.4: of all that TE may say, only this holds beyond one connection.
    let trailers = headers.contains(&name::TE) && headers.has_token(&name::TE, "trailers");
    if trailers {
        write_field(out, b"TE", b"trailers");
    }
    if outward.upgrade {
        for protocol in headers.get_all(&name::UPGRADE) {
            write_field(out, b"Upgrade", protocol);
        }
    }
    let options: &[u8] = match (outward.upgrade, trailers, outward.keep_alive) {
        (true, true, _) => b"Upgrade, TE",
        (true, false, _) => b"Upgrade",
        (false, true, true) => b"TE",
        (false, true, false) => b"close, TE",
        (false, false, true) => return,
        (false, false, false) => b"close",
    };
    write_field(out, b"Connection", options);
}

#[cfg(test)]
mod tests;
