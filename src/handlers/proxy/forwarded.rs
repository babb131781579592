//! For whom, how and where a request came in: `X-Forwarded-*` and `Forwarded` (RFC 7239).

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::exchange::{ConnectionInfo, Exchange};
use crate::http::h1::encode::write_field;
use crate::http::{RequestHead, name};

/// What the upstream is told in `X-Forwarded-For`, `-Proto` and `-Host`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForwardedPolicy {
    /// The peer, behind what a trusted peer wrote; what any other wrote is dropped.
    #[default]
    Append,
    /// The peer, whatever it wrote.
    Replace,
    /// Nothing; what the client wrote is dropped too.
    Off,
}

/// What the upstream is told in `Forwarded`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StandardPolicy {
    /// The peer, behind what a trusted peer wrote; nothing if none did.
    #[default]
    Extend,
    /// The peer, behind what a trusted peer wrote.
    Append,
    /// The peer, whatever it wrote.
    Replace,
    /// Nothing; what the client wrote is dropped too.
    Off,
}

/// The scheme and the authority that the client used, as far as a trusted peer knows better.
pub(super) fn asked_for<'x>(x: &'x Exchange<'_>) -> (&'x [u8], &'x [u8]) {
    let said = |name| x.request.headers.get(name).filter(|_| x.trusted_peer);
    let authority = said(&name::X_FORWARDED_HOST).unwrap_or_else(|| x.request.authority_bytes());
    (x.scheme().as_bytes(), authority)
}

/// Writes `X-Forwarded-For`, `-Proto` and `-Host`.
pub(super) fn write_forwarded(out: &mut Vec<u8>, x: &Exchange<'_>, policy: ForwardedPolicy) {
    if policy == ForwardedPolicy::Off {
        return;
    }
    let (connection, request) = (x.connection, &*x.request);
    let believed = x.trusted_peer && policy == ForwardedPolicy::Append;
    let said = |name| request.headers.get_all(name).filter(|_| believed);
    // The peer of a unix socket has no address to tell.
    let peer = Some(connection.peer.ip()).filter(|ip| !ip.is_unspecified());
    let mut hops = said(&name::X_FORWARDED_FOR).peekable();
    if peer.is_some() || hops.peek().is_some() {
        out.extend_from_slice(b"X-Forwarded-For: ");
        write_list(out, hops);
        if let Some(ip) = peer {
            if !out.ends_with(b": ") {
                out.extend_from_slice(b", ");
            }
            write_ip(out, ip.to_canonical());
        }
        out.extend_from_slice(b"\r\n");
    }
    let scheme = if believed {
        x.scheme()
    } else {
        connection.scheme()
    };
    write_field(out, b"X-Forwarded-Proto", scheme.as_bytes());
    let host = request.authority_bytes();
    let host = said(&name::X_FORWARDED_HOST).next().unwrap_or(host);
    if !host.is_empty() {
        write_field(out, b"X-Forwarded-Host", host);
    }
}

/// Writes `Forwarded` (RFC 7239 §4).
pub(super) fn write_standard(out: &mut Vec<u8>, x: &Exchange<'_>, policy: StandardPolicy) {
    let believed =
        x.trusted_peer && matches!(policy, StandardPolicy::Extend | StandardPolicy::Append);
    let elements = x.request.headers.get_all(&name::FORWARDED);
    let mut elements = elements.filter(|_| believed).peekable();
    match policy {
        StandardPolicy::Off => return,
        StandardPolicy::Extend if elements.peek().is_none() => return,
        StandardPolicy::Extend | StandardPolicy::Append | StandardPolicy::Replace => {}
    }
    out.extend_from_slice(b"Forwarded: ");
    write_list(out, elements);
    if !out.ends_with(b": ") {
        out.extend_from_slice(b", ");
    }
    write_element(out, x.connection, x.request);
    out.extend_from_slice(b"\r\n");
}

/// Our own element.
fn write_element(out: &mut Vec<u8>, connection: &ConnectionInfo, request: &RequestHead) {
    out.extend_from_slice(b"for=");
    write_node(out, connection.peer);
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(connection.scheme().as_bytes());
    let host = request.authority_bytes();
    if !host.is_empty() {
        // A host holds no quote and no backslash; with a port or in brackets it is no token.
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
}

fn write_node(out: &mut Vec<u8>, peer: SocketAddr) {
    match peer.ip().to_canonical() {
        ip if ip.is_unspecified() => out.extend_from_slice(b"unknown"),
        ip @ IpAddr::V4(_) => write_ip(out, ip),
        ip @ IpAddr::V6(_) => {
            out.extend_from_slice(b"\"[");
            write_ip(out, ip);
            out.extend_from_slice(b"]\"");
        }
    }
}

fn write_list<'v>(out: &mut Vec<u8>, values: impl Iterator<Item = &'v [u8]>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value);
    }
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => write_ipv4(out, ip),
        // Writing to memory cannot fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

/// Asked of every request: without formatting machinery, and put down in one piece.
fn write_ipv4(out: &mut Vec<u8>, ip: Ipv4Addr) {
    let mut text = [0; "255.255.255.255.".len()];
    let mut end = 0;
    let mut put = |byte: u8| {
        text[end] = byte;
        end += 1;
    };
    for octet in ip.octets() {
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
        put(b'.');
    }
    out.extend_from_slice(&text[..end - 1]);
}
