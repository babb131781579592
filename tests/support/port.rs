//! A port that is a test's own, for those that come back to it.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A port that nobody else gets, at any IPv4 address of this machine, as long as this lives.
///
/// A port that was found free and given back is anybody's: another test's listener, or just a
/// connection that leaves from another address, is in the way of `0.0.0.0`. So a socket stays bound
/// to it that does not listen: connections are refused; who asks for this very port with
/// `SO_REUSEADDR`, like the daemon and every listener of the standard library, gets it; and the
/// kernel gives it to nobody who asks for just any port.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    /// One that is free.
    pub(crate) fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        socket.bind(&anywhere.into()).unwrap();
        let bound = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            number: bound.port(),
            _bound: socket,
        }
    }

    /// This port of the loopback interface.
    pub(crate) fn address(&self) -> SocketAddr {
        self.at([127, 0, 0, 1])
    }

    /// This port of that address.
    pub(crate) fn at(&self, address: [u8; 4]) -> SocketAddr {
        SocketAddr::from((address, self.number))
    }
}
