//! Writing a response: one system call where one is enough, `sendfile` for files.

use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use super::connection::Connection;
use super::dispatch::poll_chunk;
use super::h1_output::{flush, is_out_of_time, poll_write_deadline, write_all};
use crate::exchange::{Body, BodyError, BodyStream, FileSlice, Part, Response, Why};
use crate::http::h1::chunked::{CHUNK_END, write_chunk_head, write_last};
use crate::http::h1::encode::{BodyLength, ConnectionOption, HeadOptions, write_response_head};
use crate::http::h1::state::Event;
use crate::http::{StatusCode, Version};
use crate::sys::transport::More;

/// Content up to this size is copied behind its head: cheaper than a second slice.
const COPIED_MAX: usize = 16 * 1024;
/// Pipelined responses are gathered up to this size before they are written.
const GATHERED_MAX: usize = 64 * 1024;
/// Bytes a `sendfile` call is asked for: bounds how long one connection holds the worker.
const SLICE: u64 = 512 * 1024;

/// What of the request shapes its response.
#[derive(Debug)]
pub struct Options<'a> {
    /// The version the client spoke.
    pub version: Version,
    /// The request was HEAD: no content is sent.
    pub is_head: bool,
    /// The connection goes on behind it.
    pub keep: bool,
    /// The `Server` field.
    pub server: Option<&'a str>,
}

/// What became of a response.
#[derive(Debug)]
pub struct Sent {
    /// Bytes of content that went out, or wait in the output.
    pub body: u64,
    /// What this means for the connection.
    pub event: Event,
    /// Why it was not all.
    pub why: Option<Why>,
}

/// Encodes a response and writes its content. Short responses stay in `output`, so that those to
/// pipelined requests go out together.
pub async fn write(
    connection: &Rc<Connection>,
    output: &mut Vec<u8>,
    response: &mut Response,
    options: &Options<'_>,
) -> Sent {
    output.append(&mut connection.take_interim());
    let body = std::mem::take(&mut response.body);
    let length = framing(response, &body, options);
    let until_close = length == BodyLength::Untold
        && matches!(body, Body::Stream(_))
        && !options.is_head
        && !response.status.forbids_content();
    let date = connection.worker.date();
    let head = HeadOptions {
        date: &date,
        server: options.server,
        connection: match (options.keep && !until_close, options.version) {
            _ if matches!(body, Body::Tunnel(_)) => ConnectionOption::Upgrade,
            (false, _) => ConnectionOption::Close,
            (true, Version::Http10) => ConnectionOption::KeepAlive,
            (true, _) => ConnectionOption::Unsaid,
        },
        body: length,
    };
    write_response_head(output, response.status, &response.headers, &head);
    if (options.is_head || response.status.forbids_content()) && !matches!(body, Body::Tunnel(_)) {
        return done(connection, output, 0).await;
    }
    let mut sent = 0;
    let result = match body {
        Body::Empty => Ok(()),
        Body::Bytes(bytes) => write_bytes(connection, output, &bytes, &mut sent).await,
        Body::File(slice) => write_file(connection, output, &slice, &mut sent).await,
        Body::Parts(parts) => write_parts(connection, output, &parts, &mut sent).await,
        Body::Stream(stream) => {
            let chunked = length == BodyLength::Chunked;
            write_stream(connection, output, stream, chunked, &mut sent).await
        }
        Body::Tunnel(tunnel) => {
            return match flush(connection, output).await {
                Ok(()) => {
                    let early = Bytes::from(connection.input.borrow_mut().take());
                    let end = tunnel.run(Rc::clone(&connection.transport), early).await;
                    match end.why {
                        None => Sent::last(end.sent),
                        Some(why) => Sent::cut(end.sent, why),
                    }
                }
                Err(why) => Sent::cut(0, why),
            };
        }
    };
    match result {
        Ok(()) if until_close => Sent::last(sent),
        Ok(()) => done(connection, output, sent).await,
        Err(why) => {
            // What is half-sent must not look whole: nothing more is written.
            output.clear();
            connection.transport.cut();
            Sent::cut(sent, why)
        }
    }
}

async fn done(connection: &Rc<Connection>, output: &mut Vec<u8>, body: u64) -> Sent {
    if output.len() > GATHERED_MAX
        && let Err(why) = flush(connection, output).await
    {
        return Sent::cut(body, why);
    }
    Sent {
        body,
        event: Event::Sent,
        why: None,
    }
}

impl Sent {
    /// All of it went out, and its end is the connection's.
    const fn last(body: u64) -> Self {
        Self {
            body,
            event: Event::SentLast,
            why: None,
        }
    }

    /// It broke off after so many bytes of content.
    const fn cut(body: u64, why: Why) -> Self {
        let event = match why {
            Why::ClientAbort | Why::WriteTimeout | Why::DrainTimeout => Event::Gone,
            _ => Event::SentLast,
        };
        Self {
            body,
            event,
            why: Some(why),
        }
    }
}

/// RFC 9112 §6: how the client will find the end of the content.
fn framing(response: &Response, body: &Body, options: &Options<'_>) -> BodyLength {
    let status = response.status;
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return BodyLength::Untold;
    }
    if status == StatusCode::NOT_MODIFIED {
        return BodyLength::Untold;
    }
    if options.is_head
        && let Some(length) = response.head_length
    {
        return BodyLength::Length(length);
    }
    match body.length() {
        Some(_) if options.is_head && matches!(body, Body::Empty) && status.is_success() => {
            // A HEAD whose length nobody told: saying 0 would be a lie.
            BodyLength::Untold
        }
        Some(length) => BodyLength::Length(length),
        None if options.version == Version::Http10 => BodyLength::Untold,
        None => BodyLength::Chunked,
    }
}

async fn write_bytes(
    connection: &Rc<Connection>,
    output: &mut Vec<u8>,
    bytes: &[u8],
    sent: &mut u64,
) -> Result<(), Why> {
    if bytes.len() <= COPIED_MAX {
        output.extend_from_slice(bytes);
    } else {
        write_all(connection, &[output, bytes], More::No).await?;
        output.clear();
    }
    *sent += bytes.len() as u64;
    Ok(())
}

async fn write_parts(
    connection: &Rc<Connection>,
    output: &mut Vec<u8>,
    parts: &[Part],
    sent: &mut u64,
) -> Result<(), Why> {
    for part in parts {
        match part {
            Part::Bytes(bytes) => write_bytes(connection, output, bytes, sent).await?,
            Part::File(slice) => write_file(connection, output, slice, sent).await?,
        }
    }
    Ok(())
}

async fn write_file(
    connection: &Rc<Connection>,
    output: &mut Vec<u8>,
    slice: &FileSlice,
    sent: &mut u64,
) -> Result<(), Why> {
    if !output.is_empty() {
        write_all(connection, &[output], More::Follows).await?;
        output.clear();
    }
    let (mut offset, end) = (slice.offset, slice.offset.saturating_add(slice.length));
    while offset < end {
        if is_out_of_time(connection) {
            return Err(Why::ExchangeTimeout);
        }
        let from = offset;
        let count = usize::try_from((end - offset).min(SLICE)).unwrap_or(usize::MAX);
        load(connection, slice, offset, count).await?;
        let mut blocked = false;
        let result = std::future::poll_fn(|cx| {
            let polled = connection
                .transport
                .poll_send_file(cx, &slice.file, &mut offset, count);
            poll_write_deadline(connection, polled, &mut blocked, cx)
        })
        .await?;
        if result == 0 {
            return Err(Why::FileTruncated);
        }
        *sent += offset - from;
    }
    Ok(())
}

/// Has the kernel read this part of the file from the disk, if it is not in memory, on a thread
/// that may wait for it.
pub(super) async fn load(
    connection: &Rc<Connection>,
    slice: &FileSlice,
    offset: u64,
    count: usize,
) -> Result<(), Why> {
    use rustix::io::ReadWriteFlags;
    let last = offset + count as u64 - 1;
    if connection.worker.resident.is_known(&slice.file, last) {
        return Ok(());
    }
    let mut byte = [0_u8; 1];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(&slice.file, &mut into, last, ReadWriteFlags::NOWAIT) {
        Err(rustix::io::Errno::AGAIN) => {}
        Ok(_) => {
            connection.worker.resident.note(&slice.file, last);
            return Ok(());
        }
        // An answer that sendfile will give as well.
        Err(_) => return Ok(()),
    }
    let file = std::sync::Arc::clone(&slice.file);
    let read = connection.worker.locals.blocking.run(move || {
        let mut scratch = vec![0; 64 * 1024];
        let mut at = offset;
        while at <= last {
            match std::os::unix::fs::FileExt::read_at(&*file, &mut scratch, at) {
                Ok(0) | Err(_) => return,
                Ok(count) => at += count as u64,
            }
        }
    });
    read.await.map_err(|_| Why::Overloaded)
}

async fn write_stream(
    connection: &Rc<Connection>,
    output: &mut Vec<u8>,
    mut stream: Box<dyn BodyStream>,
    chunked: bool,
    sent: &mut u64,
) -> Result<(), Why> {
    // Who streams from an upstream must not wait for it on behalf of nobody.
    let mut watching = true;
    loop {
        // What is there goes out before waiting for more.
        let next = std::future::poll_fn(|cx| match poll_chunk(&mut *stream, connection, cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending if output.is_empty() => connection
                .poll_gone(&mut watching, cx)
                .map(|why| Some(Some(Err(BodyError(why))))),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        match next {
            None => flush(connection, output).await?,
            Some(Some(Ok(piece))) => {
                *sent += piece.len() as u64;
                if chunked {
                    write_chunk_head(output, piece.len());
                }
                let end: &[u8] = if chunked { CHUNK_END } else { b"" };
                if piece.len() <= COPIED_MAX {
                    output.extend_from_slice(&piece);
                    output.extend_from_slice(end);
                } else {
                    write_all(connection, &[output, &piece, end], More::No).await?;
                    output.clear();
                }
                if output.len() > GATHERED_MAX {
                    flush(connection, output).await?;
                }
            }
            Some(Some(Err(error))) => {
                // The client must see that it is cut: it gets what came, and no end.
                flush(connection, output).await?;
                return Err(error.0);
            }
            Some(None) => {
                if chunked {
                    write_last(output, stream.trailers().as_ref());
                }
                return Ok(());
            }
        }
    }
}
