//! One request by hand: whether a server answers, and how long its answers are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use memchr::memmem;

use crate::Outcome;

/// What an answer looked like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) head: usize,
    /// Bytes of the body, as its head announced, or with the framing of its chunks.
    pub(crate) body: usize,
}

/// Asks for a path and reads the whole answer; the connection can be used again.
pub(crate) fn ask(mut stream: &TcpStream, path: &str) -> Outcome<Answer> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
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
    let status = text.split(' ').nth(1).ok_or("no status")?.parse()?;
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        buffer.truncate(filled);
        let body = chunks(stream, buffer.split_off(head))?;
        return Ok(Answer { status, head, body });
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
    Ok(Answer { status, head, body })
}

/// Reads chunks to their end; how many bytes they were.
fn chunks(mut stream: &TcpStream, mut chunks: Vec<u8>) -> Outcome<usize> {
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
