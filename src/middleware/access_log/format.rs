//! What a line looks like.

use super::buffers::Stamp;
use super::json::{Extras, Shape};
use super::redact::Redact;
use crate::exchange::{Escape, Exchange, LogTemplate, Outcome, variable};
use crate::http::name;

/// What a line looks like.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// `IP - user [time] "GET /a HTTP/1.1" 200 121`
    Common,
    /// The same, with `"referer" "user agent"` behind it.
    Combined,
    /// An object a line, with all that is known; what is not is left out.
    Json(Box<Shape>),
    /// As written in the configuration.
    Template(LogTemplate),
}

impl Format {
    /// Appends a line, without its end.
    pub(super) fn write(
        &self,
        x: &Exchange<'_>,
        outcome: &Outcome,
        stamp: &Stamp,
        extras: &Extras<'_>,
        line: &mut Vec<u8>,
    ) {
        let redact = extras.redact;
        match self {
            Self::Common => common(x, outcome, stamp, redact, line),
            Self::Combined => {
                common(x, outcome, stamp, redact, line);
                for field in [&name::REFERER, &name::USER_AGENT] {
                    line.extend_from_slice(b" \"");
                    match x.request.headers.get(field) {
                        Some(value) if !value.is_empty() => {
                            redact.field(field.as_str().as_bytes(), value, Escape::Log, line);
                        }
                        Some(_) | None => line.push(b'-'),
                    }
                    line.push(b'"');
                }
            }
            Self::Json(shape) => shape.write(x, outcome, stamp, extras, line),
            Self::Template(template) => {
                template.render(x, outcome, line, |variable, value, line| match value {
                    Some(value) => redact.variable(variable, value, Escape::Log, line),
                    None => line.push(b'-'),
                });
            }
        }
    }
}

fn common(
    x: &Exchange<'_>,
    outcome: &Outcome,
    stamp: &Stamp,
    redact: Redact<'_>,
    line: &mut Vec<u8>,
) {
    variable::ip(x.client_ip, |ip| line.extend_from_slice(ip));
    line.extend_from_slice(b" - ");
    match x.facts.as_ref().and_then(|facts| facts.user.as_deref()) {
        Some(user) if !user.is_empty() => word(user.as_bytes(), line),
        Some(_) | None => line.push(b'-'),
    }
    line.extend_from_slice(b" [");
    line.extend_from_slice(&stamp.clf);
    line.extend_from_slice(b"] \"");
    if x.request.target.raw().is_empty() {
        // What was refused before its request line was understood.
        line.push(b'-');
    } else {
        Escape::Log.write(x.request.method.as_str().as_bytes(), line);
        line.push(b' ');
        redact.uri(x.request.target.raw().as_bytes(), Escape::Log, line);
        line.push(b' ');
        line.extend_from_slice(x.request.version.as_str().as_bytes());
    }
    line.extend_from_slice(b"\" ");
    match outcome.status {
        Some(status) => number(status.code(), line),
        None => line.push(b'-'),
    }
    line.push(b' ');
    number(outcome.body_sent, line);
}

/// A value that stands between blanks and so can hold none.
fn word(value: &[u8], line: &mut Vec<u8>) {
    for (at, part) in value.split(|&byte| byte == b' ').enumerate() {
        if at > 0 {
            line.extend_from_slice(b"\\x20");
        }
        Escape::Log.write(part, line);
    }
}

fn number(number: impl itoa::Integer, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
