//! Zstandard.

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::coding::Failed;

/// The window, as a power of two: 512 KiB. Clients need not take more than 8 MiB (RFC 9659 §3),
/// and each stream holds as much memory.
const WINDOW_BITS: u32 = 19;
/// How much room is made at a time for what comes out.
const ROOM: usize = 4 << 10;

/// One stream being made.
pub(super) struct ZstdStream(Encoder<'static>);

impl ZstdStream {
    pub(super) fn new(level: u8) -> Result<Self, Failed> {
        let mut encoder = Encoder::new(i32::from(level)).map_err(|_| Failed)?;
        encoder
            .set_parameter(CParameter::WindowLog(WINDOW_BITS))
            .map_err(|_| Failed)?;
        Ok(Self(encoder))
    }

    pub(super) fn reset(&mut self) -> Result<(), Failed> {
        self.0.reinit().map_err(|_| Failed)
    }

    pub(super) fn add(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        let mut input = InBuffer::around(content);
        while input.pos() < content.len() {
            with_room(out, |output| self.0.run(&mut input, output))?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        while with_room(out, |output| self.0.flush(output))? > 0 {}
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        while with_room(out, |output| self.0.finish(output, true))? > 0 {}
        Ok(())
    }
}

/// Has something written behind what is there.
fn with_room(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> Result<usize, Failed> {
    if out.capacity() - out.len() < ROOM {
        out.reserve(ROOM);
    }
    let at = out.len();
    let mut output = OutBuffer::around_pos(out, at);
    write(&mut output).map_err(|_| Failed)
}
