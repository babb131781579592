//! Connections to endpoints.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::pool::IdleList;
use crate::exchange::{Deadline, Deadlines, Why};
use crate::handlers::address::Destination;
use crate::sys::transport::Transport;

/// How many addresses of one endpoint are tried for one request: each may take the whole
/// timeout.
const ADDRESSES_TRIED_MAX: usize = 3;

/// A connection to an endpoint, in use by one exchange. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    /// Its own, so that none is registered for a request.
    pub(super) deadline: Deadline,
    /// Where it goes when it is idle.
    pub(super) home: Rc<IdleList>,
    /// It has served an exchange before.
    pub(super) reused: bool,
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
) -> Result<Connection, ConnectError> {
    let deadline = deadlines.register();
    let mut failed = ConnectError {
        why: Why::NoEndpoint,
        error: None,
    };
    for home in lists.iter().take(ADDRESSES_TRIED_MAX) {
        deadline.set(timeout);
        match deadline.limit(open(&home.destination)).await {
            Ok(Ok(transport)) => {
                return Ok(Connection {
                    transport,
                    deadline,
                    home: Rc::clone(home),
                    reused: false,
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
