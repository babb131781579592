//! The chunked transfer coding (RFC 9112 §7.1), both ways.

use std::ops::Range;

use super::ParseError;
use super::encode::write_decimal;
use crate::http::token::is_token;
use crate::http::{Headers, name};

/// Hexadecimal digits of a chunk size: as many as fit into 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
/// Bytes of chunk extensions in one body. Nobody uses them; an endless one is an attack.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// Bytes of all trailer fields.
const TRAILERS_MAX: usize = 8 * 1024;
/// Trailer fields.
const TRAILER_COUNT_MAX: usize = 64;

/// Decodes a chunked body, piece by piece, without copying.
///
/// ```text
///  Size ──digit──▶ Size ──;──▶ Extension ──CR──▶ SizeEnd ──LF──▶ Data(n) ──▶ DataEnd ─┐
///    ▲                                                │ n = 0                        │
///    └────────────────────────────────────────────────┼──────────────CRLF────────────┘
///                                                     └─▶ Trailers ──empty line──▶ Done
/// ```
#[derive(Debug)]
pub struct Decoder {
    state: State,
    size: u64,
    digits: u8,
    extensions: usize,
    /// Trailer bytes seen so far, kept because they may come in pieces.
    trailer_bytes: Vec<u8>,
    trailers: Option<Headers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// What one call to [`Decoder::decode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input are done with, framing and data.
    pub consumed: usize,
    /// Which of them are content; may be empty.
    pub data: Range<usize>,
    /// The body has ended; what is behind `consumed` is not part of it.
    pub done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extensions: 0,
            trailer_bytes: Vec::new(),
            trailers: None,
        }
    }
}

impl Decoder {
    /// Decodes up to one piece of content. Call again with what is behind `consumed` while it
    /// makes progress.
    ///
    /// # Errors
    /// The coding is broken; the connection cannot be used any further.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, ParseError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Size => self.size_byte(byte)?,
                State::Extension => self.extension_byte(byte)?,
                State::SizeEnd => self.size_end(byte)?,
                State::Data => {
                    let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let end = at.saturating_add(left).min(input.len());
                    self.size -= (end - at) as u64;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step {
                        consumed: end,
                        data: at..end,
                        done: false,
                    });
                }
                State::DataCr => self.expect(byte, b'\r', State::DataLf)?,
                State::DataLf => {
                    self.expect(byte, b'\n', State::Size)?;
                    self.digits = 0;
                }
                State::Trailers => self.trailer_byte(byte)?,
                State::Done => break,
            }
            at += 1;
        }
        Ok(Step {
            consumed: at,
            data: at..at,
            done: self.state == State::Done,
        })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields, once the body has ended.
    pub fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), ParseError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' | b'\r' if self.digits > 0 => {
                self.state = if byte == b';' {
                    State::Extension
                } else {
                    State::SizeEnd
                };
                return Ok(());
            }
            _ => return Err(ParseError::Chunk),
        };
        if self.digits == SIZE_DIGITS_MAX {
            return Err(ParseError::Chunk);
        }
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        self.size = (self.size << 4) | u64::from(digit);
        Ok(())
    }

    fn extension_byte(&mut self, byte: u8) -> Result<(), ParseError> {
        self.extensions += 1;
        match byte {
            _ if self.extensions > EXTENSIONS_MAX => Err(ParseError::Chunk),
            b'\r' => {
                self.state = State::SizeEnd;
                Ok(())
            }
            b'\t' | 0x20..=0x7e | 0x80.. => Ok(()),
            _ => Err(ParseError::Chunk),
        }
    }

    fn size_end(&mut self, byte: u8) -> Result<(), ParseError> {
        let next = if self.size == 0 {
            State::Trailers
        } else {
            State::Data
        };
        self.expect(byte, b'\n', next)
    }

    fn expect(&mut self, byte: u8, expected: u8, next: State) -> Result<(), ParseError> {
        if byte != expected {
            return Err(ParseError::Chunk);
        }
        self.state = next;
        Ok(())
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<(), ParseError> {
        if self.trailer_bytes.len() == TRAILERS_MAX {
            return Err(ParseError::TrailersTooLarge);
        }
        let after_cr = self.trailer_bytes.last() == Some(&b'\r');
        if (byte == b'\n') != after_cr {
            return Err(ParseError::LineEnd);
        }
        self.trailer_bytes.push(byte);
        if self.trailer_bytes == b"\r\n" || self.trailer_bytes.ends_with(b"\r\n\r\n") {
            let bytes = std::mem::take(&mut self.trailer_bytes);
            self.trailers = parse_trailers(&bytes)?;
            self.state = State::Done;
        }
        Ok(())
    }
}

fn parse_trailers(bytes: &[u8]) -> Result<Option<Headers>, ParseError> {
    let mut trailers = Headers::new();
    let mut count = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        count += 1;
        if count > TRAILER_COUNT_MAX {
            return Err(ParseError::TrailersTooLarge);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(ParseError::Fold);
        }
        let colon = memchr::memchr(b':', line).ok_or(ParseError::NoColon)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !is_token(name) {
            return Err(ParseError::FieldName);
        }
        if value
            .iter()
            .any(|&byte| byte != b'\t' && (byte < 0x20 || byte == 0x7f))
        {
            return Err(ParseError::FieldValue);
        }
        if !is_forbidden_trailer(name) {
            trailers.append_parsed(name, value);
        }
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}

/// Fields that must not come as trailers (RFC 9110 §6.5.1): framing, routing, authentication,
/// and what tells how to read the content.
pub fn is_forbidden_trailer(field: &[u8]) -> bool {
    const FORBIDDEN: [&crate::http::HeaderName; 20] = [
        &name::TRANSFER_ENCODING,
        &name::CONTENT_LENGTH,
        &name::HOST,
        &name::CONNECTION,
        &name::KEEP_ALIVE,
        &name::UPGRADE,
        &name::TE,
        &name::TRAILER,
        &name::EXPECT,
        &name::RANGE,
        &name::CONTENT_RANGE,
        &name::CONTENT_TYPE,
        &name::CONTENT_ENCODING,
        &name::CACHE_CONTROL,
        &name::AUTHORIZATION,
        &name::PROXY_AUTHORIZATION,
        &name::COOKIE,
        &name::SET_COOKIE,
        &name::FORWARDED,
        &name::X_FORWARDED_FOR,
    ];
    FORBIDDEN
        .iter()
        .any(|name| field.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// What stands behind the data of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes the line before the data of a chunk of `length` bytes, which must not be 0.
pub fn write_chunk_head(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length > 0, "an empty chunk would end the body");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (length >> (place * 4)) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of the body, with its trailers.
pub fn write_last(out: &mut Vec<u8>, trailers: Option<&Headers>) {
    write_decimal(out, 0);
    out.extend_from_slice(b"\r\n");
    for (name, value) in trailers.into_iter().flat_map(Headers::iter) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, trailers and how many bytes were taken; fed in pieces of `piece` bytes.
    fn decode(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<Headers>, usize), ParseError> {
        let mut decoder = Decoder::default();
        let (mut content, mut taken) = (Vec::new(), 0);
        let mut available = 0;
        while !decoder.is_done() && (available < input.len() || taken < available) {
            available = (available + piece).min(input.len());
            while taken < available {
                let window = &input[taken..available];
                let step = decoder.decode(window)?;
                content.extend_from_slice(&window[step.data.clone()]);
                taken += step.consumed;
                if step.done || step.consumed == 0 {
                    break;
                }
            }
        }
        Ok((content, decoder.trailers(), taken))
    }

    #[test]
    fn any_split_reads_alike_and_leaves_what_is_behind() {
        let input = b"4;a=\"b\"\r\nWiki\r\n005\r\npedia\r\n0\r\nX-Sum: 1\r\nHost: no\r\n\r\nGET /";
        for piece in 1..=input.len() {
            let (content, trailers, taken) = decode(input, piece).unwrap();
            assert_eq!(content, b"Wikipedia");
            assert_eq!(&input[taken..], b"GET /");
            let trailers = trailers.unwrap();
            assert_eq!(
                trailers.iter().collect::<Vec<_>>(),
                [(&b"X-Sum"[..], &b"1"[..])]
            );
        }
    }

    #[test]
    fn what_breaks_the_coding_is_refused() {
        let long = [b"1;".to_vec(), vec![b'x'; EXTENSIONS_MAX + 1]].concat();
        let fat = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        let bad: &[&[u8]] = &[
            b"\r\n",
            b"g\r\n",
            b"-1\r\n",
            b" 1\r\n",
            b"1 \r\nx\r\n",
            b"1\nx\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\n",
            b"1\r\nx\rz",
            b"00000000000000001\r\n",
            b"fffffffffffffffff\r\n",
            b"1;\0\r\n",
            b"1;a\n",
            b"0\r\nA\r\n\r\n",
            b"0\r\n a: b\r\n\r\n",
            b"0\r\na b: c\r\n\r\n",
            b"0\r\na: \0\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\n\rx",
            b"0\r\na: b\rc\r\n\r\n",
            &long,
            &fat,
        ];
        for input in bad {
            for piece in [1, 7, input.len()] {
                assert!(
                    decode(input, piece).is_err(),
                    "{:?}",
                    String::from_utf8_lossy(input)
                );
            }
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        for length in [1, 9, 15, 16, 255, 256, 4095, 65_536] {
            let mut out = Vec::new();
            write_chunk_head(&mut out, length);
            out.extend(std::iter::repeat_n(b'x', length));
            out.extend_from_slice(CHUNK_END);
            write_last(&mut out, None);
            let (content, trailers, taken) = decode(&out, 1000).unwrap();
            assert_eq!(
                (content.len(), trailers.is_none(), taken),
                (length, true, out.len())
            );
        }
    }
}
