//! Connections to endpoints.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::lease::Lease;
use super::pool::IdleList;
use super::view::Refused;
use crate::exchange::{Deadline, Deadlines, Why};
use crate::handlers::address::Destination;
use crate::sys::transport::Transport;

/// How many addresses of one endpoint are tried for one request: each may take the whole
/// timeout.
const ADDRESSES_TRIED_MAX: usize = 3;

/// A connection to an endpoint, in use by one exchange. Dropping it closes it;
/// [`Self::keep`] gives it back.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    /// Its own, so that none is registered for a request.
    pub(super) deadline: Deadline,
    /// Where it goes when it is idle.
    pub(super) home: Rc<IdleList>,
    /// It has served an exchange before.
    pub(super) reused: bool,
    /// What this use of the endpoint counts, and whom to tell how it went.
    pub(super) lease: Lease,
}

/// A connection that nobody uses yet, or any more.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) transport: Transport,
    pub(super) deadline: Deadline,
    pub(super) home: Rc<IdleList>,
}

impl Opened {
    /// In use from now on.
    pub(super) fn lent(self, lease: Lease, reused: bool) -> Connection {
        let Self {
            transport,
            deadline,
            home,
        } = self;
        Connection {
            transport,
            deadline,
            home,
            reused,
            lease,
        }
    }
}

impl Connection {
    /// Gives it back at the clean end of an answer, with nothing left on it in either direction;
    /// it is kept for another exchange, or closed if enough are kept.
    pub(super) fn keep(self) {
        let Self {
            transport,
            deadline,
            home,
            lease,
            ..
        } = self;
        let opened = Opened {
            transport,
            deadline,
            home,
        };
        lease.view.keep(opened);
    }

    /// A new connection in place of a kept one that had ended meanwhile: to the same endpoint,
    /// under the same lease.
    pub(super) async fn renew(self) -> Result<Self, Refused> {
        let Self { lease, .. } = self;
        lease.connect().await
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub(super) why: Why,
    /// For the log; none if the time was up.
    pub(super) error: Option<io::Error>,
}

/// A new connection, to the first address that accepts one. Each may take `timeout`.
pub(super) async fn connect(
    lists: &[Rc<IdleList>],
    deadlines: &Rc<Deadlines>,
    timeout: Duration,
) -> Result<Opened, ConnectError> {
    let deadline = deadlines.register();
    let mut failed = ConnectError {
        why: Why::NoEndpoint,
        error: None,
    };
    for home in lists.iter().take(ADDRESSES_TRIED_MAX) {
        deadline.set(timeout);
        match deadline.limit(open(&home.destination)).await {
            Ok(Ok(transport)) => {
                return Ok(Opened {
                    transport,
                    deadline,
                    home: Rc::clone(home),
                });
            }
            Ok(Err(error)) => failed = error.into(),
            Err(_) => {
                failed = ConnectError {
                    why: Why::ConnectTimeout,
                    error: None,
                }
            }
        }
    }
    Err(failed)
}

async fn open(destination: &Destination) -> io::Result<Transport> {
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
            error: Some(error),
        }
    }
}
