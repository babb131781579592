//! The first bytes of a connection from a load balancer: whom it is from.
//!
//! Nothing behind the header is taken from the socket: whoever reads next, TLS or HTTP, finds it
//! as if the header had never been there.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tracing::{debug, warn};

use super::connection::{Connection, LAST_CALL, UNKNOWN};
use crate::exchange::{Announced, Why};
use crate::generation::ProxyProtocol;
use crate::http::proxy_protocol::{Ends, Header, HeaderError, parse};
use crate::sys::peek::{peek, take};

/// What is looked at at once, in bytes: with usual extensions a header has some hundred.
const PIECE: usize = 512;

/// Why a connection is not served.
enum Refused {
    /// What came is no header.
    Header(HeaderError),
    /// There is none to be waited for any more.
    Ended(Why),
}

/// Reads the header if the peer is one of those who send it, and makes the connection one from
/// whom it names. `false` if the connection shall not be served.
pub(super) async fn introduce(connection: &mut Rc<Connection>, rules: Arc<ProxyProtocol>) -> bool {
    if !rules.believes(connection.info.peer.ip()) {
        return true;
    }
    let limits = &connection.listening.snapshot().generation.limits;
    connection
        .read_deadline
        .set(rules.timeout.unwrap_or(limits.header_timeout));
    let mut received = Vec::new();
    let read = read(connection, &mut received).await;
    connection.read_deadline.clear();
    match read {
        Ok(header) => {
            apply(connection, header);
            true
        }
        Err(Refused::Header(HeaderError::Missing)) if !rules.required => true,
        // Balancers connect and close to see whether somebody listens.
        Err(Refused::Ended(why)) if received.is_empty() => {
            debug!(why = why.as_str(), peer = %connection.info.peer, "no PROXY header came");
            false
        }
        Err(refused) => {
            refuse(connection, &refused);
            false
        }
    }
}

/// The header. What belongs to it is put into `received`; more is not taken.
async fn read(connection: &Connection, received: &mut Vec<u8>) -> Result<Header, Refused> {
    loop {
        let known = received.len();
        received.reserve(PIECE);
        let looked_at = std::future::poll_fn(|cx| poll_look(connection, received, cx)).await;
        if looked_at.map_err(Refused::Ended)? == 0 {
            return Err(Refused::Ended(Why::BadProxyHeader));
        }
        let parsed = parse(received).map_err(Refused::Header)?;
        if let Some((_, end)) = parsed {
            received.truncate(end);
        }
        let new = received.get_mut(known..).unwrap_or_default();
        if take(&connection.transport, new).is_err() {
            return Err(Refused::Ended(Why::ClientAbort));
        }
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
    }
}

fn poll_look(
    connection: &Connection,
    received: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, Why>> {
    if let Poll::Ready(done) = poll_peek(connection, received, cx) {
        return Poll::Ready(done.map_err(|_| Why::ClientAbort));
    }
    if connection.is_ending() {
        connection.read_deadline.shorten(LAST_CALL);
    }
    let given_up = connection.poll_give_up(cx, Why::ProxyHeaderTimeout);
    given_up.map(Err)
}

fn poll_peek(
    connection: &Connection,
    received: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        match peek(&connection.transport, received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(connection.transport.poll_read_ready(cx))?;
            }
            done => return Poll::Ready(done),
        }
    }
}

/// From now on the connection is from whom the header names.
fn apply(connection: &mut Rc<Connection>, header: Header) {
    let Some(connection) = Rc::get_mut(connection) else {
        debug_assert!(false, "nobody else knows the connection yet");
        return;
    };
    let info = &mut connection.info;
    let sender = info.peer;
    match header.ends {
        Ends::Own => {}
        Ends::Tcp { from, to } => (info.peer, info.local) = (from, to),
        Ends::Unix => (info.peer, info.local) = (UNKNOWN, UNKNOWN),
    }
    let extensions = header
        .extensions
        .map_or_else(Default::default, |told| *told);
    info.secure |= extensions.tls.is_some();
    info.announced = Some(Box::new(Announced { sender, extensions }));
}

fn refuse(connection: &Connection, refused: &Refused) {
    let (why, reason) = match refused {
        Refused::Header(error) => (Why::BadProxyHeader, error.reason()),
        Refused::Ended(Why::BadProxyHeader) => (
            Why::BadProxyHeader,
            "the connection ended within its PROXY header",
        ),
        Refused::Ended(why) => (*why, "the PROXY header did not come whole"),
    };
    if let Some(counter) = connection.worker.locals.counters.whys.of(why.number()) {
        counter.add(1);
    }
    if connection.listening.refusals.is_due() {
        let (why, peer) = (why.as_str(), connection.info.peer);
        let listener = &*connection.info.listener;
        warn!(why, reason, %peer, listener, "closed a connection");
    }
}
