//! Brotli.

use std::io::Write as _;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;

use super::coding::Failed;

/// The window, as a power of two: 256 KiB, beyond which text gains little and each stream would
/// hold more memory than most pages have bytes.
const WINDOW_BITS: i32 = 18;
/// How much comes out at a time.
const ROOM: usize = 4 << 10;

/// One stream being made; `None` once it has ended.
pub(super) struct BrotliStream(Option<Box<CompressorWriter<Vec<u8>>>>);

impl BrotliStream {
    pub(super) fn new(level: u8) -> Self {
        let params = BrotliEncoderParams {
            quality: i32::from(level),
            lgwin: WINDOW_BITS,
            ..BrotliEncoderParams::default()
        };
        let writer = CompressorWriter::with_params(Vec::new(), ROOM, &params);
        Self(Some(Box::new(writer)))
    }

    pub(super) fn add(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        let writer = self.0.as_mut().ok_or(Failed)?;
        writer.write_all(content).map_err(|_| Failed)?;
        out.append(writer.get_mut());
        Ok(())
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        let writer = self.0.as_mut().ok_or(Failed)?;
        writer.flush().map_err(|_| Failed)?;
        out.append(writer.get_mut());
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        let writer = self.0.take().ok_or(Failed)?;
        out.append(&mut writer.into_inner());
        Ok(())
    }
}
