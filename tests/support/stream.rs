//! What a wire is made of: a socket of either family, in the clear or encrypted.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use socket2::SockRef;

/// A connected stream that blocks.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    TlsServer(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::TlsServer(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
            Self::TlsServer(stream) => stream.read(bytes),
        }
    }

    /// Ends our direction.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
            Self::TlsServer(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }

    /// Has the peer read a reset once this is dropped.
    pub(super) fn reset(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Self::Tls(stream) => SockRef::from(&stream.sock).set_linger(Some(Duration::ZERO)),
            Self::TlsServer(stream) => SockRef::from(&stream.sock).set_linger(Some(Duration::ZERO)),
            // Closed with bytes unread, a unix socket resets by itself.
            Self::Unix(_) => Ok(()),
        }
    }

    /// Whether the kernel has something to read, or gets it within this time.
    pub(super) fn is_readable(&self, within: Duration) -> bool {
        let within = Timespec::try_from(within).unwrap();
        let polled = match self {
            Self::Tcp(stream) => poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&within)),
            Self::Unix(stream) => poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&within)),
            Self::Tls(stream) => poll(
                &mut [PollFd::new(&stream.sock, PollFlags::IN)],
                Some(&within),
            ),
            Self::TlsServer(stream) => poll(
                &mut [PollFd::new(&stream.sock, PollFlags::IN)],
                Some(&within),
            ),
        };
        polled.unwrap() > 0
    }

    /// How long reading and writing may block.
    pub(super) fn set_timeouts(&self, most: Duration) -> io::Result<()> {
        match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(most))?;
                stream.set_write_timeout(Some(most))
            }
            Self::Tcp(stream) => set_timeouts(stream, most),
            Self::Tls(stream) => set_timeouts(&stream.sock, most),
            Self::TlsServer(stream) => set_timeouts(&stream.sock, most),
        }
    }
}

fn set_timeouts(stream: &TcpStream, most: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(most))?;
    stream.set_write_timeout(Some(most))
}
