//! The content codings, and encoders that make them.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;

use super::brotli_stream::BrotliStream;
use super::zlib_stream::ZlibStream;
use super::zstd_stream::ZstdStream;

/// How many idle encoders a worker keeps: making one costs the time of compressing some
/// kilobytes; keeping one takes 270 KiB for gzip and 1.3 MiB for zstd.
const KEPT_MAX: usize = 8;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    /// RFC 8878: smaller than gzip in less time.
    Zstd,
    /// RFC 7932: the smallest, in some three times the time of gzip.
    Brotli,
    /// RFC 1952: what everybody knows.
    Gzip,
    /// RFC 1950, which HTTP calls so (RFC 9110 §8.4.1.2).
    Deflate,
}

impl Coding {
    /// All of them, those first that give the most for their time.
    pub(super) const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Deflate];

    /// As `Accept-Encoding` and `Content-Encoding` have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The coding of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.name() == name)
    }

    /// Whether a slice of it would hold a worker for too long: brotli gathers 64 KiB, which then
    /// take it some milliseconds at once.
    pub(super) const fn is_slow(self) -> bool {
        matches!(self, Self::Brotli)
    }
}

/// How hard each coding tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    /// For gzip and deflate.
    pub(super) zlib: u8,
    pub(super) brotli: u8,
    pub(super) zstd: u8,
}

impl Levels {
    pub(super) const fn of(self, coding: Coding) -> u8 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip | Coding::Deflate => self.zlib,
        }
    }
}

/// The encoder failed; it never should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// One stream being made.
pub(super) struct Encoder {
    coding: Coding,
    level: u8,
    stream: Stream,
}

enum Stream {
    Zlib(ZlibStream),
    Brotli(BrotliStream),
    Zstd(ZstdStream),
}

impl Encoder {
    fn new(coding: Coding, level: u8) -> Result<Self, Failed> {
        let stream = match coding {
            Coding::Gzip => Stream::Zlib(ZlibStream::gzip(level)),
            Coding::Deflate => Stream::Zlib(ZlibStream::deflate(level)),
            Coding::Brotli => Stream::Brotli(BrotliStream::new(level)),
            Coding::Zstd => Stream::Zstd(ZstdStream::new(level)?),
        };
        Ok(Self {
            coding,
            level,
            stream,
        })
    }

    pub(super) const fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes content; what is ready of the stream is appended.
    pub(super) fn add(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        match &mut self.stream {
            Stream::Zlib(zlib) => zlib.add(content, out),
            Stream::Brotli(brotli) => brotli.add(content, out),
            Stream::Zstd(zstd) => zstd.add(content, out),
        }
    }

    /// Appends all that was taken, so that the other side can have it.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        match &mut self.stream {
            Stream::Zlib(zlib) => zlib.flush(out),
            Stream::Brotli(brotli) => brotli.flush(out),
            Stream::Zstd(zstd) => zstd.flush(out),
        }
    }

    /// Appends the end of the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        match &mut self.stream {
            Stream::Zlib(zlib) => zlib.finish(out),
            Stream::Brotli(brotli) => brotli.finish(out),
            Stream::Zstd(zstd) => zstd.finish(out),
        }
    }

    /// All of the content as one stream; `None` if it would be no shorter.
    pub(super) fn whole(&mut self, content: &[u8]) -> Option<Bytes> {
        let mut out = Vec::with_capacity(content.len() / 3 + 1024);
        self.add(content, &mut out).ok()?;
        self.finish(&mut out).ok()?;
        (out.len() < content.len()).then(|| Bytes::from(out))
    }

    /// Goes back to the start of a stream; false if it cannot.
    fn reset(&mut self) -> bool {
        match &mut self.stream {
            Stream::Zlib(zlib) => {
                zlib.reset();
                true
            }
            Stream::Brotli(_) => false,
            Stream::Zstd(zstd) => zstd.reset().is_ok(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({}, level {})", self.coding.name(), self.level)
    }
}

/// The idle encoders of one worker.
#[derive(Debug, Default)]
pub(super) struct Encoders(RefCell<Vec<Encoder>>);

impl Encoders {
    /// One that is at the start of a stream.
    pub(super) fn take(&self, coding: Coding, level: u8) -> Result<Encoder, Failed> {
        let mut kept = self.0.borrow_mut();
        let fits = |encoder: &Encoder| encoder.coding == coding && encoder.level == level;
        match kept.iter().position(fits) {
            Some(at) => Ok(kept.swap_remove(at)),
            None => Encoder::new(coding, level),
        }
    }

    /// Takes one back, wherever it is in its stream.
    pub(super) fn give_back(&self, mut encoder: Encoder) {
        if !encoder.reset() {
            return;
        }
        let mut kept = self.0.borrow_mut();
        if kept.len() == KEPT_MAX {
            // Levels that no configuration names any more make way.
            kept.remove(0);
        }
        kept.push(encoder);
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoded;
    use super::*;

    fn encoder(coding: Coding) -> Encoder {
        Encoder::new(coding, 4).unwrap()
    }

    #[test]
    fn pieces_make_one_stream() {
        for coding in Coding::ALL {
            let mut encoder = encoder(coding);
            let mut out = Vec::new();
            let noise: Vec<u8> = (0..100_000_u32)
                .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
                .collect();
            encoder.add(&noise, &mut out).unwrap();
            encoder.add(b"", &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            encoder.add(b"end", &mut out).unwrap();
            encoder.finish(&mut out).unwrap();
            assert_eq!(decoded(coding.name(), &out), [&noise[..], b"end"].concat());
        }
    }

    #[test]
    fn what_was_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let mut encoder = encoder(coding);
            let mut out = Vec::new();
            encoder.add(b"hello", &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            assert_eq!(decoded(coding.name(), &out), b"hello", "{coding:?}");
            let before = out.len();
            encoder.flush(&mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            assert!(out.len() - before < 16, "nothing is said twice");
        }
    }

    #[test]
    fn an_encoder_is_used_again_from_the_start() {
        let encoders = Encoders::default();
        let text = b"text text text text text text text text text".repeat(4);
        for coding in Coding::ALL {
            let mut broken_off = encoders.take(coding, 6).unwrap();
            broken_off.add(b"never finished", &mut Vec::new()).unwrap();
            encoders.give_back(broken_off);
            for _ in 0..2 {
                let mut encoder = encoders.take(coding, 6).unwrap();
                let compressed = encoder.whole(&text).unwrap();
                assert_eq!(decoded(coding.name(), &compressed), text);
                encoders.give_back(encoder);
            }
            let mut encoder = encoders.take(coding, 6).unwrap();
            assert_eq!(encoder.whole(b"abc"), None);
        }
        for level in 1..9 {
            encoders.give_back(Encoder::new(Coding::Gzip, level).unwrap());
        }
        assert_eq!(encoders.0.borrow().len(), KEPT_MAX);
    }

    #[test]
    fn codings_have_their_names() {
        for coding in Coding::ALL {
            assert_eq!(Coding::named(coding.name()), Some(coding));
        }
        assert_eq!(Coding::named("identity"), None);
    }
}
