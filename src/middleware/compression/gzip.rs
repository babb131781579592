//! Compressors, and where a worker keeps those it does not need now.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// How many idle compressors a worker keeps: making one costs the time of compressing some
/// kilobytes; keeping one takes 270 KiB.
const KEPT_MAX: usize = 8;
/// The window of gzip, as a power of two; the largest there is.
const WINDOW_BITS: u8 = 15;
/// How much room is made at a time for what comes out.
const ROOM: usize = 4 << 10;

/// One gzip stream being made.
pub(super) struct Gzip {
    compress: Compress,
    level: u8,
}

/// The compressor failed; it never should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Gzip {
    fn new(level: u8) -> Self {
        let compression = Compression::new(u32::from(level));
        Self {
            compress: Compress::new_gzip(compression, WINDOW_BITS),
            level,
        }
    }

    /// Takes content; what is ready of the stream is appended.
    pub(super) fn add(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(content, out, FlushCompress::None)
    }

    /// Appends all that was taken, so that the other side can have it.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(b"", out, FlushCompress::Sync)
    }

    /// Appends the end of the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(b"", out, FlushCompress::Finish)
    }

    /// All of the content as one stream; `None` if it would be no shorter.
    pub(super) fn whole(&mut self, content: &[u8]) -> Option<Bytes> {
        let mut out = Vec::with_capacity(content.len() / 3 + ROOM);
        let done = self.run(content, &mut out, FlushCompress::Finish);
        self.compress.reset();
        (done.is_ok() && out.len() < content.len()).then(|| Bytes::from(out))
    }

    fn run(
        &mut self,
        content: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(), Failed> {
        let mut left = content;
        loop {
            if out.capacity() == out.len() {
                out.reserve(ROOM);
            }
            let (read, written) = (self.compress.total_in(), out.len());
            let status = self
                .compress
                .compress_vec(left, out, flush)
                .map_err(|_| Failed)?;
            let read = usize::try_from(self.compress.total_in() - read).unwrap_or(usize::MAX);
            left = left.get(read..).unwrap_or_default();
            // It has said all if it left room, and taken all if nothing is left.
            let said_all = out.len() < out.capacity() && left.is_empty();
            match (flush, status) {
                (_, Status::StreamEnd) => return Ok(()),
                (FlushCompress::None | FlushCompress::Sync, _) if said_all => return Ok(()),
                // Neither forward nor back: it would go on for ever.
                _ if read == 0 && out.len() == written && said_all => return Err(Failed),
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gzip(level {})", self.level)
    }
}

/// The idle compressors of one worker.
#[derive(Debug, Default)]
pub(super) struct Gzips(RefCell<Vec<Gzip>>);

impl Gzips {
    /// One that is at the start of a stream.
    pub(super) fn take(&self, level: u8) -> Gzip {
        let mut kept = self.0.borrow_mut();
        match kept.iter().position(|gzip| gzip.level == level) {
            Some(at) => kept.swap_remove(at),
            None => Gzip::new(level),
        }
    }

    /// Takes one back, wherever it is in its stream.
    pub(super) fn give_back(&self, mut gzip: Gzip) {
        let mut kept = self.0.borrow_mut();
        if kept.len() == KEPT_MAX {
            // Levels that no configuration names any more make way.
            kept.remove(0);
        }
        gzip.compress.reset();
        kept.push(gzip);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(bytes)
            .read_to_end(&mut content)
            .unwrap();
        content
    }

    #[test]
    fn pieces_make_one_stream() {
        let mut gzip = Gzip::new(6);
        let mut out = Vec::new();
        let noise: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        gzip.add(&noise, &mut out).unwrap();
        gzip.add(b"", &mut out).unwrap();
        gzip.flush(&mut out).unwrap();
        gzip.add(b"end", &mut out).unwrap();
        gzip.finish(&mut out).unwrap();
        assert_eq!(unzip(&out), [&noise[..], b"end"].concat());
    }

    #[test]
    fn what_was_flushed_can_be_read_at_once() {
        let mut gzip = Gzip::new(1);
        let mut out = Vec::new();
        gzip.add(b"hello", &mut out).unwrap();
        gzip.flush(&mut out).unwrap();
        let mut read = [0; 5];
        flate2::read::GzDecoder::new(&out[..])
            .read_exact(&mut read)
            .unwrap();
        assert_eq!(&read, b"hello");
        let before = out.len();
        gzip.flush(&mut out).unwrap();
        gzip.flush(&mut out).unwrap();
        assert!(out.len() - before < 16, "nothing is said twice");
    }

    #[test]
    fn a_compressor_is_used_again_from_the_start() {
        let gzips = Gzips::default();
        let text = b"text text text text text text text text text".repeat(4);
        let mut broken_off = gzips.take(6);
        broken_off.add(b"never finished", &mut Vec::new()).unwrap();
        gzips.give_back(broken_off);
        let mut gzip = gzips.take(6);
        assert!(gzips.0.borrow().is_empty());
        for _ in 0..2 {
            let compressed = gzip.whole(&text).unwrap();
            assert_eq!(unzip(&compressed), text);
        }
        assert_eq!(gzip.whole(b"abc"), None);
        gzips.give_back(gzip);
        assert_eq!(format!("{:?}", gzips.take(9)), "Gzip(level 9)");
        for level in 0..9 {
            gzips.give_back(Gzip::new(level));
        }
        assert_eq!(gzips.0.borrow().len(), KEPT_MAX);
    }
}
