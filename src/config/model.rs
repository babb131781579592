//! What a configuration means: every default filled in, every name an index. Pure.
//!
//! Two models are equal if they mean the same, wherever it stands in the file.

mod tls;

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use super::own_tests::OwnTest;
pub use super::written::Workers;
use crate::build::{Kind, Rotation, Settings, Span};
use crate::exchange::Middleware;
use crate::generation::{Limits, Protocols, ProxyProtocol};
use crate::handlers::Handler;
use crate::handlers::proxy::Upstream;
use crate::http::Method;
use crate::routing::{FieldMatch, HostPattern, PathPattern, QueryMatch};
pub use tls::{Acme, CertificateFiles, ClientAuth, Tls, TlsFiles};

/// A configuration, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// `[server]`
    pub server: Server,
    /// `[log]`
    pub log: Log,
    /// `[[listener]]`, in the order of the file.
    pub listeners: Vec<Listener>,
    /// `[upstream.NAME]`, in the order of the file.
    pub upstreams: Vec<Instance<Arc<Upstream>>>,
    /// `[middleware.NAME]`, and kinds that are used under their own name.
    pub middleware: Vec<Instance<Box<dyn Middleware>>>,
    /// `[[route]]`, in the order of the file.
    pub routes: Vec<Route>,
    /// `[[test]]`, in the order of the file.
    pub own_tests: Vec<OwnTest>,
}

/// What is one for the whole daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// How many workers.
    pub workers: Workers,
    /// Threads of the blocking pool.
    pub blocking_threads: NonZeroU16,
    /// Jobs that may wait for the blocking pool.
    pub blocking_queue: NonZeroU16,
    /// How long open exchanges may take to end after SIGTERM.
    pub drain_timeout: Duration,
    /// How long everything is served after SIGTERM, with readiness saying 503 already.
    pub drain_delay: Duration,
    /// Whether a change of the files is a reload.
    pub watch: bool,
    /// Where `httpserverd reload` and its kin reach the daemon; `None` for the place that a
    /// service manager gave it, if one did.
    pub control_socket: Option<PathBuf>,
    /// Whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The outermost middleware of every exchange, as indexes.
    pub middleware: Vec<usize>,
    /// The `Server` field; `None` for no such field.
    pub server_header: Option<String>,
    /// `[server.limits]`
    pub limits: Limits,
}

/// The daemon's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Nothing below this is logged.
    pub level: Level,
    /// How a line looks.
    pub format: LogFormat,
    /// Where lines go.
    pub output: LogOutput,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the level of that name")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file.
    File {
        /// Which; relative to the configuration file.
        path: PathBuf,
        /// When a new one begins.
        rotation: Rotation,
    },
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The name the file gave it, or its address.
    pub name: Arc<str>,
    /// Where.
    pub bind: Bind,
    /// Who tells whom its connections are from.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What is spoken.
    pub protocols: Protocols,
    /// What it is encrypted with; `None` for nothing.
    pub tls: Option<Tls>,
    /// Where each of its keys stands.
    pub places: Places,
    /// Where its address stands.
    pub place: Place,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// TCP.
    Tcp(std::net::SocketAddr),
    /// A unix stream socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// `user`, `user:group` or `:group`, names or numbers.
        owner: Option<String>,
    },
    /// What a service manager listens on under this name.
    Systemd(Arc<str>),
}

/// A kind with settings and a name: a middleware, an upstream, the handler of a route.
pub struct Instance<T: 'static> {
    /// What the file calls it.
    pub name: Arc<str>,
    /// Which kind.
    pub kind: &'static Kind<T>,
    /// Its settings.
    pub settings: Arc<dyn Settings<T>>,
    /// What was written, to compare and to print.
    pub written: toml::Table,
    /// Where each of its keys stands.
    pub places: Places,
    /// Where it stands.
    pub place: Place,
}

/// What answers which requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The name the file gave it, or one made from its pattern. Unique.
    pub name: Arc<str>,
    /// Which listeners it serves, as indexes.
    pub listeners: Vec<usize>,
    /// For which hosts; none for any.
    pub hosts: Vec<HostPattern>,
    /// For which paths.
    pub path: PathPattern,
    /// For which methods; none for any.
    pub methods: Vec<Method>,
    /// What the fields of a request must be.
    pub headers: Vec<FieldMatch>,
    /// What the query of a request must be.
    pub query: Vec<QueryMatch>,
    /// Outranks the order of specificity; 0 where nothing was written.
    pub priority: i32,
    /// Its own middleware, outermost first, as indexes: inside of that of the server.
    pub middleware: Vec<usize>,
    /// What makes the response.
    pub handler: Instance<Handler>,
    /// Where each of its keys stands.
    pub places: Places,
    /// Where it stands.
    pub place: Place,
}

/// Where something stands. All places are equal: where a thing stands is no part of what it
/// means.
#[derive(Debug, Clone, Default)]
pub struct Place(pub Span);

/// Where the keys of something stand; equal as places are.
#[derive(Debug, Clone, Default)]
pub struct Places(pub Vec<(String, Span)>);

impl Places {
    /// Where a key stands, if it was written.
    pub fn of(&self, key: &str) -> Option<&Span> {
        let place = self.0.iter().find(|(known, _)| known == key);
        place.map(|(_, span)| span)
    }
}

impl Model {
    /// The names of these listeners.
    pub fn listener_names(&self, indexes: &[usize]) -> impl Iterator<Item = &str> {
        let known = indexes.iter().filter_map(|&at| self.listeners.get(at));
        known.map(|listener| &*listener.name)
    }

    /// The names of these middleware.
    pub fn middleware_names(&self, indexes: &[usize]) -> impl Iterator<Item = &str> {
        let known = indexes.iter().filter_map(|&at| self.middleware.get(at));
        known.map(|middleware| &*middleware.name)
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> PartialEq for Instance<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind.name == other.kind.name
            && self.written == other.written
    }
}

impl<T> Clone for Instance<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            kind: self.kind,
            settings: Arc::clone(&self.settings),
            written: self.written.clone(),
            places: self.places.clone(),
            place: self.place.clone(),
        }
    }
}

impl<T> fmt::Debug for Instance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind.name)
    }
}

impl Level {
    /// Every level, the quietest first.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// As the file writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// As the file writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Bind {
    /// As the file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}
