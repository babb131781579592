//! One request by hand: whether a server answers, and how long its answers are.

use std::io::{Read, Write};

use memchr::memmem;

use crate::Outcome;

/// What an answer looked like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// Bytes of the head.
    pub(crate) head: usize,
    /// Bytes of the body, as its head announced, or with the framing of its chunks.
    pub(crate) body: usize,
}

/// Asks for a path and reads the whole answer, which must be 200; the connection can be used
/// again.
pub(crate) fn ask(mut stream: impl Read + Write, path: &str) -> Outcome<Answer> {
    let codings = if path.starts_with("/gzip") {
        "Accept-Encoding: gzip\r\n"
    } else {
        ""
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{codings}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    let head = loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty());
        let length = stream.read(room.ok_or("a head of 64 KiB")?)?;
        if length == 0 {
            return Err("closed in the middle of a head".into());
        }
        filled += length;
        if let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
    let status = text.split(' ').nth(1).ok_or("no status")?;
    if status != "200" {
        return Err(format!("status {status}").into());
    }
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        buffer.truncate(filled);
        let body = chunks(stream, buffer.split_off(head))?;
        return Ok(Answer { head, body });
    }
    let body: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .ok_or("no Content-Length")?
        .trim()
        .parse()?;
    let mut left = (head + body).saturating_sub(filled);
    while left > 0 {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("closed in the middle of a body".into());
        }
        left = left.saturating_sub(length);
    }
    Ok(Answer { head, body })
}

/// One request over HTTP/2 by hand, the first of a connection, read to the end of its answer.
pub(crate) fn ask_http2(mut stream: impl Read + Write, path: &str) -> Outcome<()> {
    // Fields of the static table, and two whose names are in it (RFC 7541, appendix A).
    let mut fields = vec![0x82, 0x87, 0x04, u8::try_from(path.len())?];
    fields.extend_from_slice(path.as_bytes());
    fields.extend_from_slice(b"\x01\x09localhost");
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
    sent.extend_from_slice(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields));
    sent.extend_from_slice(&frame(SETTINGS, ACK, 0, &[]));
    stream.write_all(&sent)?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        let mut payload = Read::by_ref(&mut stream).take(length);
        let read = std::io::copy(&mut payload, &mut std::io::sink())?;
        if read < length {
            return Err("closed in the middle of a frame".into());
        }
        match kind {
            DATA | HEADERS if flags & END_STREAM != 0 => return Ok(()),
            RST_STREAM | GOAWAY => return Err("refused".into()),
            _ => {}
        }
    }
}

// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of less than 256 bytes on one of the first streams.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// Reads chunks to their end; how many bytes they were.
fn chunks(mut stream: impl Read, mut chunks: Vec<u8>) -> Outcome<usize> {
    let mut buffer = vec![0; 64 * 1024];
    while !chunks.ends_with(b"\r\n0\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("closed in the middle of a body".into());
        }
        chunks.extend_from_slice(&buffer[..length]);
    }
    Ok(chunks.len())
}
