//! A line as an object: which fields it has, and how they are written.

use super::buffers::Stamp;
use super::listed::Listed;
use super::redact::Redact;
use crate::exchange::{
    Escape, Exchange, Facts, FailedTry, LogTemplate, Outcome, UpstreamTrail, variable,
};
use crate::http::name;

macro_rules! fields {
    ($($variant:ident $name:literal)*) => {
        /// A field of a line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Field { $($variant),* }

        impl Field {
            /// Every field, in the order of the line.
            pub(super) const ALL: &'static [(&'static str, Self)] =
                &[$(($name, Self::$variant)),*];
        }
    };
}

fields! {
    Time "time"
    ClientIp "client_ip"
    User "user"
    Method "method"
    Uri "uri"
    Version "version"
    Host "host"
    Status "status"
    Bytes "bytes"
    Received "received"
    Duration "duration_ms"
    Read "read_ms"
    Routed "route_ms"
    Referer "referer"
    UserAgent "user_agent"
    RequestId "request_id"
    TraceId "trace_id"
    SpanId "span_id"
    ParentId "parent_id"
    Listener "listener"
    Route "route"
    Generation "generation"
    Why "why"
    Policy "policy"
    WouldRefuse "would_refuse"
    Cache "cache"
    Upstream "upstream"
    Endpoint "endpoint"
    Tries "tries"
    FailedTries "failed_tries"
    UpstreamStatus "upstream_status"
    Connect "connect_ms"
    FirstByte "first_byte_ms"
}

/// Names that a field of one's own cannot have, beside those in [`Field::ALL`].
pub(super) const TAKEN: [&str; 3] = ["request_headers", "response_headers", "sample"];

/// Which fields a line has.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// A bit for each [`Field`].
    mask: u64,
    /// Fields of one's own: `,"name":` and the value.
    pub(super) own: Box<[(Box<[u8]>, LogTemplate)]>,
    pub(super) request_headers: Listed,
    pub(super) response_headers: Listed,
}

impl Shape {
    /// Every field there is.
    pub(super) fn all() -> Self {
        Self {
            mask: u64::MAX,
            own: Box::default(),
            request_headers: Listed::None,
            response_headers: Listed::None,
        }
    }

    /// No field but those that are added.
    pub(super) fn none() -> Self {
        Self {
            mask: 0,
            ..Self::all()
        }
    }

    pub(super) fn add(&mut self, field: Field) {
        self.mask |= 1 << field as u8;
    }

    pub(super) fn remove(&mut self, field: Field) {
        self.mask &= !(1 << field as u8);
    }

    /// `,"name":` for a field of one's own.
    pub(super) fn prefix(name: &str) -> Box<[u8]> {
        let mut prefix = b",\"".to_vec();
        Escape::Json.write(name.as_bytes(), &mut prefix);
        prefix.extend_from_slice(b"\":");
        prefix.into()
    }

    /// Appends a line, without its end.
    pub(super) fn write(
        &self,
        x: &Exchange<'_>,
        outcome: &Outcome,
        stamp: &Stamp,
        extras: &Extras<'_>,
        line: &mut Vec<u8>,
    ) {
        let start = line.len();
        let mut object = Object {
            mask: self.mask,
            redact: extras.redact,
            line,
        };
        object.line.push(b'{');
        object.request(x, stamp);
        object.outcome(x, outcome);
        object.origin(x, outcome);
        if let Some(facts) = x.facts.as_deref() {
            object.facts(facts);
        }
        if let Some(trail) = x.upstream.as_deref() {
            object.upstream(trail);
        }
        self.extras(x, outcome, extras, object.line);
        let line = object.line;
        if line.get(start.saturating_add(1)) == Some(&b',') {
            line.remove(start.saturating_add(1));
        }
        line.push(b'}');
    }

    /// What is not there unless someone asked for it.
    fn extras(&self, x: &Exchange<'_>, outcome: &Outcome, extras: &Extras<'_>, line: &mut Vec<u8>) {
        let redact = extras.redact;
        for (prefix, template) in &self.own {
            let before = line.len();
            line.extend_from_slice(prefix);
            line.push(b'"');
            let empty = line.len();
            template.render(x, outcome, line, |variable, value, line| {
                if let Some(value) = value {
                    redact.variable(variable, value, Escape::Json, line);
                }
            });
            if line.len() == empty {
                line.truncate(before);
            } else {
                line.push(b'"');
            }
        }
        for (name, value) in x.facts.iter().flat_map(|facts| &facts.log) {
            line.extend_from_slice(b",\"");
            Escape::Json.write(name.as_bytes(), line);
            line.extend_from_slice(b"\":\"");
            Escape::Json.write(value, line);
            line.push(b'"');
        }
        if !matches!(self.request_headers, Listed::None) {
            line.extend_from_slice(b",\"request_headers\":{");
            self.request_headers.write(&x.request.headers, redact, line);
            line.push(b'}');
        }
        if let Some(headers) = extras.response_headers {
            line.extend_from_slice(b",\"response_headers\":{");
            line.extend_from_slice(headers);
            line.push(b'}');
        }
        if let Some(sample) = extras.sample {
            line.extend_from_slice(sample);
        }
    }
}

/// What a line has beside what the exchange knows.
#[derive(Debug)]
pub(super) struct Extras<'l> {
    pub(super) redact: Redact<'l>,
    /// The fields of the response, as members of an object.
    pub(super) response_headers: Option<&'l [u8]>,
    /// `,"sample":"10%"` for a line that stands for others.
    pub(super) sample: Option<&'l [u8]>,
}

/// Writes `,"name":value` for the fields that the line has.
struct Object<'l> {
    mask: u64,
    redact: Redact<'l>,
    line: &'l mut Vec<u8>,
}

impl Object<'_> {
    const fn has(&self, field: Field) -> bool {
        self.mask & (1 << field as u8) != 0
    }

    /// `prefix` is the comma, the name and the colon: `,"status":`.
    fn number(&mut self, field: Field, prefix: &[u8], value: impl itoa::Integer) {
        if self.has(field) {
            self.line.extend_from_slice(prefix);
            let mut digits = itoa::Buffer::new();
            self.line.extend_from_slice(digits.format(value).as_bytes());
        }
    }

    fn text(&mut self, field: Field, prefix: &[u8], value: &[u8]) {
        if self.has(field) {
            self.line.extend_from_slice(prefix);
            self.line.push(b'"');
            Escape::Json.write(value, self.line);
            self.line.push(b'"');
        }
    }

    fn some(&mut self, field: Field, prefix: &[u8], value: Option<&[u8]>) {
        if let Some(value) = value {
            self.text(field, prefix, value);
        }
    }

    fn uri(&mut self, field: Field, prefix: &[u8], uri: &[u8]) {
        if self.has(field) {
            self.line.extend_from_slice(prefix);
            self.line.push(b'"');
            self.redact.uri(uri, Escape::Json, self.line);
            self.line.push(b'"');
        }
    }

    fn millis(&mut self, field: Field, prefix: &[u8], value: Option<std::time::Duration>) {
        if let Some(value) = value.filter(|_| self.has(field)) {
            self.line.extend_from_slice(prefix);
            variable::millis(value, |text| self.line.extend_from_slice(text));
        }
    }

    fn request(&mut self, x: &Exchange<'_>, stamp: &Stamp) {
        if self.has(Field::Time) {
            self.line.extend_from_slice(b"\"time\":\"");
            self.line.extend_from_slice(&stamp.rfc3339);
            self.line.push(b'"');
        }
        if self.has(Field::ClientIp) {
            self.line.extend_from_slice(b",\"client_ip\":\"");
            variable::ip(x.client_ip, |ip| self.line.extend_from_slice(ip));
            self.line.push(b'"');
        }
        let request = &*x.request;
        if !request.target.raw().is_empty() {
            let method = request.method.as_str();
            self.text(Field::Method, b",\"method\":", method.as_bytes());
            self.uri(Field::Uri, b",\"uri\":", request.target.raw().as_bytes());
            let version = request.version.as_str();
            self.text(Field::Version, b",\"version\":", version.as_bytes());
        }
        if self.has(Field::Host) {
            let host = request.authority().as_bytes();
            self.some(
                Field::Host,
                b",\"host\":",
                (!host.is_empty()).then_some(host),
            );
        }
    }

    fn outcome(&mut self, x: &Exchange<'_>, outcome: &Outcome) {
        if let Some(status) = outcome.status {
            self.number(Field::Status, b",\"status\":", status.code());
        }
        self.number(Field::Bytes, b",\"bytes\":", outcome.body_sent);
        self.number(Field::Received, b",\"received\":", outcome.body_received);
        self.millis(
            Field::Duration,
            b",\"duration_ms\":",
            Some(outcome.duration),
        );
        // What took no waiting is not worth a line's length.
        let waited = |phase| x.after_start(phase).filter(|after| !after.is_zero());
        self.millis(Field::Read, b",\"read_ms\":", waited(x.phases.read));
        self.millis(Field::Routed, b",\"route_ms\":", waited(x.phases.routed));
    }

    fn origin(&mut self, x: &Exchange<'_>, outcome: &Outcome) {
        let headers = &x.request.headers;
        if let Some(referer) = headers.get(&name::REFERER) {
            self.uri(Field::Referer, b",\"referer\":", referer);
        }
        let agent = headers.get(&name::USER_AGENT);
        self.some(Field::UserAgent, b",\"user_agent\":", agent);
        let id = x.request_id.as_deref().map(str::as_bytes);
        self.some(Field::RequestId, b",\"request_id\":", id);
        let listener = x.connection.listener.as_bytes();
        self.text(Field::Listener, b",\"listener\":", listener);
        if !x.route.is_empty() {
            self.text(Field::Route, b",\"route\":", x.route.as_bytes());
        }
        self.number(Field::Generation, b",\"generation\":", x.generation);
        let why = outcome.why.map(|why| why.as_str().as_bytes());
        self.some(Field::Why, b",\"why\":", why);
    }

    fn facts(&mut self, facts: &Facts) {
        let user = facts.user.as_deref().map(str::as_bytes);
        self.some(Field::User, b",\"user\":", user);
        if let Some(trace) = &facts.trace {
            self.text(Field::TraceId, b",\"trace_id\":", &trace.id);
            self.text(Field::SpanId, b",\"span_id\":", &trace.span);
            let parent = trace.parent.as_ref().map(<[u8; 16]>::as_slice);
            self.some(Field::ParentId, b",\"parent_id\":", parent);
        }
        let policy = facts.policy.as_deref().map(str::as_bytes);
        self.some(Field::Policy, b",\"policy\":", policy);
        if !facts.would_refuse.is_empty() && self.has(Field::WouldRefuse) {
            self.line.extend_from_slice(b",\"would_refuse\":[");
            for (at, policy) in facts.would_refuse.iter().enumerate() {
                let open: &[u8] = if at == 0 { b"\"" } else { b",\"" };
                self.line.extend_from_slice(open);
                Escape::Json.write(policy.as_bytes(), self.line);
                self.line.push(b'"');
            }
            self.line.push(b']');
        }
        let cache = facts.cache.map(str::as_bytes);
        self.some(Field::Cache, b",\"cache\":", cache);
    }

    fn upstream(&mut self, trail: &UpstreamTrail) {
        let endpoint = trail.endpoint.as_deref().unwrap_or_default();
        self.text(
            Field::Upstream,
            b",\"upstream\":",
            trail.upstream.as_bytes(),
        );
        self.text(Field::Endpoint, b",\"endpoint\":", endpoint.as_bytes());
        self.number(Field::Tries, b",\"tries\":", trail.tries);
        if !trail.failures.is_empty() && self.has(Field::FailedTries) {
            self.failed_tries(&trail.failures);
        }
        if let Some(status) = trail.status {
            self.number(Field::UpstreamStatus, b",\"upstream_status\":", status);
        }
        self.millis(Field::Connect, b",\"connect_ms\":", trail.connected);
        self.millis(Field::FirstByte, b",\"first_byte_ms\":", trail.first_byte);
    }

    fn failed_tries(&mut self, failures: &[FailedTry]) {
        self.line.extend_from_slice(b",\"failed_tries\":[");
        for (at, failed) in failures.iter().enumerate() {
            let open: &[u8] = if at == 0 { b"" } else { b"," };
            self.line.extend_from_slice(open);
            self.line.extend_from_slice(b"{\"endpoint\":\"");
            Escape::Json.write(failed.endpoint.as_bytes(), self.line);
            self.line.extend_from_slice(b"\",\"why\":\"");
            self.line.extend_from_slice(failed.why.as_str().as_bytes());
            self.line.push(b'"');
            if let Some(status) = failed.status {
                self.line.extend_from_slice(b",\"status\":");
                let mut digits = itoa::Buffer::new();
                self.line
                    .extend_from_slice(digits.format(status).as_bytes());
            }
            self.line.extend_from_slice(b",\"ms\":");
            variable::millis(failed.duration, |text| self.line.extend_from_slice(text));
            self.line.push(b'}');
        }
        self.line.push(b']');
    }
}
