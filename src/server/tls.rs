//! The handshake of an encrypted connection: within a deadline, and not too many at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tracing::debug;

use super::connection::{Connection, LAST_CALL};
use crate::exchange::Why;
use crate::generation::{Failure, Tls};
use crate::sys::tls::{Error, HandshakeError, Session};
use crate::sys::transport::{More, Transport};

/// How many handshakes of a worker may be under way. A core does a few thousand of them a second,
/// and each takes two round trips of a tenth of a second: some hundreds are under way when all is
/// well. Each holds some ten KiB.
const UNDER_WAY_MAX: usize = 1024;

/// How long is waited for a client that speaks no TLS to read that.
const LINGER: Duration = Duration::from_secs(1);

/// What of it is read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// What a client is told that speaks HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: application/json\r\nContent-Length: 76\r\nConnection: close\r\n\r\n\
    {\"error\":\"this port speaks HTTPS: plain HTTP was sent, write https:// here\"}";

/// The handshakes of a worker that are under way, the oldest first.
///
/// When there are too many, the oldest ends: whoever floods a worker with handshakes that it
/// never finishes makes room for those that are finished in two round trips.
#[derive(Debug, Default)]
pub struct Handshakes {
    queue: RefCell<VecDeque<Rc<Turn>>>,
    under_way: Cell<usize>,
}

#[derive(Debug, Default)]
struct Turn {
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A handshake that is under way as long as this lives.
#[derive(Debug)]
struct UnderWay<'h> {
    all: &'h Handshakes,
    turn: Rc<Turn>,
}

impl Handshakes {
    fn begin(&self) -> UnderWay<'_> {
        let mut queue = self.queue.borrow_mut();
        while queue.front().is_some_and(|turn| turn.over.get()) {
            queue.pop_front();
        }
        if self.under_way.get() >= UNDER_WAY_MAX
            && let Some(oldest) = queue.pop_front()
        {
            self.end(&oldest);
            if let Some(waker) = oldest.waker.take() {
                waker.wake();
            }
        }
        // Those that ended behind one that does not.
        if queue.len() > 2 * UNDER_WAY_MAX {
            queue.retain(|turn| !turn.over.get());
        }
        let turn = Rc::<Turn>::default();
        queue.push_back(Rc::clone(&turn));
        self.under_way.set(self.under_way.get() + 1);
        UnderWay { all: self, turn }
    }

    fn end(&self, turn: &Turn) {
        if !turn.over.replace(true) {
            self.under_way.set(self.under_way.get() - 1);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.end(&self.turn);
    }
}

impl UnderWay<'_> {
    /// Ready when another handshake took its place.
    fn poll_ousted(&self, cx: &Context<'_>) -> Poll<()> {
        if self.turn.over.get() {
            return Poll::Ready(());
        }
        self.turn.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Agrees with the client on how to encrypt; whether it did.
pub(super) async fn agree(connection: &Connection, tls: &Tls) -> bool {
    let Some(session) = connection.transport.session() else {
        return true;
    };
    let worker = connection.worker.locals.worker;
    connection.read_deadline.set(tls.handshake_timeout);
    let under_way = connection.worker.handshakes.begin();
    let done = poll_fn(|cx| poll_agreed(connection, &under_way, cx)).await;
    drop(under_way);
    let failure = match done {
        Ok(()) => {
            connection.read_deadline.clear();
            let facts = session.facts();
            let count = if facts.resumed {
                &tls.resumed
            } else {
                &tls.agreed
            };
            count.add(worker, 1);
            connection.info.tls.get_or_init(|| Rc::new(facts));
            return true;
        }
        Err(None) => Failure::Timeout,
        Err(Some(error)) => {
            let failure = failure(&error);
            if let HandshakeError::NotTls(sent) = error {
                tell_plain(connection, session, &sent).await;
            } else {
                let peer = connection.info.peer;
                debug!(?error, %peer, why = failure.as_str(), "a TLS handshake failed");
            }
            failure
        }
    };
    tls.count_failure(worker, failure);
    false
}

fn poll_agreed(
    connection: &Connection,
    under_way: &UnderWay<'_>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Option<HandshakeError>>> {
    if let Poll::Ready(done) = connection.transport.poll_handshake(cx) {
        return Poll::Ready(done.map_err(Some));
    }
    if connection.is_ending() {
        connection.read_deadline.shorten(LAST_CALL);
    }
    let over = connection.poll_give_up(cx, Why::HeaderTimeout).is_ready()
        || under_way.poll_ousted(cx).is_ready();
    if over {
        return Poll::Ready(Err(None));
    }
    Poll::Pending
}

fn failure(error: &HandshakeError) -> Failure {
    match error {
        HandshakeError::Broken(_) | HandshakeError::Gone => Failure::Gone,
        HandshakeError::NotTls(_) => Failure::NotTls,
        HandshakeError::Refused(error) => match error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Failure::Certificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Failure::Incompatible,
            _ => Failure::Refused,
        },
    }
}

/// Tells a client that speaks plain HTTP what is spoken here.
async fn tell_plain(connection: &Connection, session: &Session, sent: &[u8]) {
    let socket = session.socket();
    let is_http = sent.first().is_some_and(u8::is_ascii_uppercase);
    // A client that takes not even this much at once is not told.
    let told = is_http
        && socket
            .try_write(&[IoSlice::new(PLAIN_HTTP)], More::No)
            .is_ok();
    if !told || socket.shutdown_write().is_err() {
        return;
    }
    // Closed with something unread, a socket resets the connection before the client has read.
    connection.read_deadline.set(LINGER);
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|cx| poll_emptied(connection, socket, &mut left, cx)).await;
}

/// Ready when the client has ended, or has been waited for long enough.
fn poll_emptied(
    connection: &Connection,
    socket: &Transport,
    left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut thrown = Vec::with_capacity(4096);
    while *left > 0 {
        thrown.clear();
        match socket.poll_read(cx, &mut thrown) {
            Poll::Ready(Ok(count @ 1..)) => *left = left.saturating_sub(count),
            Poll::Ready(Ok(_) | Err(_)) => return Poll::Ready(()),
            Poll::Pending => {
                return connection.poll_give_up(cx, Why::ClientAbort).map(drop);
            }
        }
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handshake_makes_room() {
        let all = Handshakes::default();
        let mut under_way: Vec<_> = (0..UNDER_WAY_MAX).map(|_| all.begin()).collect();
        assert!(under_way.iter().all(|one| !one.turn.over.get()));
        under_way.push(all.begin());
        assert!(under_way[0].turn.over.get());
        assert!(!under_way[1].turn.over.get());
        under_way.truncate(2);
        for _ in 0..10 * UNDER_WAY_MAX {
            drop(all.begin());
        }
        assert_eq!(all.under_way.get(), 1);
        assert!(all.queue.borrow().len() <= 2 * UNDER_WAY_MAX + 1);
        assert!(!under_way[1].turn.over.get());
    }

    #[test]
    fn the_length_of_the_answer_is_right() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
