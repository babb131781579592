//! Writing a response: its head, and its content as the client makes room for it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header;
use rustix::buffer::spare_capacity;

use super::fields;
use super::priority::Priority;
use super::respond::Respond;
use super::session::Session;
use super::turns::{Piece, Turn};
use crate::clock;
use crate::exchange::{Body, BodyStream, Deadline, FileSlice, Part, Response, Why};
use crate::http::{StatusCode, name};
use crate::server::dispatch::poll_chunk;
use crate::server::h1_write::load;
use crate::server::snapshot::Snapshot;

/// Bytes of content that are handed over at once: the engine makes frames of them, four as large
/// as clients take by default. A read of a file costs the same for few as for many.
const PIECE_MAX: usize = 64 * 1024;

/// Content up to this size goes out behind its head without a look at anything else.
const AT_ONCE_MAX: usize = 16 * 1024;

/// What of the exchange shapes its response.
#[derive(Debug)]
pub(super) struct Options<'a> {
    pub(super) session: &'a Rc<Session>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) respond: &'a Respond,
    /// The request was HEAD: no content is sent.
    pub(super) is_head: bool,
    pub(super) priority: Priority,
    /// When all must be out, if at any time.
    pub(super) time_limit: Option<Instant>,
}

/// What became of a response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Bytes of content that went to the engine.
    pub(super) body: u64,
    /// Why it was not all.
    pub(super) why: Option<Why>,
}

/// Sends a response. What breaks off is seen by the client as a stream that is reset.
pub(super) async fn write(response: &mut Response, options: &Options<'_>) -> Sent {
    let body = std::mem::take(&mut response.body);
    let length = told_length(response, &body, options.is_head);
    let bodiless = options.is_head || response.status.forbids_content() || length == Some(0);
    let head = head(response, length, options);
    let stream = match options.respond.send(response.status, head, bodiless) {
        Ok(stream) => stream,
        Err(error) => return Sent::cut(0, options.session.why(&error)),
    };
    if bodiless {
        return Sent::all(0);
    }
    let body = match body {
        Body::Bytes(bytes) => match send_at_once(stream, bytes, options) {
            Ok(sent) => return sent,
            Err((stream, bytes)) => return Writer::new(stream, options).write_bytes(bytes).await,
        },
        other => other,
    };
    // Boxed, so that what is answered from memory has no room for it.
    Box::pin(Writer::new(stream, options).write(body)).await
}

/// Sends the head of a stream that becomes a tunnel; who writes to it.
pub(super) fn open<'o>(response: &Response, options: &'o Options<'o>) -> Result<Writer<'o>, Sent> {
    let head = head(response, None, options);
    match options.respond.send(response.status, head, false) {
        Ok(stream) => Ok(Writer::new(stream, options)),
        Err(error) => Err(Sent::cut(0, options.session.why(&error))),
    }
}

/// Content that the client has room for now: all of it, in one go.
fn send_at_once(
    mut stream: SendStream<Piece>,
    bytes: Bytes,
    options: &Options<'_>,
) -> Result<Sent, (SendStream<Piece>, Bytes)> {
    let length = bytes.len();
    if length > AT_ONCE_MAX || !options.session.turns.has_room() {
        return Err((stream, bytes));
    }
    stream.reserve_capacity(length);
    if stream.capacity() < length {
        return Err((stream, bytes));
    }
    let piece = options.session.turns.piece(bytes);
    Ok(match stream.send_data(piece, true) {
        Ok(()) => Sent::all(length as u64),
        Err(error) => Sent::cut(0, options.session.why(&error)),
    })
}

/// RFC 9110 §8.6: the length that is told, if any.
fn told_length(response: &Response, body: &Body, is_head: bool) -> Option<u64> {
    let status = response.status;
    if status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return None;
    }
    if is_head && response.head_length.is_some() {
        return response.head_length;
    }
    if is_head && matches!(body, Body::Empty) && status.is_success() {
        // Nobody told it: saying 0 would be a lie.
        return None;
    }
    body.length()
}

fn head(response: &Response, length: Option<u64>, options: &Options<'_>) -> http::HeaderMap {
    let mut map = fields::of(&response.headers, 3);
    let worker = &options.session.connection.worker;
    if !response.headers.contains(&name::DATE) {
        map.append(header::DATE, worker.http2.date(&worker.date()));
    }
    if let Some(server) = &options.snapshot.generation.server_header
        && !response.headers.contains(&name::SERVER)
    {
        map.append(header::SERVER, worker.http2.server(server));
    }
    if let Some(length) = length {
        map.append(header::CONTENT_LENGTH, fields::number(length));
    }
    map
}

impl Sent {
    const fn all(body: u64) -> Self {
        Self { body, why: None }
    }

    const fn cut(body: u64, why: Why) -> Self {
        Self {
            body,
            why: Some(why),
        }
    }
}

/// The content of one response on its way.
pub(super) struct Writer<'a> {
    stream: SendStream<Piece>,
    options: &'a Options<'a>,
    turn: Turn,
    /// Of the wait for the client to take something; there is none until one is waited for.
    deadline: Option<Deadline>,
    /// The deadline is set.
    limited: bool,
    sent: u64,
}

impl<'a> Writer<'a> {
    fn new(stream: SendStream<Piece>, options: &'a Options<'a>) -> Self {
        let id = stream.stream_id().as_u32();
        Self {
            stream,
            options,
            turn: Turn::new(&options.session.turns, id, options.priority),
            deadline: None,
            limited: false,
            sent: 0,
        }
    }

    async fn write_bytes(mut self, bytes: Bytes) -> Sent {
        let sent = self.send(bytes, true).await;
        self.done(sent)
    }

    async fn write(mut self, body: Body) -> Sent {
        let sent = match body {
            Body::Empty => self.end(),
            Body::Bytes(bytes) => self.send(bytes, true).await,
            Body::File(slice) => self.file(&slice, true).await,
            Body::Parts(parts) => self.parts(parts).await,
            Body::Stream(stream) => self.stream(stream).await,
            // Tunnels have a way of their own: nobody asked for this one.
            Body::Tunnel(_) => Err(Why::BadMethod),
        };
        self.done(sent)
    }

    pub(super) fn done(mut self, sent: Result<(), Why>) -> Sent {
        let Err(why) = sent else {
            return Sent::all(self.sent);
        };
        self.stream.send_reset(match why {
            Why::ClientAbort | Why::WriteTimeout | Why::DrainTimeout => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        });
        Sent::cut(self.sent, why)
    }

    pub(super) fn end(&mut self) -> Result<(), Why> {
        let piece = self.turn.piece(Bytes::new());
        let sent = self.stream.send_data(piece, true);
        sent.map_err(|error| self.options.session.why(&error))
    }

    async fn parts(&mut self, parts: Vec<Part>) -> Result<(), Why> {
        let count = parts.len();
        for (index, part) in parts.into_iter().enumerate() {
            let ends = index + 1 == count;
            match part {
                Part::Bytes(bytes) => self.send(bytes, ends).await?,
                Part::File(slice) => self.file(&slice, ends).await?,
            }
        }
        Ok(())
    }

    async fn stream(&mut self, mut stream: Box<dyn BodyStream>) -> Result<(), Why> {
        let options = self.options;
        loop {
            let next = poll_fn(|cx| {
                let connection = &options.session.connection;
                if let Poll::Ready(next) = poll_chunk(&mut *stream, connection, cx) {
                    return Poll::Ready(next.map(|piece| piece.map_err(|error| error.0)));
                }
                // Who streams from an upstream must not wait for it on behalf of nobody.
                self.poll_gone(cx).map(|why| Some(Err(why)))
            });
            match next.await {
                Some(Ok(piece)) => self.send(piece, false).await?,
                Some(Err(why)) => return Err(why),
                None => break,
            }
        }
        match stream.trailers() {
            None => self.end(),
            Some(trailers) => {
                let sent = self.stream.send_trailers(fields::of(&trailers, 0));
                sent.map_err(|error| options.session.why(&error))
            }
        }
    }

    async fn file(&mut self, slice: &FileSlice, ends: bool) -> Result<(), Why> {
        let mut offset = slice.offset;
        let end = slice.offset.saturating_add(slice.length);
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            // Room first: what is read waits nowhere.
            let room = self.room(left.min(PIECE_MAX)).await?;
            let piece = self.read(slice, offset, room).await?;
            offset += piece.len() as u64;
            self.hand(piece, ends && offset == end)?;
        }
        Ok(())
    }

    /// A part of the file, once the kernel has it in memory.
    async fn read(&self, slice: &FileSlice, offset: u64, count: usize) -> Result<Bytes, Why> {
        load(&self.options.session.connection, slice, offset, count).await?;
        let mut piece = Vec::with_capacity(count);
        let read = rustix::io::pread(&slice.file, spare_capacity(&mut piece), offset);
        match read.map_err(|_| Why::FileError)? {
            0 => Err(Why::FileTruncated),
            _ => Ok(Bytes::from(piece)),
        }
    }

    /// Sends bytes, as the client makes room for them.
    pub(super) async fn send(&mut self, mut bytes: Bytes, ends: bool) -> Result<(), Why> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len().min(PIECE_MAX)).await?;
            let piece = bytes.split_to(room.min(bytes.len()));
            self.hand(piece, ends && bytes.is_empty())?;
        }
        Ok(())
    }

    /// Waits for room in the client's windows, `wanted` bytes at most, and for this one's turn.
    async fn room(&mut self, wanted: usize) -> Result<usize, Why> {
        self.stream.reserve_capacity(wanted);
        let mut room = self.stream.capacity();
        if room == 0 || !self.options.session.turns.has_room() {
            room = poll_fn(|cx| self.poll_room(cx)).await?;
            if std::mem::take(&mut self.limited)
                && let Some(deadline) = &self.deadline
            {
                deadline.clear();
            }
        }
        Ok(room.min(wanted))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Why>> {
        let mut room = self.stream.capacity();
        if room == 0 {
            room = match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(room))) => room,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(self.options.session.why(&error)));
                }
                Poll::Ready(None) => return Poll::Ready(Err(self.gone())),
                Poll::Pending => {
                    let idle = self.options.snapshot.generation.limits.write_idle_timeout;
                    return self.poll_in_time(idle, cx).map(Err);
                }
            };
        }
        if self.turn.poll(cx).is_ready() {
            return Poll::Ready(Ok(room));
        }
        if let Poll::Ready(why) = self.poll_gone(cx) {
            return Poll::Ready(Err(why));
        }
        // However long others have their turn: that the connection moves is watched elsewhere.
        self.poll_in_time(Duration::MAX, cx).map(Err)
    }

    /// Why nothing can be sent any more.
    fn gone(&self) -> Why {
        if self.options.session.connection.is_cut() {
            Why::DrainTimeout
        } else {
            Why::ClientAbort
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Why> {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Why::ClientAbort),
            Poll::Ready(Err(error)) => Poll::Ready(self.options.session.why(&error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client has made no room for too long, or the exchange lasts too long.
    fn poll_in_time(&mut self, idle: Duration, cx: &Context<'_>) -> Poll<Why> {
        let now = clock::now();
        let left = |limit: Instant| limit.saturating_duration_since(now);
        let time_left = self.options.time_limit.map(left);
        let deadlines = &self.options.session.connection.worker.locals.deadlines;
        let deadline = self.deadline.get_or_insert_with(|| deadlines.register());
        if !std::mem::replace(&mut self.limited, true) {
            deadline.set(time_left.map_or(idle, |left| left.min(idle)));
        }
        deadline.poll_past(cx).map(|()| match time_left {
            Some(left) if left.is_zero() => Why::ExchangeTimeout,
            _ => Why::WriteTimeout,
        })
    }

    fn hand(&mut self, piece: Bytes, ends: bool) -> Result<(), Why> {
        let count = piece.len();
        let piece = self.turn.piece(piece);
        let sent = self.stream.send_data(piece, ends);
        sent.map_err(|error| self.options.session.why(&error))?;
        self.sent += count as u64;
        self.options.session.wire.watch.borrow_mut().sent(count);
        Ok(())
    }
}
