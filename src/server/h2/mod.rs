//! HTTP/2 (RFC 9113): the engine is the h2 crate's, and what surrounds it is the house's own.
//!
//! One task a connection drives the engine; an exchange is a task only once it must wait. What a
//! request says is read as strictly as HTTP/1.1 is (`head`), what a client may cost is bounded
//! (`watch`, and the engine's own limits), and content goes out by urgency (`turns`).

mod body;
mod exchange;
mod fields;
mod head;
mod priority;
mod respond;
mod seat;
mod session;
mod supplies;
mod tunnel;
mod turns;
mod watch;
mod wire;
mod write;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;
use h2::server::{Builder, Handshake};
use tracing::debug;

use self::exchange::Asked;
use self::session::Session;
pub(super) use self::supplies::Supplies;
use self::turns::{Piece, Turns};
use self::wire::{Link, Wire};
use super::connection::Connection;
use super::h1;
use crate::clock;
use crate::exchange::Why;
use crate::generation::Limits;

/// What a client's first bytes are when it speaks HTTP/2 without having asked (RFC 9113 §3.3),
/// as far as an HTTP/1.1 reader comes with them.
pub(super) const PREFACE_START: &[u8] = b"PRI * HTTP/2.0";

/// How many resets of streams the engine remembers: frames that were on their way then are passed
/// over, not refused. As many as streams by default.
const RESETS_REMEMBERED: usize = 128;

/// How many streams a client may reset before they were looked at: in one packet, that is.
const RESETS_UNSEEN_MAX: usize = 64;

/// How many streams the engine may reset because the client broke the rules of one.
const ERRORS_MAX: usize = 256;

/// Bytes of one stream's content that the engine holds for a socket that is full. What may be
/// handed over is bounded for all streams together; this is for one that has them all.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a connection without streams may take to answer a goodbye: a round trip or two.
const GOODBYE: Duration = Duration::from_secs(1);

type Engine = h2::server::Connection<Link, Piece>;

/// Serves a connection to its end. `received` has come already, the preface included.
pub(super) async fn serve(connection: Rc<Connection>, received: Vec<u8>) {
    // Both boxed: what begins a connection is as large as what drives it from then on, and those
    // that wait for a request have no room for both.
    let Some(mut driver) = Box::pin(begin(&connection, received)).await else {
        return;
    };
    let ended = std::future::poll_fn(|cx| driver.poll(cx)).await;
    debug!(peer = %connection.info.peer, ?ended, "an HTTP/2 connection has ended");
    drop(driver);
    if ended == Ended::Closed {
        // The client shall read why, and not a reset.
        h1::linger(&connection).await;
    }
}

/// Waits for the preface; `None` if it has not come.
async fn begin(connection: &Rc<Connection>, received: Vec<u8>) -> Option<Box<Driver>> {
    let buffers = Rc::clone(&connection.worker.http2.buffers);
    let wire = Rc::new(Wire::new(connection, buffers, received));
    let session = Rc::new(Session {
        connection: Rc::clone(connection),
        wire: Rc::clone(&wire),
        turns: Rc::<Turns>::default(),
        open: Cell::new(0),
    });
    let limits = connection.listening.snapshot().generation.limits.clone();
    connection.read_deadline.set(limits.header_timeout);
    let mut handshake = builder(&limits).handshake(Link(wire));
    let engine = std::future::poll_fn(|cx| poll_handshake(&session, &mut handshake, cx)).await?;
    Some(Box::new(Driver {
        session,
        engine,
        limits,
        waiting: Waiting::Begun,
        ending: false,
        written: 0,
        blocked: false,
    }))
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    // RFC 9113 §6.5.2 counts 32 bytes a field beside name and value. Twice as much, so that it is
    // the house that refuses a head, with an answer and a line in the log.
    let fields = limits.headers + limits.request_line + 32 * limits.header_count;
    builder
        .max_header_list_size(u32::try_from(fields * 2).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.http2_streams)
        .initial_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .max_pending_accept_reset_streams(RESETS_UNSEEN_MAX)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

/// Ready with the engine once the preface has come; `None` if it has not.
fn poll_handshake(
    session: &Session,
    handshake: &mut Handshake<Link, Piece>,
    cx: &mut Context<'_>,
) -> Poll<Option<Engine>> {
    session.wire.begin_turn();
    if let Poll::Ready(engine) = Pin::new(handshake).poll(cx) {
        return Poll::Ready(engine.ok());
    }
    if let Poll::Ready(Err(_)) = session.wire.poll_flush(cx) {
        return Poll::Ready(None);
    }
    let given_up = session.connection.poll_give_up(cx, Why::HeaderTimeout);
    given_up.map(|_| None)
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Both sides have said goodbye, or we have said why not.
    Closed,
    /// There is nobody to say anything to.
    Gone,
}

/// What a connection waits for, if for anything that may take too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It has just begun.
    Begun,
    /// Exchanges are under way, which have deadlines of their own.
    Exchanges,
    /// The rest of a frame, or of a head, that is the n-th to have begun.
    Frame(u64),
    /// A request.
    Request,
    /// The client's goodbye.
    Goodbye,
}

/// Drives the engine of a connection.
struct Driver {
    session: Rc<Session>,
    engine: Engine,
    limits: Limits,
    waiting: Waiting,
    /// The client has been told that the connection ends.
    ending: bool,
    /// How much the kernel had taken when it was looked at last.
    written: u64,
    /// The write deadline is set.
    blocked: bool,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.session.wire.begin_turn();
        loop {
            if let Poll::Ready(ended) = self.poll_engine(cx) {
                return Poll::Ready(ended);
            }
            let flushed = self.session.wire.poll_flush(cx);
            if let Poll::Ready(Err(_)) = flushed {
                return Poll::Ready(Ended::Gone);
            }
            if self.session.connection.is_cut() {
                return Poll::Ready(Ended::Gone);
            }
            if let Poll::Ready(()) = self.poll_blocked(cx) {
                return Poll::Ready(Ended::Gone);
            }
            if self.session.wire.watch.borrow().is_flooded() {
                let connection = &self.session.connection;
                debug!(peer = %connection.info.peer, "a client floods");
                connection.worker.locals.counters.http2_floods.add(1);
                self.engine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                return self.poll_closed(cx);
            }
            if !self.ending && self.shall_end() {
                self.ending = true;
                self.engine.graceful_shutdown();
                continue;
            }
            match self.poll_waiting(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => match self.waiting {
                    Waiting::Request if !self.ending => {
                        self.ending = true;
                        self.engine.graceful_shutdown();
                    }
                    _ => {
                        self.engine.abrupt_shutdown(Reason::NO_ERROR);
                        return self.poll_closed(cx);
                    }
                },
            }
        }
    }

    /// Takes what requests there are; ready when the engine has ended.
    fn poll_engine(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        while let Some(accepted) = ready!(self.engine.poll_accept(cx)) {
            let (request, respond) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if error.is_io() => return Poll::Ready(Ended::Gone),
                Err(error) => {
                    let peer = self.session.connection.info.peer;
                    debug!(%peer, %error, "an HTTP/2 connection is in error");
                    return Poll::Ready(Ended::Closed);
                }
            };
            let connection = &self.session.connection;
            connection.requests.set(connection.requests.get() + 1);
            connection.worker.locals.counters.http2_streams.add(1);
            let asked = Asked {
                session: Rc::clone(&self.session),
                request,
                respond,
                started: clock::now(),
            };
            seat::serve_asked(&self.session, asked);
        }
        Poll::Ready(Ended::Closed)
    }

    /// Says goodbye at once: what the kernel takes of it now is what the client will know.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        match self.engine.poll_closed(cx) {
            Poll::Ready(_) => Poll::Ready(Ended::Closed),
            Poll::Pending => Poll::Ready(Ended::Gone),
        }
    }

    fn shall_end(&self) -> bool {
        let connection = &self.session.connection;
        let most = self.limits.requests_per_connection;
        connection.is_ending() || (most > 0 && connection.requests.get() >= most)
    }

    /// Ready when the kernel has taken nothing of what waits for it for too long.
    fn poll_blocked(&mut self, cx: &Context<'_>) -> Poll<()> {
        let wire = &self.session.wire;
        let deadline = self.session.connection.write_deadline();
        if !wire.is_blocked() {
            if std::mem::take(&mut self.blocked) {
                deadline.clear();
            }
            return Poll::Pending;
        }
        let written = wire.progress.get();
        if !std::mem::replace(&mut self.blocked, true) || written != self.written {
            self.written = written;
            deadline.set(self.limits.write_idle_timeout);
        }
        deadline.poll_past(cx)
    }

    /// Ready when what is waited for has not come in time.
    fn poll_waiting(&mut self, cx: &Context<'_>) -> Poll<()> {
        let midway = self.session.wire.watch.borrow().midway();
        let waiting = if let Some(number) = midway {
            Waiting::Frame(number)
        } else if self.session.open.get() > 0 || self.engine.has_streams() {
            Waiting::Exchanges
        } else if self.ending {
            Waiting::Goodbye
        } else {
            Waiting::Request
        };
        let deadline = &self.session.connection.read_deadline;
        if waiting != self.waiting {
            self.waiting = waiting;
            match waiting {
                Waiting::Begun | Waiting::Exchanges => deadline.clear(),
                Waiting::Frame(_) => deadline.set(self.limits.header_timeout),
                Waiting::Request => deadline.set(self.limits.keep_alive_timeout),
                Waiting::Goodbye => deadline.set(GOODBYE),
            }
        }
        // Polled whatever is waited for: a drain wakes who has asked.
        deadline.poll_past(cx)
    }
}
