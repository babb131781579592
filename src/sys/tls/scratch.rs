//! Memory that all sessions of a thread take turns in, so that none holds any while it is idle.

use std::cell::RefCell;

/// What a record may be long on the wire: 2¹⁴ bytes, the expansion of TLS 1.2, a header
/// (RFC 8446 §5.2, RFC 5246 §6.2.3).
pub(super) const RECORD_WIRE_MAX: usize = 16 * 1024 + 2048 + 5;

/// What is received at once: two full records and a bit.
const RECEIVED: usize = 2 * RECORD_WIRE_MAX;

/// What is encrypted at once: four records, which bounds what of a write waits in memory.
pub(super) const ENCRYPTED: usize = 64 * 1024;

/// The memory of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Ciphertext that was received.
    pub(super) incoming: Vec<u8>,
    /// Plaintext put together for one record.
    pub(super) gathered: Vec<u8>,
    /// Ciphertext to be sent.
    pub(super) outgoing: Outgoing,
}

/// Bytes to be sent, in memory that is zeroed once and not for every use.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    filled: usize,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends the memory of this thread, empty.
pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.incoming.clear();
        scratch.incoming.reserve(RECEIVED);
        scratch.gathered.clear();
        scratch.outgoing.filled = 0;
        work(scratch)
    })
}

impl Outgoing {
    /// What is to be sent.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Has `write` put bytes behind, of which it tells how many it needs if there is no room.
    pub(super) fn push<E>(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
        needed: impl FnOnce(&E) -> Option<usize>,
    ) -> Result<(), E> {
        let written = match write(self.bytes.get_mut(self.filled..).unwrap_or_default()) {
            Err(error) => match needed(&error) {
                Some(needed) => write(self.room(needed))?,
                None => return Err(error),
            },
            Ok(written) => written,
        };
        self.filled += written;
        Ok(())
    }

    fn room(&mut self, needed: usize) -> &mut [u8] {
        let end = self.filled + needed;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }
}
