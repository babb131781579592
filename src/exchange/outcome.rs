//! How an exchange ended.

use std::time::Duration;

use super::{Exchange, Response};
use crate::http::StatusCode;
use crate::telemetry::WHYS_MAX;

/// What [`super::Middleware::on_complete`] learns.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The status sent; `None` if the client left before any was.
    pub status: Option<StatusCode>,
    /// Bytes of content sent, without head and chunk framing.
    pub body_sent: u64,
    /// Bytes of content received, without head and chunk framing.
    pub body_received: u64,
    /// From the first byte of the head to the last byte of the response.
    pub duration: Duration,
    /// Why it went wrong, if it did. The same word as in the log and in metrics.
    pub why: Option<Why>,
}

impl Outcome {
    /// What is known when the response is ready and unsent.
    pub fn so_far(x: &Exchange<'_>, response: &Response) -> Self {
        Self {
            status: Some(response.status),
            body_sent: 0,
            body_received: 0,
            duration: x.elapsed(),
            why: response.why.or(x.why),
        }
    }
}

const _: () = assert!(Why::ALL.len() <= WHYS_MAX, "every word has a counter");

macro_rules! whys {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)*) => {
        /// Why a request was refused or an exchange failed: a closed vocabulary, for the access
        /// log and for metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Why { $($(#[doc = $doc])+ $variant,)* }

        impl Why {
            /// Every word, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its place in [`Self::ALL`].
            pub const fn number(self) -> usize {
                self as usize
            }

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

whys! {
    /// The head broke the grammar; 400.
    BadHead = "bad_head",
    /// The target was none; 400.
    BadTarget = "bad_target",
    /// Host was missing, repeated or no host; 400.
    BadHost = "bad_host",
    /// The connection was agreed on for another host, or `https` was asked for in the clear; 421.
    Misdirected = "misdirected",
    /// It could be a replay, and would change something; 425.
    TooEarly = "too_early",
    /// Content-Length and Transfer-Encoding could not be trusted; 400.
    BadFraming = "bad_framing",
    /// A transfer coding we do not know; 501.
    UnknownCoding = "unknown_coding",
    /// A chunk broke the grammar; 400.
    BadChunk = "bad_chunk",
    /// A major version other than 1; 505.
    BadVersion = "bad_version",
    /// A method we refuse as such (CONNECT); 501.
    BadMethod = "bad_method",
    /// Request line over its limit; 414.
    TargetTooLong = "target_too_long",
    /// Fields over their limits; 431.
    HeadTooLarge = "head_too_large",
    /// Body over its limit; 413.
    BodyTooLarge = "body_too_large",
    /// An expectation other than 100-continue; 417.
    BadExpectation = "bad_expectation",
    /// The head did not come in time; 408.
    HeaderTimeout = "header_timeout",
    /// The body stalled; 408.
    BodyTimeout = "body_timeout",
    /// The body came slower than the minimum rate; 408.
    BodyTooSlow = "body_too_slow",
    /// The client did not take the response in time.
    WriteTimeout = "write_timeout",
    /// The client closed or reset before the exchange was over.
    ClientAbort = "client_abort",
    /// No PROXY header came from who must send one, or a broken one; closed.
    BadProxyHeader = "bad_proxy_header",
    /// The PROXY header did not come in time; closed.
    ProxyHeaderTimeout = "proxy_header_timeout",
    /// More connections than allowed; 503.
    TooManyConnections = "too_many_connections",
    /// The blocking pool and its queue are full; 503.
    Overloaded = "overloaded",
    /// No route matches; 404.
    RouteNone = "route_none",
    /// The path has routes, but none for the method; 405.
    MethodNotAllowed = "method_not_allowed",
    /// A handler or middleware panicked; 500.
    Panic = "panic",
    /// Cut because the drain time was up.
    DrainTimeout = "drain_timeout",
    /// No such file; 404.
    FileNone = "file_none",
    /// A file that may not be served or read; 403.
    FileForbidden = "file_forbidden",
    /// The file system failed; 500.
    FileError = "file_error",
    /// The file became shorter while it was sent.
    FileTruncated = "file_truncated",
    /// A path that must not reach the file system; 400.
    BadPath = "bad_path",
    /// The upstream has no endpoint to try; 503.
    NoEndpoint = "no_endpoint",
    /// An upstream or a `concurrency_limit` is full, and as many wait as may; 503.
    QueueFull = "queue_full",
    /// An upstream or a `concurrency_limit` was full for as long as one may wait; 503.
    QueueTimeout = "queue_timeout",
    /// Too much of what went to the upstream has failed lately; 503.
    BreakerOpen = "breaker_open",
    /// The endpoint refused the connection; 502.
    ConnectRefused = "connect_refused",
    /// The connection to the endpoint failed otherwise; 502.
    ConnectFailed = "connect_failed",
    /// The endpoint did not accept in time; 504.
    ConnectTimeout = "connect_timeout",
    /// Nothing could be agreed with the endpoint on how to encrypt; 502.
    TlsHandshake = "tls_handshake",
    /// The certificate of the endpoint is not to be believed; 502.
    BadCertificate = "bad_certificate",
    /// The endpoint did not answer in time; 504.
    FirstByteTimeout = "first_byte_timeout",
    /// The endpoint stalled within its answer; 504 or a cut body.
    IdleTimeout = "idle_timeout",
    /// The endpoint closed or reset before its answer; 502.
    UpstreamReset = "upstream_reset",
    /// The endpoint's head broke the grammar or its limits; 502.
    UpstreamBadHead = "upstream_bad_head",
    /// The endpoint answered with a status for which the route asks another.
    RetriedStatus = "retried_status",
    /// The request has been passed on by this process before; 508.
    LoopDetected = "loop_detected",
    /// The endpoint's body ended early or broke its framing.
    BodyTruncated = "body_truncated",
    /// A middleware refused the request (limits, access rules).
    Refused = "refused",
    /// Nothing came along that proves who asks; 401.
    CredentialsMissing = "credentials_missing",
    /// What came along proves nothing, or not enough; 401 or 403.
    CredentialsRefused = "credentials_refused",
    /// Someone who was wrong too often must wait; 429.
    TooManyFailures = "too_many_failures",
    /// Nobody could say whether it proves something; 503.
    AuthUnavailable = "auth_unavailable",
    /// More requests than a `rate_limit` lets through; 429.
    RateLimited = "rate_limited",
    /// The store of a `rate_limit` could not say whether it lets the request through; 503.
    LimiterUnavailable = "limiter_unavailable",
    /// The exchange took longer than `timeout` allows; 504 behind an upstream, 503 otherwise.
    ExchangeTimeout = "exchange_timeout",
}
