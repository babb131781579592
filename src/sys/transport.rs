//! A connected byte stream, of either family or encrypted, with one waker a direction.
//!
//! Everything above sees only this type.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::tls::{Alpn, HandshakeError, Session};

/// A connected socket. Reading and writing take `&self`: one task may read while the same task
/// writes, without splitting the socket.
#[derive(Debug)]
pub enum Transport {
    /// TCP, IPv4 or IPv6.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
    /// Either of them, encrypted.
    Tls(Box<Session>),
}

/// Whether more will be written at once, so that the kernel may wait with a short packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// Nothing more for now: send what there is.
    No,
    /// More follows.
    Follows,
}

impl Transport {
    /// Reads once into the spare room of `buffer`. `Ok(0)`: the peer has ended its direction.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_read_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Reads once without waiting: `WouldBlock` if there is nothing. `buffer` must have room.
    ///
    /// A read that does not fill the room has emptied the socket (epoll(7), question 9), so the
    /// readiness is forgotten at once: the next read waits without asking the kernel again.
    pub fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        debug_assert!(buffer.capacity() > buffer.len(), "a read needs room");
        if let Self::Tls(session) = self {
            return session.try_read(buffer);
        }
        let room = buffer.capacity() - buffer.len();
        let mut emptied = None;
        let result = self.try_io(Interest::READABLE, || {
            let count = loop {
                match rustix::net::recv(self, spare_capacity(buffer), RecvFlags::empty()) {
                    Err(rustix::io::Errno::INTR) => {}
                    done => break done?.1,
                }
            };
            if count == 0 || count == room {
                return Ok(count);
            }
            emptied = Some(count);
            Err(io::ErrorKind::WouldBlock.into())
        });
        emptied.map_or(result, Ok)
    }

    /// Ready when a read would not block, as far as is known.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(session) => session.poll_read_ready(cx),
        }
    }

    /// Ready when a write would not block, as far as is known.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(session) => session.socket().poll_write_ready(cx),
        }
    }

    /// Whether the peer has reset the connection, looked up without taking bytes. A peer that
    /// only ended its direction has not: it may wait for our answer.
    pub fn is_reset(&self) -> bool {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(self, &mut byte[..], flags) {
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Whether nothing has come since the last read, neither bytes nor an end nor an error. The
    /// kernel is asked only if something may have come as far as is known, or if `ask` is set.
    pub fn is_quiet(&self, ask: bool) -> bool {
        if let Self::Tls(session) = self {
            return session.is_quiet(ask);
        }
        let peek = || {
            let mut byte = [0_u8; 1];
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            Ok(rustix::net::recv(self, &mut byte[..], flags)?)
        };
        let peeked = if ask {
            peek()
        } else {
            self.try_io(Interest::READABLE, peek)
        };
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes once, as much as the kernel takes. Tries first and waits only when it must.
    ///
    /// A write that had to wait is repeated with the same bytes, behind which others may have
    /// come: of an encrypted stream some may be on their way.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        more: More,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(slices, more) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Writes once without waiting. The kernel is asked whatever the reactor believes: a socket
    /// takes what is written to it, as a rule.
    pub fn try_write(&self, slices: &[IoSlice<'_>], more: More) -> io::Result<usize> {
        if let Self::Tls(session) = self {
            return session.try_write(slices, more);
        }
        let mut flags = SendFlags::NOSIGNAL;
        if more == More::Follows {
            flags |= SendFlags::MORE;
        }
        loop {
            let sent = match slices {
                [one] => rustix::net::send(self, one, flags),
                many => {
                    let mut control = rustix::net::SendAncillaryBuffer::default();
                    rustix::net::sendmsg(self, many, &mut control, flags)
                }
            };
            match sent {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return self.note_full(),
                done => return Ok(done?),
            }
        }
    }

    /// Tells the reactor that the kernel has no room, so that waiting for room waits.
    fn note_full<T>(&self) -> io::Result<T> {
        self.try_io(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()))
    }

    /// Sends up to `count` bytes of `file` from `offset`, which is moved on. `Ok(0)`: the file
    /// ends here.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        if let Self::Tls(session) = self {
            return session.poll_send_file(cx, file, offset, count);
        }
        loop {
            match rustix::fs::sendfile(self, file, Some(&mut *offset), count) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    drop(self.note_full::<()>());
                    ready!(self.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(Ok(done?)),
            }
        }
    }

    /// Ends our direction: the peer reads an end of file.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.end();
        if self.session().is_some_and(|session| !session.is_flushed()) {
            // The encrypted end is still to be sent, behind what the peer has yet to take; it
            // says the same.
            return Ok(());
        }
        match socket2::SockRef::from(self).shutdown(Shutdown::Write) {
            // The peer is gone already: there is no direction left to end.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Our own address; `None` for a unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(session) => session.socket().local_address(),
        }
    }

    /// Runs a system call on the socket if it is ready as far as is known, and forgets the
    /// readiness if the call would block.
    pub fn try_io<T>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, call),
            Self::Unix(stream) => stream.try_io(interest, call),
            Self::Tls(session) => session.socket().try_io(interest, call),
        }
    }

    /// Agrees with the peer on how to encrypt; nothing to be agreed on where nothing is
    /// encrypted. To be done before anything is read or written.
    ///
    /// # Errors
    /// Nothing could be agreed.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(session) => session.poll_handshake(cx),
        }
    }

    /// The session, if it is encrypted.
    pub const fn session(&self) -> Option<&Session> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(session) => Some(session),
        }
    }

    /// The protocol that was agreed on with the encryption, if any was.
    pub fn alpn(&self) -> Option<Alpn> {
        self.session().and_then(Session::alpn)
    }

    /// Tells the peer of an encrypted stream that its end is meant. Of others the end says so.
    pub fn end(&self) {
        if let Self::Tls(session) = self {
            // A peer that takes nothing more will not hear of the end either.
            drop(session.end());
        }
    }

    /// What was written is not whole: the end of an encrypted stream shall not look meant.
    pub fn cut(&self) {
        if let Self::Tls(session) = self {
            session.cut();
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(session) => session.socket().as_fd(),
        }
    }
}
