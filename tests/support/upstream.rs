//! A scripted upstream: the test itself accepts, reads, answers, resets, when it wants to. What it
//! does not do is a stall; nothing here sleeps.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use socket2::{SockRef, Socket};

use super::port::Port;
use super::wire::Wire;
use super::{deadline, left};

/// A place that the daemon proxies to.
#[derive(Debug)]
pub(crate) struct Upstream {
    listener: Listener,
    /// As `servers` writes it.
    pub(crate) address: String,
}

#[derive(Debug)]
enum Listener {
    /// With its port, which stays taken while the test has it, or one beside it.
    Tcp(TcpListener, Arc<Port>),
    Unix(UnixListener),
}

/// A connection that the daemon made. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Peer(Wire);

/// A request as the upstream sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The head, byte by byte, with the empty line that ends it.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Upstream {
    /// On a free port of the loopback interface.
    pub(crate) fn tcp() -> Self {
        Self::at(Port::reserve())
    }

    /// At this port, where one was before.
    pub(crate) fn at(port: Port) -> Self {
        Self {
            address: port.address().to_string(),
            listener: Listener::Tcp(TcpListener::bind(port.address()).unwrap(), Arc::new(port)),
        }
    }

    /// Another one at the same port of that address.
    pub(crate) fn beside(&self, address: [u8; 4]) -> Self {
        let Listener::Tcp(_, port) = &self.listener else {
            panic!("{} has no port", self.address);
        };
        let address = port.at(address);
        Self {
            listener: Listener::Tcp(TcpListener::bind(address).unwrap(), Arc::clone(port)),
            address: address.to_string(),
        }
    }

    /// Listens no more: connections are refused as long as the test has the port.
    pub(crate) fn stop(self) -> Port {
        match self.listener {
            Listener::Tcp(_, port) => Arc::into_inner(port).expect("nobody beside it"),
            Listener::Unix(_) => panic!("{} has no port", self.address),
        }
    }

    /// On a unix socket at this path.
    pub(crate) fn unix(path: &Path) -> Self {
        drop(fs::remove_file(path));
        Self {
            listener: Listener::Unix(UnixListener::bind(path).unwrap()),
            address: format!("unix:{}", path.display()),
        }
    }

    /// The next connection as a socket, of a TCP upstream.
    #[track_caller]
    pub(crate) fn accept_socket(&self) -> TcpStream {
        let Listener::Tcp(listener, _) = &self.listener else {
            panic!("no TCP upstream");
        };
        let left = left(deadline());
        SockRef::from(listener).set_read_timeout(left).unwrap();
        let accepted = listener.accept();
        accepted.expect("waited in vain for a connection").0
    }

    /// The next connection; waits for it.
    #[track_caller]
    pub(crate) fn accept(&self) -> Peer {
        self.try_accept().expect("waited in vain for a connection")
    }

    fn try_accept(&self) -> Option<Peer> {
        let left = left(deadline()).unwrap();
        let wire = match &self.listener {
            Listener::Tcp(listener, _) => {
                SockRef::from(listener)
                    .set_read_timeout(Some(left))
                    .unwrap();
                listener.accept().map(|(stream, _)| Wire::tcp(stream))
            }
            Listener::Unix(listener) => {
                SockRef::from(listener)
                    .set_read_timeout(Some(left))
                    .unwrap();
                listener.accept().map(|(stream, _)| Wire::unix(stream))
            }
        };
        wire.ok().map(Peer)
    }

    /// The next connection to any of these, and to which; waits for it.
    #[track_caller]
    pub(crate) fn accept_any(upstreams: &[&Self]) -> (Peer, usize) {
        let mut polled: Vec<PollFd<'_>> = upstreams
            .iter()
            .map(|upstream| match &upstream.listener {
                Listener::Tcp(listener, _) => PollFd::new(listener, PollFlags::IN),
                Listener::Unix(listener) => PollFd::new(listener, PollFlags::IN),
            })
            .collect();
        let left = left(deadline()).unwrap().try_into().unwrap();
        poll(&mut polled, Some(&left)).unwrap();
        let ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
        let index = polled.iter().position(ready);
        let index = index.expect("waited in vain for a connection");
        (upstreams[index].accept(), index)
    }

    /// Checks that no connection waits to be accepted.
    #[track_caller]
    pub(crate) fn expect_no_connection(&self) {
        let socket: SockRef<'_> = match &self.listener {
            Listener::Tcp(listener, _) => listener.into(),
            Listener::Unix(listener) => listener.into(),
        };
        socket.set_nonblocking(true).unwrap();
        let accepted: Result<Socket, _> = socket.accept().map(|(socket, _)| socket);
        socket.set_nonblocking(false).unwrap();
        let error = accepted.expect_err("nobody should have connected");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    /// Answers the requests of so many connections, each to its end, on a thread of its own. The
    /// requests, in the order in which the connections came.
    pub(crate) fn serve(
        self,
        connections: usize,
        answer: impl Fn(&Request) -> Vec<u8> + Send + 'static,
    ) -> JoinHandle<Vec<Request>> {
        let serve = move || {
            let mut requests = Vec::new();
            for _ in 0..connections {
                let mut peer = self.accept();
                while let Some(request) = peer.next_request() {
                    peer.send(answer(&request));
                    requests.push(request);
                }
            }
            requests
        };
        thread::Builder::new().spawn(serve).unwrap()
    }
}

impl Peer {
    /// A connection that was accepted.
    pub(crate) const fn new(wire: Wire) -> Self {
        Self(wire)
    }

    /// Reads a head: the exact bytes.
    #[track_caller]
    pub(crate) fn read_request_head(&mut self) -> String {
        String::from_utf8(self.0.read_until(b"\r\n\r\n")).unwrap()
    }

    /// Reads a request whole; `None` if the daemon has closed instead.
    #[track_caller]
    pub(crate) fn next_request(&mut self) -> Option<Request> {
        if !self.0.has_more() {
            return None;
        }
        let head = self.read_request_head();
        let field = |name: &str| {
            let lower = head.to_ascii_lowercase();
            lower.lines().find_map(|line| {
                line.strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(": "))
                    .map(str::to_owned)
            })
        };
        let body = if field("transfer-encoding").is_some() {
            self.0.read_chunked().0
        } else {
            let length = field("content-length").map_or(0, |length| length.parse().unwrap());
            self.0.read_bytes(length)
        };
        Some(Request { head, body })
    }

    /// Reads a request whole.
    #[track_caller]
    pub(crate) fn read_request(&mut self) -> Request {
        self.next_request().expect("a request, not the end")
    }

    /// A response with `Content-Length`.
    #[track_caller]
    pub(crate) fn respond(&mut self, status: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.0.reset();
    }

    /// The connection, for who speaks something else on it.
    pub(crate) fn into_wire(self) -> Wire {
        self.0
    }
}

impl Deref for Peer {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}
