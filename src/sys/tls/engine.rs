//! The state machine of rustls, of either side, and what moves through it. No I/O.

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};

use super::scratch::Outgoing;

/// One end of a session.
///
/// The variant of rustls that has no buffers: received bytes are decrypted where they are, what
/// is sent is encrypted where it shall be sent from, and an idle session holds neither.
pub(super) enum Engine {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Where a step has led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// There is more to do.
    Step,
    /// More must come before the handshake can go on.
    Blocked,
    /// All that came is used, and traffic may be written; it was, if there was any.
    Open,
    /// The peer has said that it sends no more.
    PeerClosed,
}

/// What is to be written once that may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write<'w> {
    Nothing,
    Traffic(&'w [u8]),
    /// That nothing more follows.
    End,
}

/// Where plaintext goes: into the reader's memory as far as that has room, the rest aside.
#[derive(Debug)]
pub(super) struct Plaintext<'p> {
    pub(super) reader: Option<&'p mut Vec<u8>>,
    pub(super) aside: &'p mut Vec<u8>,
}

/// How far what came was used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// So many bytes of it.
    pub(super) used: usize,
    /// There is more in it, but the reader is full.
    pub(super) stopped: bool,
    /// The peer has said that it sends no more.
    pub(super) peer_closed: bool,
    /// Traffic was written.
    pub(super) written: bool,
    /// Bytes of plaintext that came before the handshake was over (0-RTT).
    pub(super) early: usize,
}

impl Engine {
    /// What both sides know of the session.
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Server(server) => server,
            Self::Client(client) => client,
        }
    }

    /// Uses what came, as far as the plaintext has room; what is to be sent goes to `outgoing`.
    ///
    /// # Errors
    /// The peer broke the protocol, or is not who it should be. What to tell it is in `outgoing`.
    pub(super) fn run(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        outgoing: &mut Outgoing,
        mut write: Write<'_>,
    ) -> Result<Progress, rustls::Error> {
        let mut progress = Progress::default();
        loop {
            if plaintext.is_full() && progress.used < incoming.len() {
                progress.stopped = true;
                return Ok(progress);
            }
            let rest = incoming.get_mut(progress.used..).unwrap_or_default();
            let (used, reached) = self.step(rest, plaintext, outgoing, &mut write, &mut progress);
            progress.used = (progress.used + used).min(incoming.len());
            match reached {
                Ok(Reached::Step) => {}
                Ok(Reached::PeerClosed) => progress.peer_closed = true,
                Ok(Reached::Open | Reached::Blocked) => return Ok(progress),
                Err(error) => {
                    self.tell_why(outgoing);
                    return Err(error);
                }
            }
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        outgoing: &mut Outgoing,
        write: &mut Write<'_>,
        progress: &mut Progress,
    ) -> (usize, Result<Reached, rustls::Error>) {
        match self {
            Self::Client(client) => {
                let status = client.process_tls_records(incoming);
                take(status, plaintext, outgoing, write, progress)
            }
            Self::Server(server) => {
                let status = server.process_tls_records(incoming);
                let UnbufferedStatus { discard, state } = status;
                let Ok(ConnectionState::ReadEarlyData(mut early)) = state else {
                    return take(
                        UnbufferedStatus { discard, state },
                        plaintext,
                        outgoing,
                        write,
                        progress,
                    );
                };
                let mut used = discard;
                while let Some(record) = early.next_record() {
                    match record {
                        Ok(record) => {
                            used += record.discard;
                            progress.early += record.payload.len();
                            plaintext.push(record.payload);
                        }
                        Err(error) => return (used, Err(error)),
                    }
                }
                (used, Ok(Reached::Step))
            }
        }
    }

    /// Puts the alert of an error into what is to be sent.
    fn tell_why(&mut self, outgoing: &mut Outgoing) {
        let mut aside = Vec::new();
        let mut plaintext = Plaintext {
            reader: None,
            aside: &mut aside,
        };
        // Bounded: each step takes one message out.
        while self.common().wants_write() {
            let mut progress = Progress::default();
            let told = self.step(
                &mut [],
                &mut plaintext,
                outgoing,
                &mut Write::Nothing,
                &mut progress,
            );
            if told.1.is_err() {
                return;
            }
        }
    }
}

impl Plaintext<'_> {
    fn is_full(&self) -> bool {
        let full = |reader: &Vec<u8>| reader.len() == reader.capacity();
        self.reader.as_deref().is_some_and(full)
    }

    fn push(&mut self, payload: &[u8]) {
        let Some(reader) = &mut self.reader else {
            self.aside.extend_from_slice(payload);
            return;
        };
        // What was put aside comes first.
        let room = if self.aside.is_empty() {
            reader.capacity() - reader.len()
        } else {
            0
        };
        let (now, later) = payload.split_at(room.min(payload.len()));
        reader.extend_from_slice(now);
        self.aside.extend_from_slice(later);
    }
}

/// Does what the state of either side asks for.
fn take<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plaintext: &mut Plaintext<'_>,
    outgoing: &mut Outgoing,
    write: &mut Write<'_>,
    progress: &mut Progress,
) -> (usize, Result<Reached, rustls::Error>) {
    let mut used = status.discard;
    let reached = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    used += record.discard;
                    plaintext.push(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Reached::Step),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut encode)) => outgoing
            .push(|room| encode.encode(room), encode_needs)
            .map(|()| Reached::Step)
            .map_err(|error| rustls::Error::General(error.to_string())),
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            transmit.done();
            Ok(Reached::Step)
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => put(traffic, outgoing, *write).map(|done| {
            progress.written = done;
            *write = Write::Nothing;
            Reached::Open
        }),
        Ok(ConnectionState::PeerClosed) => Ok(Reached::PeerClosed),
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Reached::Blocked),
        // Handled by whom it can happen to; anything else is of a version that is to come.
        Ok(_) => Err(rustls::Error::General(String::from("an unknown state"))),
        Err(error) => Err(error),
    };
    (used, reached)
}

fn put<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    outgoing: &mut Outgoing,
    write: Write<'_>,
) -> Result<bool, rustls::Error> {
    let done = match write {
        Write::Nothing => return Ok(false),
        Write::Traffic(bytes) => outgoing.push(|room| traffic.encrypt(bytes, room), encrypt_needs),
        Write::End => outgoing.push(|room| traffic.queue_close_notify(room), encrypt_needs),
    };
    match done {
        Ok(()) => Ok(true),
        Err(error) => Err(rustls::Error::General(error.to_string())),
    }
}

fn encode_needs(error: &EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
            Some(*required_size)
        }
        EncodeError::AlreadyEncoded => None,
    }
}

fn encrypt_needs(error: &EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => {
            Some(*required_size)
        }
        EncryptError::EncryptExhausted => None,
    }
}
