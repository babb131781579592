//! Accepting: adopt a bound socket, take what comes, back off when descriptors run out.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::connection::{self, Connection};
use super::mailbox::Socket;
use super::snapshot::Listening;
use super::worker::Worker;
use crate::exchange::{Seldom, Why};
use crate::sys::shortage::shortage;
use crate::sys::tls;
use crate::sys::transport::{More, Transport};

/// The first and the longest pause after the kernel had no descriptor or memory for us. Short
/// enough to be back soon, long enough not to spin; doubled from the one to the other.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\nContent-Length: 31\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\n{\"error\":\"Service Unavailable\"}";

/// A listening socket of this worker.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

impl Acceptor {
    /// Makes a bound, non-blocking socket one of this runtime's.
    ///
    /// # Errors
    /// The reactor has no room for it.
    pub fn adopt(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Socket::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<(Transport, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Transport::Tcp(stream), peer))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Transport::Unix(stream), UNIX_PEER))
            }
        }
    }
}

/// The peer of a unix socket has no address.
const UNIX_PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How many queued connections are taken when a listener closes: as many as its backlog holds.
const QUEUE_MAX: usize = 4096;

/// Accepts until told to stop, then takes what the kernel has queued and closes.
pub async fn accept(
    acceptor: Acceptor,
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    stop: Rc<Notify>,
) {
    let mut pause = PAUSE_FIRST;
    let (failing, full) = (Seldom::default(), Seldom::default());
    let begin = |transport, peer| begin(transport, peer, &worker, &listening, &full);
    loop {
        let Some(accepted) = next(&acceptor, &stop).await else {
            break;
        };
        match accepted {
            Ok((transport, peer)) => {
                pause = PAUSE_FIRST;
                begin(transport, peer);
            }
            Err(error) if is_of_one_connection(&error) => {
                let listener = &listening.bind;
                debug!(%error, %listener, "a connection was gone before it was accepted");
            }
            Err(error) => {
                if failing.is_due() {
                    let listener = &listening.bind;
                    let short = shortage(&error).unwrap_or("no connection was taken");
                    warn!(%error, %listener, "cannot accept connections, backing off: {short}");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
        }
    }
    match take_queued(acceptor, begin) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            let listener = &listening.bind;
            debug!(%error, %listener, "cannot take what is queued for a listener that closes");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Takes what the kernel has queued. The reactor may not have heard of it yet, so the kernel
/// itself is asked; only what comes between its last answer and the close is reset.
fn take_queued(acceptor: Acceptor, mut begin: impl FnMut(Transport, SocketAddr)) -> io::Result<()> {
    match acceptor {
        Acceptor::Tcp(listener) => {
            let listener = listener.into_std()?;
            for _ in 0..QUEUE_MAX {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                begin(Transport::Tcp(TcpStream::from_std(stream)?), peer);
            }
        }
        Acceptor::Unix(listener) => {
            let listener = listener.into_std()?;
            for _ in 0..QUEUE_MAX {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                begin(Transport::Unix(UnixStream::from_std(stream)?), UNIX_PEER);
            }
        }
    }
    Ok(())
}

/// The next connection; `None` once told to stop.
async fn next(acceptor: &Acceptor, stop: &Notify) -> Option<io::Result<(Transport, SocketAddr)>> {
    let mut accept = pin!(acceptor.accept());
    let mut stopped = pin!(stop.notified());
    std::future::poll_fn(|cx| {
        // Asked first: however fast connections come, a listener that shall close does.
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        accept.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Whether the error is about the one connection that was to be accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

fn begin(
    transport: Transport,
    peer: SocketAddr,
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    full: &Seldom,
) {
    let counters = &worker.locals.counters;
    counters.connections_accepted.add(1);
    let snapshot = listening.snapshot();
    let most = snapshot.generation.limits.connections;
    if worker.open.get() >= most {
        counters.connections_refused.add(1);
        if full.is_due() {
            let refused = counters.connections_refused.get();
            let why = Why::TooManyConnections.as_str();
            warn!(why, most, refused, listener = %listening.bind, "refused a connection");
        }
        // Who was not agreed with cannot be told either.
        if snapshot.tls.is_none() {
            refuse(&transport);
        }
        return;
    }
    if let Transport::Tcp(stream) = &transport {
        // Without it small responses would wait for the client's delayed acknowledgements.
        // Fails only on a connection that is gone, which the first read will tell.
        drop(stream.set_nodelay(true));
    }
    let transport = match &snapshot.tls {
        None => transport,
        Some(tls) => match tls::server(transport, &tls.config) {
            Ok(transport) => transport,
            Err(error) => {
                let listener = &listening.bind;
                warn!(%error, ?listener, "cannot encrypt a connection");
                return;
            }
        },
    };
    let connection = Connection::new(transport, peer, Rc::clone(worker), Rc::clone(listening));
    tokio::task::spawn_local(connection::serve(connection, snapshot.tls.clone()));
}

/// 503 and close. What the client has sent is read first, so that closing does not reset the
/// connection before it has read the answer.
fn refuse(transport: &Transport) {
    let mut sent = Vec::with_capacity(4096);
    // Best effort on a connection that is refused: there is nobody to tell of a failure.
    drop(transport.try_io(tokio::io::Interest::READABLE, || Ok(())));
    drop(transport.try_read(&mut sent));
    drop(transport.try_write(&[IoSlice::new(OVERLOADED)], More::No));
    drop(transport.shutdown_write());
}
