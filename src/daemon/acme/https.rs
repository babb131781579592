//! The client that an authority is talked to with: HTTP/1.1 over TLS, a connection a request, by
//! a thread that may wait.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use crate::clock;
use crate::http::Method;
use crate::http::h1::chunked::Decoder;
use crate::http::h1::framing::{Framing, response_framing};
use crate::http::h1::head::HeadLimits;
use crate::http::h1::response::{ResponseHead, ResponseParser};
use crate::sys::tls::{Blocking, ClientConfig, ServerName, explained_io};

/// From the connection on to the last byte of an answer. Authorities answer within a second; one
/// that is busy may take several.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What an authority says is a few KiB; a chain of certificates some 10 KiB.
const BODY_MAX: usize = 1 << 20;

/// How much of a head is read; what there is to say in it takes a few hundred bytes.
const HEAD_LIMITS: HeadLimits = HeadLimits {
    request_line: 8 << 10,
    headers: 32 << 10,
    header_count: 100,
};

/// Talks to one authority.
#[derive(Debug)]
pub(super) struct Client {
    tls: Arc<ClientConfig>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be reached, or is not who it should be.
    Io(&'static str, String, io::Error),
    /// What it says is not HTTP.
    Answer(String, &'static str),
    /// Such a URL cannot be asked for.
    Url(String),
}

/// A request as bytes, and to whom.
struct Call {
    host: String,
    port: u16,
    method: Method,
    bytes: Vec<u8>,
}

impl Client {
    pub(super) const fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls }
    }

    fn call(&self, call: &Call) -> Result<(ResponseHead, Vec<u8>), Failure> {
        let deadline = clock::precise_now() + TIMEOUT;
        let at = format!("{}:{}", call.host, call.port);
        let told = |what| move |error| Failure::Io(what, at, error);
        let socket = connect(&call.host, call.port, deadline);
        let socket = socket.map_err(told.clone()("connect to"))?;
        let name = ServerName::try_from(call.host.clone());
        let name = name.map_err(|_| Failure::Url(call.host.clone()))?;
        let stream = Blocking::new(socket, name, &self.tls);
        let mut stream = Timed {
            stream: stream.map_err(told.clone()("talk to"))?,
            deadline,
        };
        let sent = stream.write_all(&call.bytes).and_then(|()| stream.flush());
        sent.map_err(told.clone()("ask"))?;
        match read_answer(&mut stream, &call.method) {
            Ok(answer) => Ok(answer),
            Err(Unread::Io(error)) => Err(told("read the answer of")(error)),
            Err(Unread::Not(why)) => Err(Failure::Answer(call.host.clone(), why)),
        }
    }
}

impl HttpClient for Client {
    /// Waits for the answer before it returns: the thread has nothing else to do.
    fn request(
        &self,
        request: ::http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = Self::new(Arc::clone(&self.tls));
        Box::pin(async move {
            let other = |failure| instant_acme::Error::Other(Box::new(failure));
            let (parts, body) = request.into_parts();
            // The library reads bodies of responses only; this one is at hand.
            let mut body = BytesResponse::from(::http::Response::new(body)).body;
            let body = body
                .into_bytes()
                .await
                .map_err(instant_acme::Error::Other)?;
            let call = Call::new(&parts, &body).map_err(other)?;
            let (head, content) = client.call(&call).map_err(other)?;
            let mut answer = ::http::Response::builder().status(head.status.code());
            for (name, value) in head.headers.iter() {
                answer = answer.header(name, value);
            }
            let (parts, body) = answer.body(Bytes::from(content))?.into_parts();
            let body = Box::new(body);
            Ok(BytesResponse { parts, body })
        })
    }
}

impl Call {
    fn new(parts: &::http::request::Parts, body: &[u8]) -> Result<Self, Failure> {
        let uri = &parts.uri;
        let wrong = || Failure::Url(uri.to_string());
        let host = uri.host().ok_or_else(wrong)?;
        // RFC 8555 §6.1: over TLS, and nothing else.
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let method = Method::from_bytes(parts.method.as_str().as_bytes()).ok_or_else(wrong)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let mut bytes = format!(
            "{} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n",
            parts.method
        )
        .into_bytes();
        for (name, value) in &parts.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        if !body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            method,
            bytes,
        })
    }
}

/// Connects to the first address that answers; each may take its part of the time.
fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = time_left(deadline)? / left;
        left = left.saturating_sub(1).max(1);
        match TcpStream::connect_timeout(&address, share) {
            Ok(socket) => {
                let time = time_left(deadline)?;
                socket.set_read_timeout(Some(time))?;
                socket.set_write_timeout(Some(time))?;
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The time that is left, never zero: a zero timeout means none to the kernel.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::precise_now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// A stream whose every read and write ends by the same time.
struct Timed {
    stream: Blocking<TcpStream>,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = time_left(self.deadline)?;
        self.stream.socket().set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = time_left(self.deadline)?;
        self.stream.socket().set_write_timeout(Some(left))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Why an answer cannot be read.
#[derive(Debug)]
enum Unread {
    Io(io::Error),
    Not(&'static str),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a whole answer: its head, past interim ones, and its content.
fn read_answer(stream: &mut impl Read, method: &Method) -> Result<(ResponseHead, Vec<u8>), Unread> {
    let not = |error: crate::http::h1::ParseError| Unread::Not(error.reason());
    let mut buffer = Vec::new();
    let mut parser = ResponseParser::default();
    let mut head = ResponseHead::default();
    loop {
        match parser
            .parse(&buffer, &HEAD_LIMITS, &mut head)
            .map_err(not)?
        {
            Some(length) => {
                buffer.drain(..length);
                if !head.status.is_informational() {
                    break;
                }
            }
            None if more(stream, &mut buffer)? => {}
            None => return Err(Unread::Not("the answer ends in the middle of its head")),
        }
    }
    let framing = response_framing(method, head.status, head.version, &head.headers);
    let content = match framing.map_err(not)? {
        Framing::None => Vec::new(),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > BODY_MAX {
                return Err(TOO_LONG);
            }
            while buffer.len() < length {
                if !more(stream, &mut buffer)? {
                    return Err(ENDS_EARLY);
                }
            }
            buffer.truncate(length);
            buffer
        }
        Framing::Chunked => read_chunks(stream, buffer)?,
        Framing::UntilClose => {
            while more(stream, &mut buffer)? {
                if buffer.len() > BODY_MAX {
                    return Err(TOO_LONG);
                }
            }
            buffer
        }
    };
    Ok((head, content))
}

const TOO_LONG: Unread = Unread::Not("the answer is longer than 1 MiB");
const ENDS_EARLY: Unread = Unread::Not("the answer ends in the middle");

fn read_chunks(stream: &mut impl Read, mut buffer: Vec<u8>) -> Result<Vec<u8>, Unread> {
    let mut decoder = Decoder::default();
    let mut content = Vec::new();
    loop {
        let step = decoder.decode(&buffer);
        let step = step.map_err(|error| Unread::Not(error.reason()))?;
        content.extend_from_slice(buffer.get(step.data.clone()).unwrap_or_default());
        buffer.drain(..step.consumed);
        if decoder.is_done() {
            return Ok(content);
        }
        if content.len() > BODY_MAX {
            return Err(TOO_LONG);
        }
        if step.consumed == 0 && !more(stream, &mut buffer)? {
            return Err(ENDS_EARLY);
        }
    }
}

/// Reads some more; whether there was any.
fn more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0_u8; 4096];
    let count = match stream.read(&mut piece) {
        // Many servers end a session without saying so; the framing tells whether all came.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        done => done?,
    };
    buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(count > 0)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, whom, error) => match explained_io(error) {
                Some(why) => write!(f, "cannot {what} {whom}: {why}"),
                None => write!(f, "cannot {what} {whom}: {error}"),
            },
            Self::Answer(whom, why) => write!(f, "{whom} answered something else: {why}"),
            Self::Url(url) => write!(f, "{url} is no URL that begins with https://"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &[u8], expected: Result<(u16, &str), &str>) {
        let read = read_answer(&mut &answer[..], &Method::Get);
        let read = match &read {
            Ok((head, content)) => Ok((head.status.code(), std::str::from_utf8(content).unwrap())),
            Err(Unread::Not(why)) => Err(*why),
            Err(Unread::Io(error)) => panic!("{error}"),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn answers_are_read_however_they_are_framed() {
        check(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
            Ok((200, "{}")),
        );
        check(
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            Ok((400, "{}")),
        );
        check(
            b"HTTP/1.0 200 OK\r\n\r\nto the end",
            Ok((200, "to the end")),
        );
        check(b"HTTP/1.1 204 None\r\n\r\n", Ok((204, "")));
        check(
            b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
            Ok((201, "")),
        );
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let early = "the answer ends in the middle";
        check(b"", Err("the answer ends in the middle of its head"));
        check(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            Err(early),
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
        check(chunked, Err(early));
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n";
        check(long, Err("the answer is longer than 1 MiB"));
        let endless = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'a'; BODY_MAX + 1]].concat();
        check(&endless, Err("the answer is longer than 1 MiB"));
        assert!(read_answer(&mut &b"SSH-2.0-x\r\n"[..], &Method::Get).is_err());
    }

    #[test]
    fn requests_name_their_host_and_only_https_is_asked() {
        let request = |uri: &str| {
            let request = ::http::Request::builder().method("POST").uri(uri);
            let request = request.header("content-type", "application/jose+json");
            request.body(()).unwrap().into_parts().0
        };
        let call = Call::new(&request("https://ca.example:14000/dir?a"), b"{}").unwrap();
        assert_eq!((call.host.as_str(), call.port), ("ca.example", 14000));
        assert_eq!(
            String::from_utf8(call.bytes).unwrap(),
            "POST /dir?a HTTP/1.1\r\nHost: ca.example:14000\r\nConnection: close\r\n\
             content-type: application/jose+json\r\nContent-Length: 2\r\n\r\n{}"
        );
        let call = Call::new(&request("https://[::1]/"), b"").unwrap();
        assert_eq!((call.host.as_str(), call.port), ("::1", 443));
        for uri in ["http://ca.example/", "/dir"] {
            assert!(Call::new(&request(uri), b"").is_err(), "{uri}");
        }
    }
}
