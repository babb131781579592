//! `[server.limits]`: what a client may take.

use std::ops::RangeInclusive;

use super::layers::Layers;
use super::{Resolver, or};
use crate::build::{ByteRate, ByteSize, HumanDuration, Problem, Span};
use crate::config::file::{File, Table};
use crate::config::written;
use crate::generation::Limits;

/// A head is one packet for nearly everyone; who needs ten seconds for it is holding a
/// connection open (slowloris). The whole head, not each byte: nginx and Apache fell for that.
const HEADER_TIMEOUT: HumanDuration = HumanDuration::seconds(10);

/// Browsers keep idle connections for a minute or more; an idle one costs us a kibibyte.
const KEEP_ALIVE_TIMEOUT: HumanDuration = HumanDuration::seconds(60);

/// A phone in a tunnel comes back within half a minute, or it does not.
const BODY_IDLE_TIMEOUT: HumanDuration = HumanDuration::seconds(30);

/// Slower than the slowest modem: it ends uploads that drip and no other.
const BODY_MIN_RATE: ByteRate = ByteRate(500);

/// As long as a body may stall: who sends at all is measured over no less.
const BODY_RATE_GRACE: HumanDuration = HumanDuration::seconds(30);

/// Twice the time of a lost packet's last retransmissions: who takes nothing for so long is gone.
const WRITE_IDLE_TIMEOUT: HumanDuration = HumanDuration::seconds(60);

/// RFC 9112 §3 asks for 8000 octets at least.
const REQUEST_LINE: ByteSize = ByteSize(8 << 10);

/// Four times what browsers let cookies grow to on one host.
const HEADERS: ByteSize = ByteSize(32 << 10);

/// Browsers send about fifteen, proxies add ten; Apache and nginx draw the line here too.
const HEADER_COUNT: u32 = 100;

/// What uploads of documents and photographs need; larger ones should be asked for.
const BODY: ByteSize = ByteSize(10 << 20);

/// At a kibibyte an idle connection ten megabytes a worker, and a file descriptor each, which
/// is what systemd's default of 524288 descriptors bears on any machine.
const CONNECTIONS: u32 = 10_000;

/// No limit: closing connections now and then frees memory that leaks, and none does.
const REQUESTS_PER_CONNECTION: u32 = 0;

/// What RFC 9113 §6.5.2 recommends at least is 100; browsers open some dozens.
const HTTP2_STREAMS: u32 = 128;

/// A link of 20 Mbit/s over 100 ms is kept busy by it; more is memory for uploads nobody reads.
const HTTP2_STREAM_WINDOW: ByteSize = ByteSize(256 << 10);

/// Four uploads at full speed: what a client can make a connection hold.
const HTTP2_CONNECTION_WINDOW: ByteSize = ByteSize(1 << 20);

/// RFC 9113 §6.9.1 allows twice as much, less one; nobody has that much memory to spare.
const WINDOW_MAX: u64 = 1 << 30;

/// What RFC 9113 §6.9.2 begins with, in whole kibibytes.
const WINDOW_MIN: u64 = 64 << 10;

/// A stream costs some kibibytes while it is served.
const STREAMS_MAX: u32 = 10_000;

/// A head larger than this would have to be held in memory for every connection at once.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The shortest request line is "GET / HTTP/1.1" with its line break.
const REQUEST_LINE_MIN: u64 = 16;

/// A `Host` with the longest name that DNS has, and a little more.
const HEADERS_MIN: u64 = 512;

/// The shortest field line is "a:" with its line break.
const FIELD_LINE_MIN: u64 = 4;

impl Resolver<'_, '_> {
    pub(super) fn limits(&mut self, file: &File<'_>) -> Limits {
        let written: Layers<written::Limits> = self.layers(file, Table::Limits);
        let w = &written;
        let header_timeout = self.pick(w, "header_timeout", |w| &w.header_timeout);
        let keep_alive = self.pick(w, "keep_alive_timeout", |w| &w.keep_alive_timeout);
        let body_idle = self.pick(w, "body_idle_timeout", |w| &w.body_idle_timeout);
        let min_rate = self.pick(w, "body_min_rate", |w| &w.body_min_rate);
        let rate_grace = self.pick(w, "body_rate_grace", |w| &w.body_rate_grace);
        let write_idle = self.pick(w, "write_idle_timeout", |w| &w.write_idle_timeout);
        let request_line = self.pick(w, "request_line", |w| &w.request_line);
        let headers = self.pick(w, "headers", |w| &w.headers);
        let count = self.pick(w, "header_count", |w| &w.header_count);
        let body = self.pick(w, "body", |w| &w.body);
        let connections = self.pick(w, "connections", |w| &w.connections);
        let requests = self.pick(w, "requests_per_connection", |w| &w.requests_per_connection);
        let streams = self.pick(w, "http2_streams", |w| &w.http2_streams);
        let stream_window = self.pick(w, "http2_stream_window", |w| &w.http2_stream_window);
        let connection_window =
            self.pick(w, "http2_connection_window", |w| &w.http2_connection_window);
        for (key, value) in [
            ("header_timeout", &header_timeout),
            ("body_idle_timeout", &body_idle),
            ("write_idle_timeout", &write_idle),
        ] {
            self.not_zero(key, value.as_ref().map(|(time, at)| (time.0.is_zero(), at)));
        }
        for (key, value) in [("header_count", &count), ("connections", &connections)] {
            self.not_zero(key, value.as_ref().map(|(number, at)| (*number == 0, at)));
        }
        let head = |least| least..=HEAD_BYTES_MAX;
        self.between(
            "request_line",
            request_line.as_ref(),
            head(REQUEST_LINE_MIN),
        );
        self.between("headers", headers.as_ref(), head(HEADERS_MIN));
        for (key, window) in [
            ("http2_stream_window", &stream_window),
            ("http2_connection_window", &connection_window),
        ] {
            self.between(key, window.as_ref(), WINDOW_MIN..=WINDOW_MAX);
        }
        self.streams(streams.as_ref());
        self.reachable(headers.as_ref(), count.as_ref());
        Limits {
            header_timeout: or(header_timeout, HEADER_TIMEOUT).0,
            keep_alive_timeout: or(keep_alive, KEEP_ALIVE_TIMEOUT).0,
            body_idle_timeout: or(body_idle, BODY_IDLE_TIMEOUT).0,
            body_min_rate: or(min_rate, BODY_MIN_RATE).0,
            body_rate_grace: or(rate_grace, BODY_RATE_GRACE).0,
            write_idle_timeout: or(write_idle, WRITE_IDLE_TIMEOUT).0,
            request_line: size(or(request_line, REQUEST_LINE).0),
            headers: size(or(headers, HEADERS).0),
            header_count: size(or(count, HEADER_COUNT).into()),
            body: or(body, BODY).0,
            connections: size(or(connections, CONNECTIONS).into()),
            requests_per_connection: or(requests, REQUESTS_PER_CONNECTION).into(),
            http2_streams: or(streams, HTTP2_STREAMS),
            http2_stream_window: window(or(stream_window, HTTP2_STREAM_WINDOW)),
            http2_connection_window: window(or(connection_window, HTTP2_CONNECTION_WINDOW)),
        }
    }

    fn not_zero(&mut self, key: &str, value: Option<(bool, &Span)>) {
        if let Some((true, span)) = value {
            self.report(
                Problem::error("E0501", span.clone(), format!("`{key}` cannot be zero"))
                    .label("nobody would be served")
                    .hint(format!("take `{key}` out for its default")),
            );
        }
    }

    /// As many streams as a worker can serve, and one at least.
    fn streams(&mut self, value: Option<&(u32, Span)>) {
        let Some((streams, span)) = value else { return };
        if !(1..=STREAMS_MAX).contains(streams) {
            let message = format!("`http2_streams` must be 1 to {STREAMS_MAX}, found {streams}");
            self.report(Problem::error("E0501", span.clone(), message));
        }
    }

    fn between(
        &mut self,
        key: &str,
        value: Option<&(ByteSize, Span)>,
        bounds: RangeInclusive<u64>,
    ) {
        let Some((size, span)) = value else { return };
        if bounds.contains(&size.0) {
            return;
        }
        let (least, most) = (ByteSize(*bounds.start()), ByteSize(*bounds.end()));
        let message = format!("`{key}` must be {least} to {most}, found {size}");
        self.report(Problem::error("E0501", span.clone(), message));
    }

    /// So many fields as are allowed must fit into the bytes that are allowed.
    fn reachable(&mut self, headers: Option<&(ByteSize, Span)>, count: Option<&(u32, Span)>) {
        let bytes = headers.map_or(HEADERS, |(size, _)| *size);
        let fields = count.map_or(HEADER_COUNT, |(count, _)| *count);
        if u64::from(fields) * FIELD_LINE_MIN <= bytes.0 {
            return;
        }
        let written = count.map(|(_, span)| span);
        let Some(span) = written.or_else(|| headers.map(|(_, span)| span)) else {
            return;
        };
        let message = format!("{fields} headers never fit into {bytes}");
        let problem = Problem::warning("W0502", span.clone(), message)
            .hint("`headers` bounds the bytes of all of them, `header_count` their number");
        self.report(problem);
    }
}

/// Checked before to be no larger than a gibibyte.
fn window(size: ByteSize) -> u32 {
    u32::try_from(size.0).unwrap_or(u32::MAX)
}

/// Checked before to be no larger than a mebibyte, or a number of 32 bits.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
