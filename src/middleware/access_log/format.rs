//! What a line looks like.

use super::buffers::Stamp;
use crate::exchange::{Escape, Exchange, LogTemplate, Outcome, variable};
use crate::http::name;

/// What a line looks like.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// `IP - - [time] "GET /a HTTP/1.1" 200 121`
    Common,
    /// The same, with `"referer" "user agent"` behind it.
    Combined,
    /// An object a line, with all that is known; what is not is left out.
    Json,
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
        line: &mut Vec<u8>,
    ) {
        match self {
            Self::Common => common(x, outcome, stamp, line),
            Self::Combined => {
                common(x, outcome, stamp, line);
                for field in [&name::REFERER, &name::USER_AGENT] {
                    line.extend_from_slice(b" \"");
                    match x.request.headers.get(field) {
                        Some(value) if !value.is_empty() => Escape::Log.write(value, line),
                        Some(_) | None => line.push(b'-'),
                    }
                    line.push(b'"');
                }
            }
            Self::Json => json(x, outcome, stamp, line),
            Self::Template(template) => template.render(x, outcome, line),
        }
    }
}

fn common(x: &Exchange<'_>, outcome: &Outcome, stamp: &Stamp, line: &mut Vec<u8>) {
    variable::ip(x.client_ip, |ip| line.extend_from_slice(ip));
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(&stamp.clf);
    line.extend_from_slice(b"] \"");
    if x.request.target.raw().is_empty() {
        // What was refused before its request line was understood.
        line.push(b'-');
    } else {
        Escape::Log.write(x.request.method.as_str().as_bytes(), line);
        line.push(b' ');
        Escape::Log.write(x.request.target.raw().as_bytes(), line);
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

/// Writes `"name":value` after `"name":value`.
struct Object<'l> {
    line: &'l mut Vec<u8>,
}

impl Object<'_> {
    /// `prefix` is the comma, the name and the colon: `,"status":`.
    fn number(&mut self, prefix: &[u8], value: impl itoa::Integer) {
        self.line.extend_from_slice(prefix);
        number(value, self.line);
    }

    fn text(&mut self, prefix: &[u8], value: &[u8]) {
        self.line.extend_from_slice(prefix);
        self.line.push(b'"');
        Escape::Json.write(value, self.line);
        self.line.push(b'"');
    }

    fn some_text(&mut self, prefix: &[u8], value: Option<&[u8]>) {
        if let Some(value) = value {
            self.text(prefix, value);
        }
    }

    fn millis(&mut self, prefix: &[u8], value: Option<std::time::Duration>) {
        if let Some(value) = value {
            self.line.extend_from_slice(prefix);
            variable::millis(value, |text| self.line.extend_from_slice(text));
        }
    }
}

fn json(x: &Exchange<'_>, outcome: &Outcome, stamp: &Stamp, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(&stamp.rfc3339);
    line.extend_from_slice(b"\",\"client_ip\":\"");
    variable::ip(x.client_ip, |ip| line.extend_from_slice(ip));
    line.push(b'"');
    let mut object = Object { line };
    let request = &*x.request;
    if !request.target.raw().is_empty() {
        object.text(b",\"method\":", request.method.as_str().as_bytes());
        object.text(b",\"uri\":", request.target.raw().as_bytes());
        object.text(b",\"version\":", request.version.as_str().as_bytes());
    }
    let host = request.authority();
    object.some_text(b",\"host\":", (!host.is_empty()).then_some(host.as_bytes()));
    if let Some(status) = outcome.status {
        object.number(b",\"status\":", status.code());
    }
    object.number(b",\"bytes\":", outcome.body_sent);
    object.number(b",\"received\":", outcome.body_received);
    object.millis(b",\"duration_ms\":", Some(outcome.duration));
    object.some_text(b",\"referer\":", request.headers.get(&name::REFERER));
    object.some_text(b",\"user_agent\":", request.headers.get(&name::USER_AGENT));
    let id = x.request_id.as_deref().map(str::as_bytes);
    object.some_text(b",\"request_id\":", id);
    object.text(b",\"listener\":", x.connection.listener.as_bytes());
    if !x.route.is_empty() {
        object.text(b",\"route\":", x.route.as_bytes());
    }
    object.number(b",\"generation\":", x.generation);
    let why = outcome.why.map(|why| why.as_str().as_bytes());
    object.some_text(b",\"why\":", why);
    if let Some(trail) = x.upstream.as_deref() {
        object.text(b",\"upstream\":", trail.upstream.as_bytes());
        object.text(b",\"endpoint\":", trail.endpoint.as_bytes());
        object.number(b",\"tries\":", trail.tries);
        if let Some(status) = trail.status {
            object.number(b",\"upstream_status\":", status);
        }
        object.millis(b",\"connect_ms\":", trail.connected);
        object.millis(b",\"first_byte_ms\":", trail.first_byte);
    }
    line.push(b'}');
}

fn number(number: impl itoa::Integer, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
