//! What a variable stands for in one exchange.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use smallvec::SmallVec;

use super::Variable;
use crate::clock;
use crate::exchange::{Exchange, Facts, FailedTry, Outcome, query};
use crate::http::{StatusCode, date, name};

impl Variable {
    /// Gives the value to `write`, in one piece; not at all if there is none.
    pub fn value(&self, x: &Exchange<'_>, outcome: Option<&Outcome>, write: impl FnOnce(&[u8])) {
        match self {
            Self::Path(name) => give(x.params.get(name), write),
            Self::Query(name) => parameter(x.request.target.query(), name, write),
            Self::Header(name) => give(x.request.headers.get(name), write),
            Self::Cookie(name) => give(cookie(x, name), write),
            Self::ClientIp => ip(x.client_ip, write),
            Self::ClientPort => number(x.connection.peer.port(), write),
            Self::Claim(_)
            | Self::Log(_)
            | Self::User
            | Self::TraceId
            | Self::TraceParent
            | Self::TraceSpan => {
                if let Some(facts) = x.facts.as_deref() {
                    self.value_of_facts(facts, write);
                }
            }
            Self::ConnectionId => number(x.connection.id, write),
            Self::ConnectionPeer => ip(x.connection.peer.ip(), write),
            Self::ProxyProtocol(what) => {
                if let Some(announced) = &x.connection.announced {
                    announced.value(*what, write);
                }
            }
            Self::ListenerName => write(x.connection.listener.as_bytes()),
            Self::RequestHost => write(x.request.host().as_bytes()),
            Self::RequestId => give(x.request_id.as_deref().map(str::as_bytes), write),
            // What was refused before its request line was understood has neither.
            Self::RequestMethod | Self::RequestVersion if x.request.target.raw().is_empty() => {}
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
            Self::Tls(fact) => {
                let facts = x.connection.tls.get();
                give(
                    facts.and_then(|facts| facts.get(*fact)).map(str::as_bytes),
                    write,
                );
            }
            _ => self.value_of_outcome(x, outcome, write),
        }
    }

    fn value_of_facts(&self, facts: &Facts, write: impl FnOnce(&[u8])) {
        let trace = facts.trace.as_ref();
        match self {
            Self::Claim(name) => give(facts.claim(name).as_deref().map(str::as_bytes), write),
            Self::Log(name) => give(facts.logged(name), write),
            Self::User => give(facts.user.as_deref().map(str::as_bytes), write),
            Self::TraceId => give(trace.map(|trace| &trace.id[..]), write),
            Self::TraceParent => give(
                trace.and_then(|trace| trace.parent.as_ref().map(<[u8; 16]>::as_slice)),
                write,
            ),
            Self::TraceSpan => give(trace.map(|trace| &trace.span[..]), write),
            _ => debug_assert!(false, "{self:?} is no fact"),
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
        let facts = x.facts.as_deref();
        match self {
            Self::CacheStatus => give(
                facts.and_then(|facts| facts.cache.map(str::as_bytes)),
                write,
            ),
            Self::PhaseReadMs => duration(x.after_start(x.phases.read), write),
            Self::PhaseRouteMs => duration(x.after_start(x.phases.routed), write),
            Self::PolicyName => give(
                facts.and_then(|facts| facts.policy.as_deref().map(str::as_bytes)),
                write,
            ),
            Self::PolicyWouldRefuse => {
                if let Some(facts) = facts.filter(|facts| !facts.would_refuse.is_empty()) {
                    write(facts.would_refuse.join(",").as_bytes());
                }
            }
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
            Self::UpstreamEndpoint => {
                let endpoint = upstream.and_then(|trail| trail.endpoint.as_deref());
                give(endpoint.map(str::as_bytes), write);
            }
            Self::UpstreamFailedTries => {
                let failures = upstream.map(|trail| &*trail.failures).unwrap_or_default();
                failed_tries(failures, write);
            }
            Self::UpstreamName => give(upstream.map(|trail| trail.upstream.as_bytes()), write),
            Self::UpstreamStatus => count(upstream.and_then(|trail| trail.status), write),
            Self::UpstreamTries => count(upstream.map(|trail| trail.tries), write),
            Self::UpstreamConnectMs => {
                duration(upstream.and_then(|trail| trail.connected), write);
            }
            Self::UpstreamFirstByteMs => {
                duration(upstream.and_then(|trail| trail.first_byte), write);
            }
            _ => debug_assert!(false, "{self:?} is known without an outcome"),
        }
    }
}

/// `endpoint=why/milliseconds`, by commas: one word in a line whose fields are told apart by
/// spaces.
fn failed_tries(failures: &[FailedTry], write: impl FnOnce(&[u8])) {
    let mut text = SmallVec::<[u8; 256]>::new();
    for failed in failures {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(failed.endpoint.as_bytes());
        text.push(b'=');
        match failed.status {
            Some(status) => number(status, |digits| text.extend_from_slice(digits)),
            None => text.extend_from_slice(failed.why.as_str().as_bytes()),
        }
        text.push(b'/');
        millis(failed.duration, |digits| text.extend_from_slice(digits));
    }
    give((!text.is_empty()).then_some(&text), write);
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

fn duration(duration: Option<Duration>, write: impl FnOnce(&[u8])) {
    if let Some(duration) = duration {
        millis(duration, write);
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

/// The value of the first cookie of this name.
pub fn cookie<'x>(x: &'x Exchange<'_>, wanted: &str) -> Option<&'x [u8]> {
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
