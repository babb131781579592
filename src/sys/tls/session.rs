//! A TLS session over a socket: reads and writes like one.
//!
//! A write is reported only when all of its ciphertext is with the kernel, as it would be of a
//! plain socket. Until then it must be repeated with the same bytes, behind which others may have
//! come: nothing a caller believes to be sent waits here.

mod state;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;

use super::Alpn;
use super::engine::{Engine, Write};
use super::facts::Facts;
use super::scratch::{self, ENCRYPTED};
use crate::sys::transport::{More, Transport};
use state::{Peer, State, failure};

/// How often a peer may send what nobody reads before that is noise: tickets come two or four at
/// a time.
const UNASKED_MAX: usize = 8;

/// A session, on either side of it.
pub struct Session {
    socket: Transport,
    /// Nobody shall believe that what was sent is whole.
    cut: Cell<bool>,
    state: RefCell<State>,
}

/// What ended a handshake.
#[derive(Debug)]
pub enum HandshakeError {
    /// The socket broke.
    Broken(io::Error),
    /// The peer went away.
    Gone,
    /// The peer speaks something else; what it has sent so far.
    NotTls(Vec<u8>),
    /// It cannot be agreed, or the peer is not who it should be.
    Refused(rustls::Error),
}

impl Session {
    pub(super) fn new(socket: Transport, engine: Engine) -> Self {
        Self {
            socket,
            cut: Cell::new(false),
            state: RefCell::new(State::new(engine)),
        }
    }

    /// The socket below.
    pub fn socket(&self) -> &Transport {
        &self.socket
    }

    /// Agrees with the peer. The last words of a server may leave with the first bytes that are
    /// written, or when something is waited for.
    ///
    /// # Errors
    /// Nothing could be agreed; the peer was told why.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            let mut state = self.state.borrow_mut();
            // What came early is answered early: that is what it is for.
            if !state.engine.common().is_handshaking() || state.early > 0 {
                return Poll::Ready(Ok(()));
            }
            match state.advance(&self.socket) {
                Ok(()) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(state.refused(error))),
            }
            let waited = if state.outgoing.is_empty() {
                self.socket.poll_read_ready(cx)
            } else {
                self.socket.poll_write_ready(cx)
            };
            ready!(waited).map_err(HandshakeError::Broken)?;
        }
    }

    /// The protocol that was agreed on, if any was.
    pub fn alpn(&self) -> Option<Alpn> {
        let state = self.state.borrow();
        state.engine.common().alpn_protocol().and_then(Alpn::named)
    }

    /// What is known once both sides have agreed. To be asked once: who asks keeps it.
    pub fn facts(&self) -> Facts {
        let mut state = self.state.borrow_mut();
        let greeting = state.greeting.take().map(|greeting| *greeting);
        let mut facts = Facts::new(state.engine.common(), greeting);
        if state.early > 0 && state.engine.common().is_handshaking() {
            let replayable = Rc::new(Cell::new(true));
            state.replayable = Some(Rc::clone(&replayable));
            facts.replayable = Some(replayable);
        }
        facts
    }

    /// What the peer did wrong, or said that we did, if that ended the session.
    pub fn failure(&self) -> Option<rustls::Error> {
        match &self.state.borrow().peer {
            Peer::Failed(error) => Some(error.clone()),
            Peer::Open | Peer::Ended | Peer::Truncated | Peer::Foreign => None,
        }
    }

    /// See [`Transport::try_read`].
    pub fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let before = buffer.len();
        loop {
            state.hand_over(buffer);
            if buffer.len() == before && state.peer == Peer::Open {
                let done = if state.stopped {
                    state.resume(&self.socket, buffer)
                } else {
                    state.receive(&self.socket, Some(buffer))
                };
                // What came in front of a mistake is read first.
                if buffer.len() == before {
                    done?;
                }
                continue;
            }
            let count = buffer.len() - before;
            return match &state.peer {
                _ if count > 0 => Ok(count),
                Peer::Open | Peer::Ended => Ok(0),
                Peer::Truncated => Err(io::ErrorKind::UnexpectedEof.into()),
                Peer::Foreign => Err(io::ErrorKind::InvalidData.into()),
                Peer::Failed(error) => Err(failure(error)),
            };
        }
    }

    /// See [`Transport::poll_read_ready`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.borrow().is_readable() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(ready) = self.socket.poll_read_ready(cx) {
            return Poll::Ready(ready);
        }
        // Whoever waits for an answer shall not keep back what asks for it.
        let mut state = self.state.borrow_mut();
        while !state.outgoing.is_empty() {
            match state.flush(&self.socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                // Reading will find what became of the peer.
                Err(_) => state.outgoing = Vec::new(),
            }
        }
        Poll::Pending
    }

    /// See [`Transport::is_quiet`]. What comes of itself, a ticket say, is no noise.
    pub fn is_quiet(&self, ask: bool) -> bool {
        let mut state = self.state.borrow_mut();
        for _ in 0..UNASKED_MAX {
            if state.is_readable() {
                return false;
            }
            if self.socket.is_quiet(ask) {
                return true;
            }
            match state.receive(&self.socket, None) {
                Ok(()) => {}
                // Something came, and the reactor has not heard of it yet.
                Err(_) if ask => return false,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// See [`Transport::try_write`].
    pub fn try_write(&self, slices: &[IoSlice<'_>], more: More) -> io::Result<usize> {
        let total = slices.iter().map(|slice| slice.len()).sum();
        let mut state = self.state.borrow_mut();
        if let Some(written) = state.finish_write(&self.socket, total)? {
            return Ok(written);
        }
        scratch::with(|scratch| {
            let taken = state.encrypt(slices, scratch)?;
            state.send(&self.socket, &scratch.outgoing, taken, more)
        })
    }

    /// See [`Transport::poll_send_file`].
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_send_file(file, *offset, count) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                Ok(sent) => {
                    *offset += sent as u64;
                    return Poll::Ready(Ok(sent));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn try_send_file(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if let Some(written) = state.finish_write(&self.socket, count)? {
            return Ok(written);
        }
        let count = count.min(ENCRYPTED);
        scratch::with(|scratch| {
            let mut piece = std::mem::take(&mut scratch.gathered);
            piece.reserve_exact(ENCRYPTED);
            let done = read_at(file, &mut piece, offset).and_then(|()| {
                if piece.is_empty() {
                    return Ok(0);
                }
                let slices = [IoSlice::new(piece.get(..count).unwrap_or(&piece))];
                let taken = state.encrypt(&slices, scratch)?;
                state.send(&self.socket, &scratch.outgoing, taken, More::No)
            });
            scratch.gathered = piece;
            done
        })
    }

    /// Says that nothing more will be written (RFC 8446 §6.1), unless what was written is cut.
    ///
    /// # Errors
    /// The peer is gone, or takes nothing.
    pub fn end(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let failed = matches!(state.peer, Peer::Foreign | Peer::Failed(_));
        if state.ended || self.cut.get() || failed || state.accepted > 0 {
            return Ok(());
        }
        state.ended = true;
        scratch::with(|scratch| {
            state.run_what_came(&mut scratch.outgoing, Write::End)?;
            state
                .send(&self.socket, &scratch.outgoing, 0, More::No)
                .map(drop)
        })
    }

    /// Whether the kernel has all that was to be sent.
    pub fn is_flushed(&self) -> bool {
        self.state.borrow().outgoing.is_empty()
    }

    /// What was written is not whole, and the peer shall not take its end for one.
    pub fn cut(&self) {
        self.cut.set(true);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.socket).finish()
    }
}

/// Reads once into the spare room.
fn read_at(file: &File, into: &mut Vec<u8>, offset: u64) -> io::Result<()> {
    loop {
        match rustix::io::pread(file, spare_capacity(into), offset) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests;
