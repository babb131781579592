//! Buffers that a worker uses again and again.

use std::cell::RefCell;

/// What a head and a small body fit into. 16 KiB is what the kernel hands over at a time at most
/// for a small answer, and what other proxies give a head.
pub(super) const BUFFER: usize = 16 * 1024;

/// How many are kept: two for each of the 64 exchanges that a busy worker has under way.
const KEPT_MAX: usize = 128;

/// Empty buffers of [`BUFFER`] bytes.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for [`BUFFER`] bytes.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = self.0.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Takes a buffer back. One that has grown, or was never from here, is freed.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX && buffer.capacity() == BUFFER {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_buffers_of_one_size_are_kept_and_not_too_many() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.push(1);
        buffers.give(buffer);
        buffers.give(Vec::with_capacity(2 * BUFFER));
        buffers.give(Vec::new());
        assert_eq!(buffers.0.borrow().len(), 1);
        assert!(buffers.take().is_empty());
        for _ in 0..=KEPT_MAX {
            buffers.give(Vec::with_capacity(BUFFER));
        }
        assert_eq!(buffers.0.borrow().len(), KEPT_MAX);
    }
}
