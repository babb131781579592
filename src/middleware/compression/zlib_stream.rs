//! gzip and deflate.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::coding::Failed;

/// The window, as a power of two; the largest there is.
const WINDOW_BITS: u8 = 15;
/// How much room is made at a time for what comes out.
const ROOM: usize = 4 << 10;

/// One stream being made.
pub(super) struct ZlibStream(Compress);

impl ZlibStream {
    pub(super) fn gzip(level: u8) -> Self {
        Self(Compress::new_gzip(compression(level), WINDOW_BITS))
    }

    pub(super) fn deflate(level: u8) -> Self {
        Self(Compress::new(compression(level), true))
    }

    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    pub(super) fn add(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(content, out, FlushCompress::None)
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(b"", out, FlushCompress::Sync)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        self.run(b"", out, FlushCompress::Finish)
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
            let (read, written) = (self.0.total_in(), out.len());
            let status = self.0.compress_vec(left, out, flush).map_err(|_| Failed)?;
            let read = usize::try_from(self.0.total_in() - read).unwrap_or(usize::MAX);
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

fn compression(level: u8) -> Compression {
    Compression::new(u32::from(level))
}
