//! One accepted socket: idle without a buffer, busy with one.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::error;

use super::h2::serve as serve_http2;
use super::proxy_protocol::introduce;
use super::snapshot::Listening;
use super::tls;
use super::worker::Worker;
use crate::exchange::{ConnectionInfo, Deadline, Inform, Why};
use crate::generation::Tls;
use crate::http::h1::encode::write_interim_head;
use crate::http::h1::state::{Event, State};
use crate::http::{Headers, StatusCode};
use crate::sys::tls::Alpn;
use crate::sys::transport::{More, Transport};

/// How much of interim responses may wait for a client that does not take them; what comes then
/// is dropped. One head of hints is of some KiB.
const INTERIM_MAX: usize = 64 * 1024;
/// What a read buffer starts with: a head of a browser and a small body fit.
pub const INPUT_START: usize = 8 * 1024;

/// Pieces up to this size are copied, so that a few bytes do not hold a whole buffer.
const COPIED_MAX: usize = 8 * 1024;

/// A connection. Everything here is small: ten thousand of these wait at the same time.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub transport: Rc<Transport>,
    /// Who is connected to what.
    pub info: ConnectionInfo,
    /// The worker it belongs to.
    pub worker: Rc<Worker>,
    /// The listener it came by.
    pub listening: Rc<Listening>,
    /// When to stop waiting for the client to send.
    pub read_deadline: Deadline,
    write_deadline: OnceCell<Deadline>,
    /// When the response that is being written must be out, if at any time.
    pub time_limit: Cell<Option<Instant>>,
    /// Bytes received and not yet used.
    pub input: RefCell<Input>,
    /// How many requests it has carried.
    pub requests: Cell<u64>,
    /// Interim responses to be written.
    interim: RefCell<Vec<u8>>,
    /// What has come is HTTP/2.
    pub switched: Cell<bool>,
}

/// The bytes received and not yet used.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
}

impl Connection {
    /// An accepted socket.
    pub fn new(
        transport: Transport,
        peer: SocketAddr,
        worker: Rc<Worker>,
        listening: Rc<Listening>,
    ) -> Rc<Self> {
        let local = transport.local_address().unwrap_or(UNKNOWN);
        worker.connection_opened();
        Rc::new(Self {
            info: ConnectionInfo {
                id: worker.next_connection(),
                peer,
                local,
                listener: listening.snapshot().name.clone(),
                secure: transport.session().is_some(),
                tls: OnceCell::new(),
                announced: None,
            },
            transport: Rc::new(transport),
            read_deadline: worker.locals.deadlines.register(),
            write_deadline: OnceCell::new(),
            time_limit: Cell::new(None),
            input: RefCell::default(),
            requests: Cell::new(0),
            interim: RefCell::default(),
            switched: Cell::new(false),
            worker,
            listening,
        })
    }

    /// The deadline of writing; most connections never block on a write and have none.
    pub fn write_deadline(&self) -> &Deadline {
        self.write_deadline
            .get_or_init(|| self.worker.locals.deadlines.register())
    }

    /// Whether it shall end with the exchange it is in: the worker drains.
    pub fn is_ending(&self) -> bool {
        !self.worker.phase.get().is_serving()
    }

    /// Whether every wait shall end because the drain time is up.
    pub fn is_cut(&self) -> bool {
        self.read_deadline.is_cut()
    }

    /// Reads more into the input. `timeout` is the word for a read deadline that has passed.
    pub fn poll_fill(&self, cx: &mut Context<'_>, timeout: Why) -> Poll<Result<usize, Why>> {
        let mut input = self.input.borrow_mut();
        input.make_room();
        if let Poll::Ready(done) = self.transport.poll_read(cx, &mut input.bytes) {
            return Poll::Ready(done.map_err(|_| Why::ClientAbort));
        }
        self.poll_give_up(cx, timeout).map(Err)
    }

    /// Reads up to `most` bytes into memory of their own, which who waits does not hold. The input
    /// must be empty.
    pub fn poll_piece(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        timeout: Why,
    ) -> Poll<Result<Bytes, Why>> {
        debug_assert!(
            self.input.borrow().is_empty(),
            "what came before comes first"
        );
        while self.transport.poll_read_ready(cx).is_ready() {
            let mut buffer = Vec::with_capacity(most);
            return Poll::Ready(match self.transport.try_read(&mut buffer) {
                Ok(1..) if buffer.len() <= COPIED_MAX => Ok(Bytes::copy_from_slice(&buffer)),
                Ok(1..) => Ok(buffer.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => Err(Why::ClientAbort),
            });
        }
        self.poll_give_up(cx, timeout).map(Err)
    }

    /// Reads what is there into the input; `None` if nothing is.
    pub fn try_fill(&self) -> Option<Result<usize, Why>> {
        let mut input = self.input.borrow_mut();
        input.make_room();
        match self.transport.try_read(&mut input.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            done => Some(done.map_err(|_| Why::ClientAbort)),
        }
    }

    /// Puts an interim response behind those that wait.
    pub fn push_interim(&self, response: &[u8]) {
        self.interim.borrow_mut().extend_from_slice(response);
    }

    /// Writes the interim responses that wait; ready when none does. Nothing else that is to be
    /// written may wait before them.
    pub fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<Result<(), Why>> {
        let mut interim = self.interim.borrow_mut();
        while !interim.is_empty() {
            let written = self
                .transport
                .poll_write(cx, &[IoSlice::new(&interim)], More::No);
            match ready!(written) {
                Ok(count @ 1..) => drop(interim.drain(..count)),
                Ok(_) | Err(_) => return Poll::Ready(Err(Why::ClientAbort)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is still to be written of interim responses.
    pub fn take_interim(&self) -> Vec<u8> {
        self.interim.take()
    }

    /// Ready when the client has reset the connection or the drain time is up. `watching` turns
    /// false once there is something else to be read, which hides a reset behind it.
    pub fn poll_gone(&self, watching: &mut bool, cx: &mut Context<'_>) -> Poll<Why> {
        if let Poll::Ready(why) = self.poll_give_up(cx, Why::ClientAbort) {
            return Poll::Ready(why);
        }
        if *watching && self.transport.poll_read_ready(cx).is_ready() {
            if self.transport.is_reset() {
                return Poll::Ready(Why::ClientAbort);
            }
            // More requests, or only the client's direction has ended: it still reads.
            *watching = false;
        }
        Poll::Pending
    }

    /// Ready when waiting for the client to send has lasted too long.
    pub fn poll_give_up(&self, cx: &Context<'_>, timeout: Why) -> Poll<Why> {
        if self.is_cut() {
            return Poll::Ready(Why::DrainTimeout);
        }
        self.read_deadline.poll_past(cx).map(|()| timeout)
    }
}

impl Inform for Connection {
    fn inform(&self, status: StatusCode, headers: &Headers) {
        let mut interim = self.interim.borrow_mut();
        if interim.len() < INTERIM_MAX {
            write_interim_head(&mut interim, status, headers);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // What dispatch does not catch, in a hook or a body that is pulled while it is written,
        // unwinds the connection's task, where the runtime catches it.
        if std::thread::panicking() {
            self.worker.locals.counters.panics.add(1);
            error!(peer = %self.info.peer, "a panic ended a connection");
        }
        self.worker.connection_closed();
    }
}

/// How long a connection that has not carried a request yet may take to send one while the
/// worker drains: a round trip or two.
pub const LAST_CALL: Duration = Duration::from_secs(1);

/// An end of a connection that has no address.
pub const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Serves a connection to its end: waits with a small future and no buffer, serves what comes
/// with a large one.
///
/// An encrypted one first agrees with its client, as the generation has it that it was accepted
/// under.
pub async fn serve(mut connection: Rc<Connection>, tls: Option<Arc<Tls>>) {
    let announced = connection.listening.snapshot().proxy_protocol.clone();
    if let Some(rules) = announced
        && !Box::pin(introduce(&mut connection, rules)).await
    {
        return;
    }
    // Boxed like what goes before: those that wait for a request have no room for it.
    if let Some(tls) = tls
        && !Box::pin(tls::agree(&connection, &tls)).await
    {
        return;
    }
    // RFC 8737 §3: it has seen what it came for, and nothing is said.
    if connection.transport.alpn() == Some(Alpn::Acme) {
        connection.transport.end();
        return;
    }
    let mut state = State::Idle;
    loop {
        let limits = &connection.listening.snapshot().generation.limits;
        connection.read_deadline.set(limits.keep_alive_timeout);
        let event = std::future::poll_fn(|cx| poll_begin(&connection, cx)).await;
        state = state.on(event);
        if state == State::Closed {
            connection.transport.end();
            return;
        }
        connection.read_deadline.clear();
        let mut desk = connection.worker.take_desk();
        state = desk.serve(&connection, state).await;
        connection.worker.give_desk(desk);
        if state == State::Closed {
            break;
        }
    }
    if connection.switched.get() {
        let received = connection.input.borrow_mut().take();
        // Boxed: those that stay with HTTP/1 have no room for it.
        Box::pin(serve_http2(connection, received)).await;
    }
}

/// Ready when there is something to read, or when the connection shall end without a word: idle
/// for too long, or draining.
fn poll_begin(connection: &Connection, cx: &mut Context<'_>) -> Poll<Event> {
    if let Poll::Ready(ready) = connection.transport.poll_read_ready(cx) {
        return Poll::Ready(ready.map_or(Event::Gone, |()| Event::Begun));
    }
    if connection.is_ending() {
        if connection.requests.get() > 0 {
            return Poll::Ready(Event::Gone);
        }
        // It was accepted a moment ago: its request may be on the way.
        connection.read_deadline.shorten(LAST_CALL);
    }
    connection
        .poll_give_up(cx, Why::HeaderTimeout)
        .map(|_| Event::Gone)
}

impl Input {
    /// The bytes.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// These many of them are used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Gives it memory to read into.
    pub fn lend(&mut self, memory: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = memory;
            self.start = 0;
        }
    }

    /// Takes the memory back if there is nothing in it.
    pub fn reclaim(&mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            std::mem::take(&mut self.bytes)
        } else {
            Vec::new()
        }
    }

    /// Takes what there is, and the memory with it.
    pub fn take(&mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let start = std::mem::take(&mut self.start);
        let mut taken = std::mem::take(&mut self.bytes);
        taken.drain(..start);
        taken
    }

    /// Makes room for a read: moves the bytes to the front, then grows. Who reads a head stops
    /// at its limits, who reads a body empties this first, so it does not grow beyond them.
    fn make_room(&mut self) {
        if self.bytes.len() < self.bytes.capacity() {
            return;
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        } else {
            self.bytes.reserve(INPUT_START);
        }
    }
}
