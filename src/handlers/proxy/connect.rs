//! Connections to endpoints.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpStream, UnixStream};

use super::lease::Lease;
use super::numbers::Numbers;
use super::pool::IdleList;
use super::view::{EndpointView, Refused, View};
use crate::clock;
use crate::exchange::{Deadline, Why};
use crate::handlers::address::Destination;
use crate::sys::transport::{More, Transport};

/// A connection to an endpoint, in use by one exchange. Dropping it closes it;
/// [`Self::keep`] gives it back.
#[derive(Debug)]
pub(super) struct Connection {
    /// Stays where it is for as long as it is open: exchanges and pool hand on the box.
    opened: Box<Opened>,
    /// It has served an exchange before.
    pub(super) reused: bool,
    /// What this use of the endpoint counts, and whom to tell how it went.
    pub(super) lease: Lease,
}

/// A connection, whether anybody uses it or not.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) transport: Transport,
    /// Its own, so that none is registered for a request.
    pub(super) deadline: Deadline,
    pub(super) past: Past,
}

/// What a connection has been through.
#[derive(Debug)]
pub(super) struct Past {
    /// Where it goes when it is idle, as long as its endpoint is there.
    pub(super) home: Weak<IdleList>,
    pub(super) born: Instant,
    /// How many exchanges it has carried.
    pub(super) served: u32,
    /// Counts it as long as it is open.
    pub(super) counted: Counted,
}

/// One open connection, in the numbers of its endpoint.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) numbers: Arc<Numbers>,
    pub(super) worker: usize,
}

impl Counted {
    fn new(numbers: &Arc<Numbers>, worker: usize) -> Self {
        numbers.open.add(worker, 1);
        Self {
            numbers: Arc::clone(numbers),
            worker,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.numbers.open.add(self.worker, -1);
    }
}

impl Opened {
    /// In use from now on.
    pub(super) const fn lent(self: Box<Self>, lease: Lease, reused: bool) -> Connection {
        Connection {
            opened: self,
            reused,
            lease,
        }
    }
}

impl Connection {
    /// The connection, and the use of its endpoint.
    pub(super) fn apart(self) -> (Box<Opened>, Lease) {
        (self.opened, self.lease)
    }

    pub(super) const fn transport(&self) -> &Transport {
        &self.opened.transport
    }

    pub(super) const fn deadline(&self) -> &Deadline {
        &self.opened.deadline
    }

    /// Gives it back at the clean end of an answer, with nothing left on it in either direction;
    /// it is kept for another exchange, or closed if enough are kept.
    pub(super) fn keep(self) {
        let Self {
            mut opened, lease, ..
        } = self;
        opened.past.served = opened.past.served.saturating_add(1);
        lease.view.keep(opened);
    }

    /// A new connection in place of a kept one that had ended meanwhile: to the same endpoint,
    /// under the same lease.
    pub(super) async fn renew(self) -> Result<Self, Refused> {
        let Self { lease, .. } = self;
        lease.connect(&[]).await
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub(super) why: Why,
    /// For the log; none if the time was up.
    pub(super) error: Option<String>,
}

/// A new connection, within the upstream's timeout, on which this has been sent.
pub(super) async fn connect(
    view: &View,
    endpoint: &EndpointView,
    preface: &[u8],
) -> Result<Box<Opened>, ConnectError> {
    let deadline = view.deadlines.register();
    deadline.set(view.timeouts.connect);
    let destination = &endpoint.own.destination;
    let agreeing = Cell::new(false);
    let opening = async {
        let socket = open(destination, preface).await?;
        agreeing.set(true);
        let transport = match &view.manner.tls {
            None => socket,
            Some(tls) => tls.agree(socket, &endpoint.own.host).await?,
        };
        view.manner.check(&transport)?;
        Ok(transport)
    };
    match deadline.limit(opening).await {
        Ok(Ok(transport)) => Ok(Box::new(Opened {
            transport,
            deadline,
            past: Past {
                home: Rc::downgrade(&endpoint.idle),
                born: clock::now(),
                served: 0,
                counted: Counted::new(&endpoint.own.state.numbers, view.worker),
            },
        })),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectError {
            why: Why::ConnectTimeout,
            error: agreeing
                .get()
                .then(|| "the TLS handshake was not over in time".to_owned()),
        }),
    }
}

pub(super) async fn open(destination: &Destination, preface: &[u8]) -> io::Result<Transport> {
    let transport = open_socket(destination).await?;
    let mut left = preface;
    while !left.is_empty() {
        // More follows at once, so that the kernel may send both in one packet.
        let slices = [IoSlice::new(left)];
        let written = poll_fn(|cx| transport.poll_write(cx, &slices, More::Follows)).await?;
        left = left.get(written..).unwrap_or_default();
    }
    Ok(transport)
}

async fn open_socket(destination: &Destination) -> io::Result<Transport> {
    match destination {
        Destination::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            // Requests are written whole; waiting to fill a packet would only delay them.
            stream.set_nodelay(true)?;
            Ok(Transport::Tcp(stream))
        }
        Destination::Unix(path) => Ok(Transport::Unix(UnixStream::connect(path).await?)),
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => Why::ConnectRefused,
            io::ErrorKind::TimedOut => Why::ConnectTimeout,
            _ => Why::ConnectFailed,
        };
        Self {
            why,
            error: Some(error.to_string()),
        }
    }
}
