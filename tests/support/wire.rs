//! A raw connection: bytes out, bytes in, and a small client that understands framing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::daemon::Address;
use super::response::{Head, Response, field};
use super::stream::Stream;
use super::{deadline, left};

/// A connection. Every wait has a deadline.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    /// The head read last, whose body has not been read yet.
    head: Option<Head>,
    /// It ended without the word that an encrypted one ends with.
    cut: bool,
}

impl Wire {
    /// Connects.
    #[track_caller]
    pub(crate) fn connect(address: &Address) -> Self {
        let stream = match address {
            Address::Tcp(address) => TcpStream::connect(address).map(|stream| {
                // What is sent in pieces shall arrive in pieces.
                stream.set_nodelay(true).unwrap();
                Stream::Tcp(stream)
            }),
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        };
        Self::new(stream.unwrap_or_else(|error| panic!("cannot connect to {address:?}: {error}")))
    }

    /// Connects to a port of the loopback interface from this address of it.
    #[track_caller]
    pub(crate) fn connect_from(from: [u8; 4], port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(&to.into()).unwrap();
        Self::tcp(socket.into())
    }

    /// A connection that was accepted.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::new(Stream::Tcp(stream))
    }

    /// A connection that was accepted.
    pub(crate) fn unix(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }

    /// One that is encrypted and agreed on.
    pub(crate) fn tls(stream: StreamOwned<ClientConnection, TcpStream>) -> Self {
        Self::new(Stream::Tls(Box::new(stream)))
    }

    /// The server's side of one that is encrypted and agreed on.
    pub(crate) fn tls_server(stream: StreamOwned<ServerConnection, TcpStream>) -> Self {
        Self::new(Stream::TlsServer(Box::new(stream)))
    }

    /// What was agreed on, of one that is encrypted.
    #[track_caller]
    pub(crate) fn session(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(stream) => &stream.conn,
            other => panic!("{other:?} is not encrypted"),
        }
    }

    /// Asks over an encrypted connection, and reads the answer; or why there is none.
    pub(crate) fn try_request(&mut self, request: &str) -> Result<String, rustls::Error> {
        let deadline = deadline();
        // Who is refused may learn it from either.
        let failed = |error: io::Error| match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(error) => rustls::Error::General(error.to_string()),
        };
        let sent = self.try_send(request.as_bytes()).map_err(failed);
        let mut bytes = [0; 1024];
        self.set_timeouts(deadline).map_err(failed)?;
        let count = self.stream.read(&mut bytes).map_err(failed)?;
        sent?;
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(self.read_response().text())
    }

    /// Whether it ended without the word that an encrypted one ends with.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }

    fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            head: None,
            cut: false,
        }
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.try_send(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// The answer to a GET; the connection stays open.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.read_response()
    }

    /// Asks again and again until the answer is as wanted.
    #[track_caller]
    pub(crate) fn get_until(
        &mut self,
        target: &str,
        wanted: impl Fn(&Response) -> bool,
    ) -> Response {
        let deadline = deadline();
        loop {
            let response = self.get(target);
            if wanted(&response) {
                return response;
            }
            let text = response.text();
            assert!(left(deadline).is_some(), "{}{text}", response.head.text);
        }
    }

    /// Sends bytes, over and over, until the peer answers or closes.
    #[track_caller]
    pub(crate) fn send_until_answered(&mut self, bytes: impl AsRef<[u8]>) {
        let deadline = deadline();
        while !self.is_answered() && self.try_send(bytes.as_ref()).is_ok() {
            assert!(left(deadline).is_some(), "waited in vain for an answer");
        }
    }

    /// Sends bytes to a peer that may have closed already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.set_timeouts(deadline())?;
        self.stream.write_all(bytes)
    }

    /// Sends bytes in pieces of these sizes, over and over, each in a write of its own.
    #[track_caller]
    pub(crate) fn send_split(&mut self, bytes: impl AsRef<[u8]>, sizes: &[usize]) {
        let mut rest = bytes.as_ref();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                return;
            }
            let (piece, after) = rest.split_at(rest.len().min((*size).max(1)));
            self.send(piece);
            rest = after;
        }
        panic!("no sizes to split by");
    }

    /// Ends our direction: the peer reads an end of file, unless it is gone already.
    pub(crate) fn finish_sending(&mut self) {
        match self.stream.finish() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            done => done.unwrap(),
        }
    }

    /// Closes so that the peer reads a reset.
    pub(crate) fn reset(self) {
        self.stream.reset().unwrap();
    }

    /// Reads a head and checks how it begins. Its body is left to `expect_body`.
    #[track_caller]
    pub(crate) fn expect_head(&mut self, start: &str) -> Head {
        let head = self.read_head();
        assert!(
            head.text.starts_with(start),
            "expected `{start}`, got:\n{}",
            head.text
        );
        self.head = Some(head.clone());
        head
    }

    /// Reads the body of the head read last, and checks it.
    #[track_caller]
    pub(crate) fn expect_body(&mut self, expected: impl AsRef<[u8]>) {
        let head = self.head.take().expect("no head was read");
        let (body, _) = self.read_body(&head);
        assert_eq!(
            String::from_utf8_lossy(&body),
            String::from_utf8_lossy(expected.as_ref()),
            "the body"
        );
    }

    /// Reads a response whole. 1xx are responses too.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> Response {
        let head = self.read_head();
        let (body, trailers) = self.read_body(&head);
        Response {
            head,
            body,
            trailers,
        }
    }

    /// Reads until these bytes have come; all up to their end.
    #[track_caller]
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let find = |buffer: &[u8]| buffer.windows(end.len()).position(|part| part == end);
        let what = String::from_utf8_lossy(end).into_owned();
        self.fill(|buffer| find(buffer).is_some(), &what);
        let length = find(&self.buffer).unwrap() + end.len();
        self.buffer.drain(..length).collect()
    }

    /// Whether an answer, or the end, has come by now, or comes within a moment.
    pub(crate) fn is_answered(&self) -> bool {
        self.stream.is_readable(Duration::from_millis(1))
    }

    /// Whether anything more comes before the end.
    #[track_caller]
    pub(crate) fn has_more(&mut self) -> bool {
        !self.buffer.is_empty() || self.read_more(deadline(), "more, or the end")
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        self.fill(|buffer| buffer.len() >= count, "more bytes");
        self.buffer.drain(..count).collect()
    }

    /// Reads to the end; an end by reset counts.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = deadline();
        while self.read_more(deadline, "the end of the connection") {}
        std::mem::take(&mut self.buffer)
    }

    /// Checks that nothing more comes and the peer closes.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "expected the end, got:\n{}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Reads a head.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> Head {
        let end = |buffer: &[u8]| buffer.windows(4).position(|four| four == b"\r\n\r\n");
        self.fill(|buffer| end(buffer).is_some(), "a head");
        let length = end(&self.buffer).unwrap() + 4;
        let bytes: Vec<u8> = self.buffer.drain(..length).collect();
        Head::parse(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[track_caller]
    fn read_body(&mut self, head: &Head) -> (Vec<u8>, Vec<(String, String)>) {
        if head.status < 200 || head.status == 204 || head.status == 304 {
            return (Vec::new(), Vec::new());
        }
        if head.field("transfer-encoding").is_some() {
            return self.read_chunked();
        }
        let body = match head.field("content-length") {
            Some(length) => self.read_bytes(length.parse().unwrap()),
            None => self.read_to_end(),
        };
        (body, Vec::new())
    }

    /// Reads a chunked body; its content and its trailers.
    #[track_caller]
    pub(crate) fn read_chunked(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let mut body = Vec::new();
        while let Some(size) = self.read_chunk_size() {
            body.extend(self.read_bytes(size));
            assert_eq!(self.read_line(), "", "after a chunk");
        }
        (body, self.read_trailers())
    }

    /// Reads one chunk of a chunked body, or its end, which has no trailers.
    #[track_caller]
    pub(crate) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let Some(size) = self.read_chunk_size() else {
            assert_eq!(self.read_trailers(), []);
            return None;
        };
        let chunk = self.read_bytes(size);
        assert_eq!(self.read_line(), "", "after a chunk");
        Some(chunk)
    }

    /// `None` for the last one.
    #[track_caller]
    fn read_chunk_size(&mut self) -> Option<usize> {
        let line = self.read_line();
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16);
        let size = size.unwrap_or_else(|_| panic!("no chunk size: `{line}`"));
        (size > 0).then_some(size)
    }

    #[track_caller]
    fn read_trailers(&mut self) -> Vec<(String, String)> {
        let mut trailers = Vec::new();
        loop {
            let line = self.read_line();
            if line.is_empty() {
                return trailers;
            }
            trailers.push(field(&line));
        }
    }

    #[track_caller]
    fn read_line(&mut self) -> String {
        let end = |buffer: &[u8]| buffer.windows(2).position(|two| two == b"\r\n");
        self.fill(|buffer| end(buffer).is_some(), "a line");
        let length = end(&self.buffer).unwrap();
        let line: Vec<u8> = self.buffer.drain(..length + 2).collect();
        String::from_utf8_lossy(&line[..length]).into_owned()
    }

    #[track_caller]
    fn fill(&mut self, enough: impl Fn(&[u8]) -> bool, what: &str) {
        let deadline = deadline();
        while !enough(&self.buffer) {
            assert!(
                self.read_more(deadline, what),
                "the connection ended before {what}, after:\n{}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Reads once; whether there was more.
    #[track_caller]
    fn read_more(&mut self, deadline: Instant, what: &str) -> bool {
        let mut bytes = [0; 64 << 10];
        let read = self
            .set_timeouts(deadline)
            .and_then(|()| self.stream.read(&mut bytes));
        match read {
            Ok(length) => {
                self.buffer.extend_from_slice(&bytes[..length]);
                length > 0
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            // An encrypted one whose end was not said to be one.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.cut = true;
                false
            }
            Err(error) => panic!(
                "waited in vain for {what} ({error}), after:\n{}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }

    fn set_timeouts(&self, deadline: Instant) -> io::Result<()> {
        let left = left(deadline).ok_or(io::ErrorKind::TimedOut)?;
        self.stream.set_timeouts(left)
    }
}

#[cfg(test)]
mod tests;
