//! What of a session must be remembered, and how it moves.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::HandshakeError;
use crate::sys::tls::engine::{Engine, Plaintext, Progress, Write};
use crate::sys::tls::resolver::{self, Greeting};
use crate::sys::tls::scratch::{self, ENCRYPTED, Outgoing, Scratch};
use crate::sys::transport::{More, Transport};

/// Ciphertext that may be kept because it cannot be used yet: a handshake message of the 64 KiB
/// that rustls takes, in records of its own, and one more.
const INCOMING_MAX: usize = 96 * 1024;

/// Plaintext of a record.
const RECORD: usize = 16 * 1024;

/// The first byte of a session: a record of a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

pub(super) struct State {
    pub(super) engine: Engine,
    /// Ciphertext that came and is not used yet.
    pub(super) incoming: Vec<u8>,
    /// There is plaintext in it for which the last reader had no room.
    pub(super) stopped: bool,
    /// Plaintext that nobody has read yet, from `read` on.
    pub(super) plain: Vec<u8>,
    pub(super) read: usize,
    /// Ciphertext that the kernel has not taken yet.
    pub(super) outgoing: Vec<u8>,
    /// How many bytes of plaintext the write that waits with it has.
    pub(super) accepted: usize,
    /// Whether more will come.
    pub(super) peer: Peer,
    /// How many of the bytes read first came before the handshake was over.
    pub(super) early: usize,
    /// Whether that could have been sent by anybody who recorded it, as long as the handshake is
    /// not over: shared with whoever answers.
    pub(super) replayable: Option<Rc<Cell<bool>>>,
    /// What the client asked for and was shown, until it is part of the facts.
    pub(super) greeting: Option<Box<Greeting>>,
    /// Something has come.
    pub(super) begun: bool,
    /// The peer was told that nothing more follows.
    pub(super) ended: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Peer {
    Open,
    /// It has said that it sends no more.
    Ended,
    /// Its socket ended without a word: what came may be cut.
    Truncated,
    /// It speaks something else.
    Foreign,
    Failed(rustls::Error),
}

impl State {
    pub(super) const fn new(engine: Engine) -> Self {
        Self {
            engine,
            incoming: Vec::new(),
            stopped: false,
            plain: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            accepted: 0,
            peer: Peer::Open,
            early: 0,
            replayable: None,
            greeting: None,
            begun: false,
            ended: false,
        }
    }

    /// Whether a reader finds something: bytes, or the end.
    pub(super) fn is_readable(&self) -> bool {
        self.read < self.plain.len() || self.stopped || self.peer != Peer::Open
    }

    /// Goes on with the handshake once.
    pub(super) fn advance(&mut self, socket: &Transport) -> io::Result<()> {
        if self.peer != Peer::Open {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.outgoing.is_empty() {
            self.flush(socket)?;
        }
        // A client speaks first.
        if self.incoming.is_empty() {
            self.speak(socket)?;
            if !self.engine.common().is_handshaking() {
                return Ok(());
            }
        }
        self.receive(socket, None)
    }

    /// Sends what is to be said without being asked.
    pub(super) fn speak(&mut self, socket: &Transport) -> io::Result<()> {
        scratch::with(|scratch| {
            self.run_what_came(&mut scratch.outgoing, Write::Nothing)?;
            if scratch.outgoing.filled().is_empty() {
                return Ok(());
            }
            self.send(socket, &scratch.outgoing, 0, More::No).map(drop)
        })
    }

    pub(super) fn refused(&mut self, error: io::Error) -> HandshakeError {
        match &self.peer {
            Peer::Foreign => HandshakeError::NotTls(std::mem::take(&mut self.incoming)),
            Peer::Failed(error) => HandshakeError::Refused(error.clone()),
            Peer::Ended | Peer::Truncated => HandshakeError::Gone,
            Peer::Open => HandshakeError::Broken(error),
        }
    }

    /// Moves plaintext that was put aside to the reader.
    pub(super) fn hand_over(&mut self, buffer: &mut Vec<u8>) {
        let left = self.plain.get(self.read..).unwrap_or_default();
        if left.is_empty() {
            return;
        }
        let count = left.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(left.get(..count).unwrap_or_default());
        self.read += count;
        if self.read == self.plain.len() {
            self.plain = Vec::new();
            self.read = 0;
        }
    }

    /// Receives once and uses what came; `WouldBlock` if nothing has.
    pub(super) fn receive(
        &mut self,
        socket: &Transport,
        reader: Option<&mut Vec<u8>>,
    ) -> io::Result<()> {
        scratch::with(|scratch| {
            let mut received = std::mem::take(&mut scratch.incoming);
            received.extend_from_slice(&self.incoming);
            received.reserve(RECORD);
            let done = match socket.try_read(&mut received) {
                Ok(0) => {
                    self.peer = Peer::Truncated;
                    Ok(())
                }
                Ok(_) => self.digest(socket, &mut received, reader, &mut scratch.outgoing),
                Err(error) => Err(error),
            };
            scratch.incoming = received;
            done
        })
    }

    /// Uses what came before and was left because the reader of then had no room.
    pub(super) fn resume(&mut self, socket: &Transport, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        scratch::with(|scratch| {
            self.digest(socket, &mut incoming, Some(buffer), &mut scratch.outgoing)
        })
    }

    /// Uses what came, keeps what is left of it, and answers what must be answered.
    pub(super) fn digest(
        &mut self,
        socket: &Transport,
        received: &mut [u8],
        reader: Option<&mut Vec<u8>>,
        outgoing: &mut Outgoing,
    ) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true)
            && matches!(self.engine, Engine::Server(_))
            && received.first() != Some(&HANDSHAKE_RECORD)
        {
            // Nothing is said in a language that the peer does not speak.
            self.incoming = received.to_vec();
            self.peer = Peer::Foreign;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let was_handshaking = self.engine.common().is_handshaking();
        let ran = self.run(received, reader, outgoing, Write::Nothing);
        if was_handshaking && let Some(greeting) = resolver::take_last() {
            self.greeting = Some(Box::new(greeting));
        }
        let used = match &ran {
            Ok(progress) => progress.used,
            Err(_) => 0,
        };
        let left = received.get(used..).unwrap_or_default();
        if left.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(left);
        }
        // The tickets behind a handshake can wait for what follows them, and leave in one piece.
        let waits = was_handshaking
            && !self.engine.common().is_handshaking()
            && matches!(self.engine, Engine::Server(_));
        if waits && ran.is_ok() {
            self.outgoing.extend_from_slice(outgoing.filled());
        } else if !outgoing.filled().is_empty() {
            // A peer that cannot be told may have said something worth reading all the same.
            drop(self.send(socket, outgoing, 0, More::No));
        }
        if self.incoming.len() > INCOMING_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        ran.map(drop)
    }

    /// Has the engine use what came and put what is to be sent behind what waits.
    pub(super) fn run(
        &mut self,
        incoming: &mut [u8],
        reader: Option<&mut Vec<u8>>,
        outgoing: &mut Outgoing,
        write: Write<'_>,
    ) -> io::Result<Progress> {
        // What is put aside is in front of what comes now.
        let mut plaintext = Plaintext {
            reader,
            aside: &mut self.plain,
        };
        match self.engine.run(incoming, &mut plaintext, outgoing, write) {
            Ok(progress) => {
                self.stopped = progress.stopped;
                self.early += progress.early;
                if !self.engine.common().is_handshaking()
                    && let Some(replayable) = self.replayable.take()
                {
                    replayable.set(false);
                }
                if progress.peer_closed {
                    self.peer = Peer::Ended;
                }
                Ok(progress)
            }
            Err(error) => {
                let failed = failure(&error);
                self.stopped = false;
                self.peer = Peer::Failed(error);
                Err(failed)
            }
        }
    }

    /// Sends what is left of the write before, if one waits, and says how long it was. Of what it
    /// had and is not repeated now, the next one is taken to begin with.
    pub(super) fn finish_write(
        &mut self,
        socket: &Transport,
        most: usize,
    ) -> io::Result<Option<usize>> {
        if self.accepted == 0 {
            return Ok(None);
        }
        self.flush(socket)?;
        let taken = self.accepted.min(most);
        self.accepted -= taken;
        Ok(Some(taken))
    }

    /// Sends all that waits.
    pub(super) fn flush(&mut self, socket: &Transport) -> io::Result<()> {
        let mut sent = 0;
        let result = send_all(socket, &self.outgoing, &mut sent, More::No);
        if sent == self.outgoing.len() {
            self.outgoing = Vec::new();
        } else {
            self.outgoing.drain(..sent);
        }
        result
    }

    /// Encrypts the beginning of these, behind what waits; how many bytes that was.
    pub(super) fn encrypt(
        &mut self,
        slices: &[IoSlice<'_>],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        let mut left = ENCRYPTED;
        let gathered = &mut scratch.gathered;
        let outgoing = &mut scratch.outgoing;
        if let [one] = slices {
            let taken = one.get(..left.min(one.len())).unwrap_or_default();
            self.encrypt_one(taken, outgoing)?;
            return Ok(taken.len());
        }
        for slice in slices {
            let (mut slice, _) = slice.split_at(left.min(slice.len()));
            left -= slice.len();
            let room = RECORD - gathered.len();
            if slice.len() >= room {
                // The rest of a full record leaves from where it is.
                if !gathered.is_empty() {
                    let (fills, rest) = slice.split_at(room);
                    gathered.extend_from_slice(fills);
                    self.encrypt_one(gathered, outgoing)?;
                    gathered.clear();
                    slice = rest;
                }
                let whole = slice.len() - slice.len() % RECORD;
                let (records, rest) = slice.split_at(whole);
                self.encrypt_one(records, outgoing)?;
                slice = rest;
            }
            gathered.extend_from_slice(slice);
        }
        self.encrypt_one(gathered, outgoing)?;
        gathered.clear();
        Ok(ENCRYPTED - left)
    }

    pub(super) fn encrypt_one(
        &mut self,
        plaintext: &[u8],
        outgoing: &mut Outgoing,
    ) -> io::Result<()> {
        if plaintext.is_empty() {
            return Ok(());
        }
        let progress = self.run_what_came(outgoing, Write::Traffic(plaintext))?;
        if progress.written {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    /// What came and was not used yet must be used before anything can be written.
    pub(super) fn run_what_came(
        &mut self,
        outgoing: &mut Outgoing,
        write: Write<'_>,
    ) -> io::Result<Progress> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let progress = self.run(&mut incoming, None, outgoing, write)?;
        incoming.drain(..progress.used);
        self.incoming = incoming;
        Ok(progress)
    }

    /// Sends what waits and then this, of which so many bytes of plaintext were accepted.
    pub(super) fn send(
        &mut self,
        socket: &Transport,
        outgoing: &Outgoing,
        accepted: usize,
        more: More,
    ) -> io::Result<usize> {
        let joined;
        let bytes = if self.outgoing.is_empty() {
            outgoing.filled()
        } else {
            let mut all = std::mem::take(&mut self.outgoing);
            all.extend_from_slice(outgoing.filled());
            joined = all;
            &joined
        };
        let mut sent = 0;
        let result = send_all(socket, bytes, &mut sent, more);
        if let Err(error) = result {
            if error.kind() == io::ErrorKind::WouldBlock {
                self.outgoing = bytes.get(sent..).unwrap_or_default().to_vec();
                self.accepted = accepted;
            }
            return Err(error);
        }
        Ok(accepted)
    }
}

/// Sends until all is with the kernel, or it has no room.
fn send_all(socket: &Transport, bytes: &[u8], sent: &mut usize, more: More) -> io::Result<()> {
    while let Some(left @ [_, ..]) = bytes.get(*sent..) {
        match socket.try_write(&[IoSlice::new(left)], more)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => *sent += count,
        }
    }
    Ok(())
}

pub(super) fn failure(error: &rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}
