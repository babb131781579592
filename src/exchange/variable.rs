//! What a template may name of an exchange.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use smallvec::SmallVec;

use super::{Exchange, Outcome, query};
use crate::clock;
use crate::http::{HeaderName, StatusCode, date, name};

/// Something of an exchange that a template names: `{client.ip}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "KNOWN and NAMED say what each is")]
pub enum Variable {
    Path(Box<str>),
    Query(Box<str>),
    Header(HeaderName),
    Cookie(Box<str>),
    ClientIp,
    ClientPort,
    ConnectionId,
    ConnectionPeer,
    ListenerName,
    RequestBytes,
    RequestHost,
    RequestId,
    RequestMethod,
    RequestPath,
    RequestQuery,
    RequestScheme,
    RequestUri,
    RequestVersion,
    ResponseBytes,
    ResponseDurationMs,
    ResponseDurationUs,
    ResponseReason,
    ResponseStatus,
    ResponseWhy,
    RouteName,
    ServerGeneration,
    TimeClf,
    TimeRfc3339,
    TimeUnix,
    UpstreamEndpoint,
    UpstreamFirstByteMs,
    UpstreamName,
    UpstreamStatus,
    UpstreamTries,
    User,
}

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The head of the request is there.
    Request,
    /// The head of the response is there, unsent.
    Response,
    /// It is over.
    End,
}

use Variable as V;

/// Every variable without a name of its own behind the dot, sorted; and what it is.
pub const KNOWN: &[(&str, Variable, &str)] = &[
    (
        "client.ip",
        V::ClientIp,
        "who asks: the peer, or whom a trusted proxy forwards for",
    ),
    ("client.port", V::ClientPort, "the port of the peer"),
    (
        "connection.id",
        V::ConnectionId,
        "the connection, numbered by its worker",
    ),
    (
        "connection.peer",
        V::ConnectionPeer,
        "the address of the peer itself",
    ),
    (
        "listener.name",
        V::ListenerName,
        "the listener the request came to",
    ),
    (
        "request.bytes",
        V::RequestBytes,
        "bytes of content received",
    ),
    (
        "request.host",
        V::RequestHost,
        "the host asked for, without port",
    ),
    ("request.id", V::RequestId, "the request id"),
    ("request.method", V::RequestMethod, "the method"),
    (
        "request.path",
        V::RequestPath,
        "the path, decoded and normalised",
    ),
    (
        "request.query",
        V::RequestQuery,
        "the query as written, without `?`",
    ),
    ("request.scheme", V::RequestScheme, "`http` or `https`"),
    ("request.uri", V::RequestUri, "the target as written"),
    ("request.version", V::RequestVersion, "`HTTP/1.1`"),
    ("response.bytes", V::ResponseBytes, "bytes of content sent"),
    (
        "response.duration_ms",
        V::ResponseDurationMs,
        "milliseconds, with three decimals",
    ),
    (
        "response.duration_us",
        V::ResponseDurationUs,
        "microseconds",
    ),
    (
        "response.reason",
        V::ResponseReason,
        "the status in words: `Not Found`",
    ),
    ("response.status", V::ResponseStatus, "the status"),
    (
        "response.why",
        V::ResponseWhy,
        "why it went wrong, if it did",
    ),
    ("route.name", V::RouteName, "the route that answered"),
    (
        "server.generation",
        V::ServerGeneration,
        "the number of the configuration",
    ),
    ("time.clf", V::TimeClf, "now: `10/Oct/2000:13:55:36 +0000`"),
    (
        "time.rfc3339",
        V::TimeRfc3339,
        "now: `2000-10-10T13:55:36.123Z`",
    ),
    ("time.unix", V::TimeUnix, "now, in seconds since 1970"),
    (
        "upstream.endpoint",
        V::UpstreamEndpoint,
        "the endpoint that was tried last",
    ),
    (
        "upstream.first_byte_ms",
        V::UpstreamFirstByteMs,
        "milliseconds to the endpoint's answer",
    ),
    ("upstream.name", V::UpstreamName, "the upstream"),
    (
        "upstream.status",
        V::UpstreamStatus,
        "the status the endpoint gave",
    ),
    (
        "upstream.tries",
        V::UpstreamTries,
        "how many endpoints were tried",
    ),
    ("user", V::User, "who the client proved to be"),
];

/// What may stand in front of a name of one's own, and what it is.
pub const NAMED: &[(&str, &str)] = &[
    ("cookie.", "a cookie"),
    ("header.", "a field of the request"),
    ("path.", "what the path pattern captured under a name"),
    ("query.", "a parameter of the query"),
];

impl Variable {
    /// The variable of this name.
    ///
    /// # Errors
    /// There is none; what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(found) = KNOWN.binary_search_by_key(&text, |(name, ..)| name)
            && let Some((_, variable, _)) = KNOWN.get(found)
        {
            return Ok(variable.clone());
        }
        let (kind, own) = text.split_once('.').unwrap_or((text, ""));
        match (kind, own) {
            ("cookie" | "header" | "path" | "query", "") => {
                Err(format!("a name follows the dot: `{{{kind}.name}}`"))
            }
            ("path", own) => Ok(Self::Path(own.into())),
            ("query", own) => Ok(Self::Query(own.into())),
            ("cookie", own) => Ok(Self::Cookie(own.into())),
            ("header", own) => HeaderName::from_bytes(own.as_bytes())
                .map(Self::Header)
                .ok_or_else(|| format!("`{own}` cannot be the name of a field")),
            _ => Err(Self::offer(text)),
        }
    }

    /// From when on it is known.
    pub fn known_at(&self) -> Moment {
        match self {
            Self::RequestBytes
            | Self::ResponseBytes
            | Self::ResponseDurationMs
            | Self::ResponseDurationUs => Moment::End,
            Self::ResponseReason
            | Self::ResponseStatus
            | Self::ResponseWhy
            | Self::UpstreamEndpoint
            | Self::UpstreamFirstByteMs
            | Self::UpstreamName
            | Self::UpstreamStatus
            | Self::UpstreamTries => Moment::Response,
            _ => Moment::Request,
        }
    }

    /// The nearest known name, or the kinds there are.
    fn offer(text: &str) -> String {
        let names = KNOWN.iter().map(|(name, ..)| *name);
        let nearest = names
            .map(|name| (strsim::jaro_winkler(text, name), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        match nearest {
            Some((_, name)) => format!("did you mean `{{{name}}}`?"),
            None => String::from(
                "there are `{client.…}`, `{request.…}`, `{path.…}`, `{query.…}`, `{header.…}`, \
                 `{cookie.…}`, `{route.name}`, `{listener.name}`, `{server.generation}` and \
                 `{time.…}`; a brace itself is written twice",
            ),
        }
    }

    /// Gives the value to `write`, in one piece; not at all if there is none.
    pub fn value(&self, x: &Exchange<'_>, outcome: Option<&Outcome>, write: impl FnOnce(&[u8])) {
        match self {
            Self::Path(name) => give(x.params.get(name), write),
            Self::Query(name) => parameter(x.request.target.query(), name, write),
            Self::Header(name) => give(x.request.headers.get(name), write),
            Self::Cookie(name) => give(cookie(x, name), write),
            Self::ClientIp => ip(x.client_ip, write),
            Self::ClientPort => number(x.connection.peer.port(), write),
            Self::ConnectionId => number(x.connection.id, write),
            Self::ConnectionPeer => ip(x.connection.peer.ip(), write),
            Self::ListenerName => write(x.connection.listener.as_bytes()),
            Self::RequestHost => write(x.request.host().as_bytes()),
            Self::RequestId => give(x.request_id.as_deref().map(str::as_bytes), write),
            Self::RequestMethod => write(x.request.method.as_str().as_bytes()),
            Self::RequestPath => write(x.request.target.path()),
            Self::RequestQuery => give(x.request.target.query().map(str::as_bytes), write),
            Self::RequestScheme => write(x.scheme().as_bytes()),
            Self::RequestUri => write(x.request.target.raw().as_bytes()),
            Self::RequestVersion => write(x.request.version.as_str().as_bytes()),
            Self::RouteName => write(x.route.as_bytes()),
            Self::ServerGeneration => number(x.generation, write),
            Self::TimeClf => write(&date::clf(clock::unix_now().as_secs())),
            Self::TimeRfc3339 => write(&date::rfc3339_bytes(clock::unix_now())),
            Self::TimeUnix => number(clock::unix_now().as_secs(), write),
            Self::User => give(user(x), write),
            _ => self.value_of_outcome(x, outcome, write),
        }
    }

    fn value_of_outcome(
        &self,
        x: &Exchange<'_>,
        outcome: Option<&Outcome>,
        write: impl FnOnce(&[u8]),
    ) {
        let Some(outcome) = outcome else { return };
        let upstream = x.upstream.as_deref();
        match self {
            Self::RequestBytes => number(outcome.body_received, write),
            Self::ResponseBytes => number(outcome.body_sent, write),
            Self::ResponseDurationMs => millis(outcome.duration, write),
            Self::ResponseDurationUs => number(outcome.duration.as_micros(), write),
            Self::ResponseReason => {
                give(
                    outcome.status.map(|status| status.reason().as_bytes()),
                    write,
                );
            }
            Self::ResponseStatus => count(outcome.status.map(StatusCode::code), write),
            Self::ResponseWhy => give(outcome.why.map(|why| why.as_str().as_bytes()), write),
            Self::UpstreamEndpoint => give(upstream.map(|trail| trail.endpoint.as_bytes()), write),
            Self::UpstreamName => give(upstream.map(|trail| trail.upstream.as_bytes()), write),
            Self::UpstreamStatus => count(upstream.and_then(|trail| trail.status), write),
            Self::UpstreamTries => count(upstream.map(|trail| trail.tries), write),
            Self::UpstreamFirstByteMs => {
                if let Some(first_byte) = upstream.and_then(|trail| trail.first_byte) {
                    millis(first_byte, write);
                }
            }
            _ => debug_assert!(false, "{self:?} is known without an outcome"),
        }
    }
}

fn give(value: Option<&[u8]>, write: impl FnOnce(&[u8])) {
    if let Some(value) = value {
        write(value);
    }
}

fn count(count: Option<impl itoa::Integer>, write: impl FnOnce(&[u8])) {
    if let Some(count) = count {
        number(count, write);
    }
}

fn number(number: impl itoa::Integer, write: impl FnOnce(&[u8])) {
    write(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds with three decimals: `0.071`.
pub fn millis(duration: Duration, write: impl FnOnce(&[u8])) {
    let micros = duration.as_micros();
    let mut text = [0; 40];
    let length = {
        let mut left = &mut text[..];
        let mut whole = itoa::Buffer::new();
        let thousandths = micros % 1_000;
        let digits = [
            b'.',
            ascii_digit(thousandths / 100),
            ascii_digit(thousandths / 10),
            ascii_digit(thousandths),
        ];
        // 36 bytes at most: 2^128 has 39 digits, and three are cut off.
        let written = left
            .write_all(whole.format(micros / 1_000).as_bytes())
            .and_then(|()| left.write_all(&digits));
        debug_assert!(written.is_ok());
        40 - left.len()
    };
    write(text.get(..length).unwrap_or_default());
}

fn ascii_digit(number: u128) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// An address without the formatting machinery where it is IPv4.
pub fn ip(ip: IpAddr, write: impl FnOnce(&[u8])) {
    match ip {
        IpAddr::V4(v4) => ipv4(v4, write),
        IpAddr::V6(v6) => write(v6.to_string().as_bytes()),
    }
}

fn ipv4(address: Ipv4Addr, write: impl FnOnce(&[u8])) {
    let mut text = [0; 15];
    let mut length = 0;
    for (at, octet) in address.octets().into_iter().enumerate() {
        let mut digits = itoa::Buffer::new();
        let dot: &[u8] = if at == 0 { b"" } else { b"." };
        for &byte in dot.iter().chain(digits.format(octet).as_bytes()) {
            if let Some(place) = text.get_mut(length) {
                *place = byte;
                length += 1;
            }
        }
    }
    write(text.get(..length).unwrap_or_default());
}

fn user<'x>(x: &'x Exchange<'_>) -> Option<&'x [u8]> {
    let facts = x.facts.as_deref()?;
    facts.user.as_deref().map(str::as_bytes)
}

fn cookie<'x>(x: &'x Exchange<'_>, wanted: &str) -> Option<&'x [u8]> {
    // HTTP/2 may send one field a cookie (RFC 9113 §8.2.3).
    let lines = x.request.headers.iter();
    lines
        .filter(|(field, _)| field.eq_ignore_ascii_case(name::COOKIE.as_str().as_bytes()))
        .flat_map(|(_, value)| value.split(|&byte| byte == b';'))
        .find_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(wanted.as_bytes())?;
            value.strip_prefix(b"=")
        })
}

fn parameter(query: Option<&str>, name: &str, write: impl FnOnce(&[u8])) {
    if let Some(value) = query::values(query.unwrap_or_default(), name).next() {
        let value: SmallVec<[u8; 128]> = query::decoded(value).collect();
        write(&value);
    }
}
