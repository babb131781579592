//! Asking a server, off the path of every request, whether it is there: blocking, and never for
//! longer than its timeout.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::address::Destination;
use super::statuses::Statuses;
use crate::clock;
use crate::sys::shortage::shortage;
use crate::sys::tls::{Blocking, ClientConfig, ServerName, explained_io};

/// How much of an answer is read. A status line is some dozen bytes; a few fields may come in
/// the same packet.
const ANSWER_MAX: usize = 1024;

/// How much of an answer is read if something must be in its content. Pages of health are short.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Why a server is not well.
#[derive(Debug)]
pub(super) enum Unwell {
    /// Its name stands for no address.
    Unresolved,
    /// It could not be connected to, or the connection broke.
    Io(io::Error),
    /// It did not answer in time.
    TimedOut,
    /// It answered something else than HTTP/1.
    NotHttp,
    /// It answered this status, which is none of the good ones.
    Status(u16),
    /// What should be in the answer was not.
    Body,
}

impl Unwell {
    /// What this process lacks to ask at all, if that is why: it says nothing of the server.
    pub(super) fn shortage(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => shortage(error),
            _ => None,
        }
    }
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved => f.write_str("its name does not resolve"),
            Self::Io(error) => match explained_io(error) {
                Some(explained) => f.write_str(&explained),
                None => write!(f, "{error}"),
            },
            Self::TimedOut => f.write_str("no answer in time"),
            Self::NotHttp => f.write_str("the answer is not HTTP/1"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("the answer lacks the expected text"),
        }
    }
}

impl From<io::Error> for Unwell {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// What comes before a question.
#[derive(Debug, Default)]
pub(super) struct Approach {
    /// Sent first.
    pub(super) preface: Vec<u8>,
    /// Whom to agree with on how to encrypt, if the rest is encrypted.
    pub(super) tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// A connection to a server.
enum Line {
    Plain(Socket),
    Tls(Box<Blocking<Socket>>),
}

/// Connects, to the first of the destinations that accepts, and sends the preface.
pub(super) fn connect(
    destinations: &[Destination],
    preface: &[u8],
    timeout: Duration,
) -> Result<(), Unwell> {
    let deadline = clock::precise_now() + timeout;
    let mut socket = connect_by(destinations, deadline)?;
    socket.set_write_timeout(Some(left(deadline)?))?;
    Ok(socket.write_all(preface)?)
}

/// What a server is asked, and which answer is a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Asked for with GET.
    pub(super) path: Box<str>,
    /// Whole lines of fields, sent with it.
    pub(super) fields: Box<str>,
    /// `Host` is among the fields.
    pub(super) names_host: bool,
    pub(super) statuses: Statuses,
    /// What the answer's content holds, as it is on the wire; `None` for anything.
    pub(super) body: Option<Box<[u8]>>,
}

impl Question {
    /// Asks for `path`; 2xx and 3xx are good.
    pub(super) fn of(path: &str) -> Self {
        Self {
            path: path.into(),
            fields: Box::default(),
            names_host: false,
            statuses: Statuses::of(&[(200, 399)]),
            body: None,
        }
    }
}

/// Asks for `path` with GET; the status if it is 2xx or 3xx.
pub(super) fn get(
    destinations: &[Destination],
    authority: &str,
    path: &str,
    timeout: Duration,
) -> Result<u16, Unwell> {
    let approach = Approach::default();
    let question = Question::of(path);
    ask(destinations, authority, approach, &question, timeout)
}

/// Asks; the status if the answer is a good one.
pub(super) fn ask(
    destinations: &[Destination],
    authority: &str,
    approach: Approach,
    question: &Question,
    timeout: Duration,
) -> Result<u16, Unwell> {
    let deadline = clock::precise_now() + timeout;
    let mut line = Line::open(destinations, approach, deadline)?;
    let request = question.head(authority);
    line.set_timeouts(left(deadline)?)?;
    line.as_mut().write_all(request.as_bytes())?;
    let answer_max = question.body.as_ref().map_or(ANSWER_MAX, |_| BODY_MAX);
    let mut answer = Vec::with_capacity(ANSWER_MAX);
    let mut piece = [0_u8; ANSWER_MAX];
    loop {
        line.set_timeouts(left(deadline)?)?;
        let count = match line.as_mut().read(&mut piece) {
            // A server that ends TLS by ending the connection has said what it had to say.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        let over = count == 0 || answer.len() >= answer_max;
        match status_of(&answer) {
            Some(status) if !question.statuses.contain(status) => {
                return Err(Unwell::Status(status));
            }
            Some(status) if question.is_answered_by(&answer) => return Ok(status),
            Some(_) if over => return Err(Unwell::Body),
            None if over => return Err(Unwell::NotHttp),
            _ => {}
        }
    }
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Line {
    fn open(
        destinations: &[Destination],
        approach: Approach,
        deadline: Instant,
    ) -> Result<Self, Unwell> {
        let mut socket = connect_by(destinations, deadline)?;
        if !approach.preface.is_empty() {
            socket.set_write_timeout(Some(left(deadline)?))?;
            socket.write_all(&approach.preface)?;
        }
        Ok(match approach.tls {
            None => Self::Plain(socket),
            Some((name, config)) => Self::Tls(Box::new(Blocking::new(socket, name, &config)?)),
        })
    }

    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.socket(),
        };
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))
    }

    fn as_mut(&mut self) -> &mut dyn Stream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session,
        }
    }
}

impl Question {
    /// The head of the request, as HTTP/1.1 writes it.
    pub(super) fn head(&self, authority: &str) -> String {
        let Self { path, fields, .. } = self;
        let host = if self.names_host {
            String::new()
        } else {
            format!("Host: {authority}\r\n")
        };
        format!(
            "GET {path} HTTP/1.1\r\n{host}User-Agent: httpserverd-check\r\nAccept: */*\r\n\
             {fields}Connection: close\r\n\r\n"
        )
    }

    /// Whether an answer with a good status has all that is asked for.
    fn is_answered_by(&self, answer: &[u8]) -> bool {
        let Some(body) = &self.body else { return true };
        let end = memchr::memmem::find(answer, b"\r\n\r\n");
        let content = end
            .and_then(|end| answer.get(end + 4..))
            .unwrap_or_default();
        memchr::memmem::find(content, body).is_some()
    }
}

/// The status of the first answer that is not an interim one (RFC 9110 §15.2).
fn status_of(answer: &[u8]) -> Option<u16> {
    let mut rest = answer;
    loop {
        let status = rest.strip_prefix(b"HTTP/1.")?;
        // A digit of version, a blank, three of status, and the end of the word.
        let [minor, b' ', status @ ..] = status else {
            return None;
        };
        let (digits, after) = status.split_at_checked(3)?;
        let word_ends = matches!(after.first(), Some(b' ' | b'\r'));
        if !minor.is_ascii_digit() || !word_ends || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if status >= 200 {
            return Some(status);
        }
        let end = memchr::memmem::find(rest, b"\r\n\r\n")?;
        rest = rest.get(end + 4..)?;
    }
}

fn connect_by(destinations: &[Destination], deadline: Instant) -> Result<Socket, Unwell> {
    let mut failed = Unwell::Unresolved;
    for destination in destinations {
        let address = match destination {
            Destination::Ip(address) => SockAddr::from(*address),
            Destination::Unix(path) => SockAddr::unix(path)?,
        };
        let domain = Domain::from(i32::from(address.family()));
        let socket = Socket::new(domain, Type::STREAM, None)?;
        match socket.connect_timeout(&address, left(deadline)?) {
            Ok(()) => return Ok(socket),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

/// The time that is left, never zero: a zero timeout means none to the kernel.
fn left(deadline: Instant) -> Result<Duration, Unwell> {
    let left = deadline.saturating_duration_since(clock::precise_now());
    if left.is_zero() {
        return Err(Unwell::TimedOut);
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Answers one connection with these bytes and closes.
    fn answering(answer: &'static [u8]) -> (Destination, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Destination::Ip(listener.local_addr().unwrap());
        let server = std::thread::Builder::new().spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() > 0 {
                request.push(byte[0]);
            }
            socket.write_all(answer).unwrap();
            request
        });
        (address, server.unwrap())
    }

    #[track_caller]
    fn check(answer: &'static [u8], expected: &str) {
        let (address, server) = answering(answer);
        let found = match get(&[address], "app:80", "/up?x", TIMEOUT) {
            Ok(status) => status.to_string(),
            Err(unwell) => unwell.to_string(),
        };
        assert_eq!(found, expected);
        let request = server.join().unwrap();
        assert!(request.starts_with(b"GET /up?x HTTP/1.1\r\nHost: app:80\r\n"));
    }

    #[test]
    fn the_first_final_status_counts() {
        check(b"HTTP/1.1 200 OK\r\n\r\n", "200");
        check(b"HTTP/1.0 302\r\n", "302");
        check(b"HTTP/1.1 503 Busy\r\n\r\n", "status 503");
        check(
            b"HTTP/1.1 103 Hint\r\nA: b\r\n\r\nHTTP/1.1 204 N\r\n",
            "204",
        );
        check(b"HTTP/1.1 20", "the answer is not HTTP/1");
        check(b"HTTP/2 200 OK\r\n\r\n", "the answer is not HTTP/1");
        check(b"SSH-2.0-x\r\n", "the answer is not HTTP/1");
        check(b"", "the answer is not HTTP/1");
    }

    #[test]
    fn an_answer_must_have_what_is_asked_for() {
        let question = Question {
            path: "/up".into(),
            fields: "Host: own\r\nX-A: b\r\n".into(),
            names_host: true,
            statuses: Statuses::of(&[(200, 200), (503, 503)]),
            body: Some(b"fine".as_slice().into()),
        };
        let cases: [(&[u8], &str); 4] = [
            (b"HTTP/1.1 503 X\r\n\r\nall is fine", "503"),
            (
                b"HTTP/1.1 200 fine\r\nA: fine\r\n\r\nbad",
                "the answer lacks the expected text",
            ),
            (b"HTTP/1.1 204 X\r\n\r\nfine", "status 204"),
            (b"HTTP/1.1 200", "the answer is not HTTP/1"),
        ];
        for (answer, expected) in cases {
            let (address, server) = answering(answer);
            let found = match ask(
                &[address],
                "app:80",
                Approach::default(),
                &question,
                TIMEOUT,
            ) {
                Ok(status) => status.to_string(),
                Err(unwell) => unwell.to_string(),
            };
            assert_eq!(found, expected);
            let request = String::from_utf8(server.join().unwrap()).unwrap();
            assert!(request.contains("\r\nHost: own\r\nX-A: b\r\n"), "{request}");
            assert!(!request.contains("app:80"), "{request}");
        }
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = [Destination::Ip(listener.local_addr().unwrap())];
        connect(&address, b"", TIMEOUT).unwrap();
        let unwell = get(&address, "a", "/", Duration::from_millis(20)).unwrap_err();
        assert!(matches!(unwell, Unwell::TimedOut), "{unwell}");
        // Port 1 is nobody's: it is not among those that the kernel gives away.
        let nobody = [Destination::Ip("127.0.0.1:1".parse().unwrap())];
        assert!(matches!(connect(&nobody, b"", TIMEOUT), Err(Unwell::Io(_))));
        assert!(matches!(
            connect(&[], b"", TIMEOUT),
            Err(Unwell::Unresolved)
        ));
    }
}
