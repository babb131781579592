//! What may be written, table by table. Nothing has a default here, and no name is looked up:
//! what was not written is `None`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

use crate::build::{ByteRate, ByteSize, HumanDuration, Network, Rotation};
use crate::http::{Method, StatusCode};

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the file calls it server_header, as the field is called"
)]
pub(super) struct Server {
    pub(super) workers: Option<Spanned<Workers>>,
    pub(super) blocking_threads: Option<Spanned<NonZeroU16>>,
    pub(super) blocking_queue: Option<Spanned<NonZeroU16>>,
    pub(super) drain_timeout: Option<Spanned<HumanDuration>>,
    pub(super) drain_delay: Option<Spanned<HumanDuration>>,
    pub(super) watch: Option<Spanned<bool>>,
    pub(super) control_socket: Option<Spanned<String>>,
    pub(super) trusted_proxies: Option<Spanned<Vec<Network>>>,
    pub(super) middleware: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) server_header: Option<Spanned<ServerHeader>>,
}

/// `[server.limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) header_timeout: Option<Spanned<HumanDuration>>,
    pub(super) keep_alive_timeout: Option<Spanned<HumanDuration>>,
    pub(super) body_idle_timeout: Option<Spanned<HumanDuration>>,
    pub(super) body_min_rate: Option<Spanned<ByteRate>>,
    pub(super) body_rate_grace: Option<Spanned<HumanDuration>>,
    pub(super) write_idle_timeout: Option<Spanned<HumanDuration>>,
    pub(super) request_line: Option<Spanned<ByteSize>>,
    pub(super) headers: Option<Spanned<ByteSize>>,
    pub(super) header_count: Option<Spanned<u32>>,
    pub(super) body: Option<Spanned<ByteSize>>,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) requests_per_connection: Option<Spanned<u32>>,
    pub(super) http2_streams: Option<Spanned<u32>>,
    pub(super) http2_stream_window: Option<Spanned<ByteSize>>,
    pub(super) http2_connection_window: Option<Spanned<ByteSize>>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Spanned<String>>,
    pub(super) format: Option<Spanned<String>>,
    pub(super) output: Option<Spanned<String>>,
    pub(super) rotation: Option<Spanned<Rotation>>,
}

/// `[[listener]]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Option<Spanned<String>>,
    pub(super) bind: Option<Spanned<String>>,
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) owner: Option<Spanned<String>>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) protocols: Option<Spanned<Vec<Protocol>>>,
}

/// What a listener may speak, by the names of ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Protocol {
    #[serde(rename = "h2")]
    Http2,
    #[serde(rename = "http/1.1")]
    Http1,
}

/// `proxy_protocol` of a `[[listener]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProxyProtocol {
    pub(super) from: Spanned<Vec<Sender>>,
    pub(super) timeout: Option<Spanned<HumanDuration>>,
    pub(super) required: Option<bool>,
}

/// Who may send a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Whoever has an address in this network.
    Network(Network),
    /// Whoever may connect to a unix socket, which has no address.
    Unix,
}

/// `[[route]]`, without its handler.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    pub(super) name: Option<Spanned<String>>,
    pub(super) listener: Vec<Spanned<String>>,
    pub(super) host: Vec<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) path_regex: Option<Spanned<String>>,
    pub(super) methods: Vec<Spanned<Method>>,
    pub(super) priority: Option<i32>,
    pub(super) middleware: Vec<Spanned<String>>,
}

/// `{ regex = "…" }` of a header or a parameter of the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) regex: Spanned<String>,
}

/// `[[test]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnTest {
    pub(super) name: Option<String>,
    pub(super) request: Spanned<TestRequest>,
    pub(super) expect: Spanned<Expect>,
}

/// Fields by name, with the places of both.
pub(super) type Fields = BTreeMap<Spanned<String>, Spanned<String>>;

/// `request` of a `[[test]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TestRequest {
    pub(super) method: Option<Method>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) host: Option<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) headers: Fields,
    pub(super) listener: Option<Spanned<String>>,
}

/// `expect` of a `[[test]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) route: Option<Spanned<ExpectedRoute>>,
    pub(super) status: Option<Spanned<StatusCode>>,
    pub(super) location: Option<Spanned<String>>,
    pub(super) headers: Fields,
}

/// The name of a route, or `None` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedRoute(pub(super) Option<String>);

/// How many workers: `"auto"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// As many as this process may use cores.
    Auto,
    /// So many.
    Number(NonZeroU16),
}

/// What the `Server` field says; `None` for no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerHeader(pub(super) Option<String>);

/// Permission bits: `"0660"`. No number: 440 would pass and mean 0670.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Sender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Sender;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a network such as \"10.0.0.0/8\", or \"unix\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Sender, E> {
                match text {
                    "unix" => Ok(Sender::Unix),
                    _ => text.parse().map(Sender::Network).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_str(Read)
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a whole number, 1 or more")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Workers, E> {
                match text {
                    "auto" => Ok(Workers::Auto),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Workers, E> {
                let number = u16::try_from(number).ok().and_then(NonZeroU16::new);
                number.map(Workers::Number).ok_or_else(|| {
                    E::custom("there must be 1 to 65535 workers\nwrite \"auto\" for one a core")
                })
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for ServerHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = ServerHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ServerHeader, E> {
                let visible = |byte: u8| matches!(byte, b' '..=b'~');
                if text.trim().is_empty() || !text.bytes().all(visible) {
                    return Err(E::custom(
                        "a header holds visible ASCII and cannot be empty\n\
                         write false for no such header",
                    ));
                }
                Ok(ServerHeader(Some(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<ServerHeader, E> {
                if truth {
                    return Err(E::custom(
                        "true says nothing\nwrite what the header shall say",
                    ));
                }
                Ok(ServerHeader(None))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for ExpectedRoute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = ExpectedRoute;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ExpectedRoute, E> {
                Ok(ExpectedRoute(Some(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<ExpectedRoute, E> {
                if truth {
                    return Err(E::custom(
                        "true says nothing\nname the route, or write false for none",
                    ));
                }
                Ok(ExpectedRoute(None))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        const FORM: &str = "permission bits are \"0000\" to \"0777\"\nwrite it like \"0660\"";

        impl Visitor<'_> for Read {
            type Value = Mode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("permission bits such as \"0660\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Mode, E> {
                let mode = u32::from_str_radix(text, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
                mode.map(Mode).ok_or_else(|| E::custom(FORM))
            }
        }
        deserializer.deserialize_str(Read)
    }
}
