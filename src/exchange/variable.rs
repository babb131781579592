//! What a template may name of an exchange.

mod moment;
mod value;

pub use moment::Moment;
pub use value::{cookie, ip, millis};

use super::announced::Announcement;
use crate::http::HeaderName;
use crate::sys::tls::Fact;

/// Something of an exchange that a template names: `{client.ip}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "KNOWN and NAMED say what each is")]
pub enum Variable {
    Path(Box<str>),
    Query(Box<str>),
    Header(HeaderName),
    Cookie(Box<str>),
    Claim(Box<str>),
    Log(Box<str>),
    ProxyProtocol(Announcement),
    CacheStatus,
    ClientIp,
    ClientPort,
    ConnectionId,
    ConnectionPeer,
    ListenerName,
    PhaseReadMs,
    PhaseRouteMs,
    PolicyName,
    PolicyWouldRefuse,
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
    Tls(Fact),
    TraceId,
    TraceParent,
    TraceSpan,
    UpstreamConnectMs,
    UpstreamEndpoint,
    UpstreamFailedTries,
    UpstreamFirstByteMs,
    UpstreamName,
    UpstreamStatus,
    UpstreamTries,
    User,
}

use Variable as V;

/// Every variable without a name of its own behind the dot, sorted; and what it is.
pub const KNOWN: &[(&str, Variable, &str)] = &[
    (
        "cache.status",
        V::CacheStatus,
        "how a cache answered: `hit`, `miss`, `stale`",
    ),
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
        "phase.read_ms",
        V::PhaseReadMs,
        "milliseconds until the head was complete",
    ),
    (
        "phase.route_ms",
        V::PhaseRouteMs,
        "milliseconds until the handler began",
    ),
    (
        "policy.name",
        V::PolicyName,
        "the middleware that refused the request",
    ),
    (
        "policy.would_refuse",
        V::PolicyWouldRefuse,
        "those that would have, but only watch",
    ),
    (
        "proxy_protocol.alpn",
        V::ProxyProtocol(Announcement::Alpn),
        "the protocol that the PROXY header says was agreed on",
    ),
    (
        "proxy_protocol.authority",
        V::ProxyProtocol(Announcement::Authority),
        "the host that it says the client named",
    ),
    (
        "proxy_protocol.sender",
        V::ProxyProtocol(Announcement::Sender),
        "who sent the PROXY header",
    ),
    (
        "proxy_protocol.tls_cipher",
        V::ProxyProtocol(Announcement::TlsCipher),
        "the cipher between the client and the sender",
    ),
    (
        "proxy_protocol.tls_common_name",
        V::ProxyProtocol(Announcement::TlsCommonName),
        "whose certificate the client showed the sender",
    ),
    (
        "proxy_protocol.tls_verified",
        V::ProxyProtocol(Announcement::TlsVerified),
        "`true` if the sender verified a certificate, `false` if not",
    ),
    (
        "proxy_protocol.tls_version",
        V::ProxyProtocol(Announcement::TlsVersion),
        "`TLSv1.3`, if the client came to the sender over TLS",
    ),
    (
        "proxy_protocol.unique_id",
        V::ProxyProtocol(Announcement::UniqueId),
        "what the PROXY header calls the connection",
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
        "tls.alpn",
        V::Tls(Fact::Alpn),
        "the protocol agreed on with the encryption",
    ),
    (
        "tls.cipher",
        V::Tls(Fact::Cipher),
        "the cipher suite: `TLS_AES_128_GCM_SHA256`",
    ),
    (
        "tls.client.fingerprint",
        V::Tls(Fact::ClientFingerprint),
        "SHA-256 of the client's certificate, in hexadecimal",
    ),
    (
        "tls.client.issuer",
        V::Tls(Fact::ClientIssuer),
        "who issued the client's certificate",
    ),
    (
        "tls.client.san",
        V::Tls(Fact::ClientNames),
        "the client's other names: `DNS:a.example, URI:spiffe://a/b`",
    ),
    (
        "tls.client.serial",
        V::Tls(Fact::ClientSerial),
        "the number of the client's certificate, in hexadecimal",
    ),
    (
        "tls.client.subject",
        V::Tls(Fact::ClientSubject),
        "whom the client's certificate names: `CN=alice`",
    ),
    (
        "tls.group",
        V::Tls(Fact::Group),
        "the group of the key exchange: `X25519MLKEM768`",
    ),
    (
        "tls.resumed",
        V::Tls(Fact::Resumed),
        "`yes` where an earlier session was resumed, else `no`",
    ),
    (
        "tls.sni",
        V::Tls(Fact::Sni),
        "the name the client asked for before it was encrypted",
    ),
    (
        "tls.version",
        V::Tls(Fact::Version),
        "`TLSv1.3` or `TLSv1.2`; none where nothing is encrypted here",
    ),
    (
        "trace.id",
        V::TraceId,
        "the trace the request belongs to (W3C)",
    ),
    (
        "trace.parent",
        V::TraceParent,
        "the span that the request came from",
    ),
    (
        "trace.span",
        V::TraceSpan,
        "the span that upstreams are told",
    ),
    (
        "upstream.connect_ms",
        V::UpstreamConnectMs,
        "milliseconds to the connection being ready",
    ),
    (
        "upstream.endpoint",
        V::UpstreamEndpoint,
        "the endpoint that was tried last",
    ),
    (
        "upstream.failed_tries",
        V::UpstreamFailedTries,
        "the tries that came to nothing, in order: `127.0.0.1:9000=connect_refused/0.071,…`, \
         each with its endpoint, why or the status that was not wanted, and milliseconds",
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
    ("claim.", "a claim of the token that `jwt` verified"),
    ("cookie.", "a cookie"),
    ("header.", "a field of the request"),
    ("log.", "what `log_fields` gave a name"),
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
            ("claim" | "cookie" | "header" | "log" | "path" | "query", "") => {
                Err(format!("a name follows the dot: `{{{kind}.name}}`"))
            }
            ("path", own) => Ok(Self::Path(own.into())),
            ("query", own) => Ok(Self::Query(own.into())),
            ("cookie", own) => Ok(Self::Cookie(own.into())),
            ("claim", own) => Ok(Self::Claim(own.into())),
            ("log", own) => Ok(Self::Log(own.into())),
            ("header", own) => HeaderName::from_bytes(own.as_bytes())
                .map(Self::Header)
                .ok_or_else(|| format!("`{own}` cannot be the name of a field")),
            _ => Err(Self::offer(text)),
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
                 `{cookie.…}`, `{tls.…}`, `{route.name}`, `{listener.name}`, \
                 `{server.generation}` and `{time.…}`; a brace itself is written twice",
            ),
        }
    }
}
