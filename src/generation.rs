//! One compiled configuration: immutable, numbered, shared by all workers.

pub mod acme;

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::build::{Files, Probe, Toggle};
use crate::routing::chain::Chain;
use crate::sys::tls::ServerConfig;
use crate::telemetry::metrics::Count;

/// A configuration, compiled.
#[derive(Debug)]
pub struct Generation {
    /// Counted up from 1 with every configuration published.
    pub id: u64,
    /// Where to listen, and with which routes.
    pub listeners: Vec<Listener>,
    /// How many workers; fixed at start.
    pub workers: NonZeroUsize,
    /// The threads of the blocking pool; fixed at start.
    pub blocking_threads: usize,
    /// The queue of the blocking pool; fixed at start.
    pub blocking_queue: usize,
    /// The limits of every connection.
    pub limits: Limits,
    /// Whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The `Server` field; `None` for no such field.
    pub server_header: Option<Box<str>>,
    /// How long open exchanges may take to end after SIGTERM.
    pub drain_timeout: Duration,
    /// How long everything is still served before that.
    pub drain_delay: Duration,
    /// What the control plane runs now and then.
    pub probes: Vec<Arc<dyn Probe>>,
    /// What an operator can turn on and off.
    pub toggles: Vec<Arc<dyn Toggle>>,
    /// What was read beside the configuration; all of it is watched.
    pub files: Files,
    /// The certificates that an authority shall issue.
    pub wanted: Vec<acme::Wanted>,
    /// What authorities are answered that look for a proof; `None` if nothing is wanted of any.
    pub tokens: Option<Arc<acme::Tokens>>,
    /// The chain of requests that were refused before they could be routed.
    pub refused: Chain,
}

impl Generation {
    /// How the daemon drains under it.
    pub fn drain_times(&self) -> DrainTimes {
        DrainTimes {
            delay: self.drain_delay,
            timeout: self.drain_timeout,
        }
    }
}

/// How a drain goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainTimes {
    /// How long everything is still served, while readiness already says 503.
    pub delay: Duration,
    /// How long open exchanges may then take.
    pub timeout: Duration,
}

/// A place to listen.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The name the file gave it, or its address.
    pub name: Arc<str>,
    /// Where.
    pub bind: Bind,
    /// What it is encrypted with; `None` for nothing.
    pub tls: Option<Arc<Tls>>,
    /// Which routes it serves.
    pub table: Arc<crate::routing::table::Table>,
    /// Who tells whom its connections are from, if anybody does.
    pub proxy_protocol: Option<Arc<ProxyProtocol>>,
    /// What is spoken.
    pub protocols: Protocols,
}

/// Which versions of HTTP a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.1, and 1.0.
    pub http1: bool,
    /// HTTP/2.
    pub http2: bool,
}

impl Protocols {
    /// Everything.
    pub const ALL: Self = Self {
        http1: true,
        http2: true,
    };

    /// Their names in ALPN, the most wanted first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let http2 = self.http2.then_some("h2");
        http2.into_iter().chain(self.http1.then_some("http/1.1"))
    }
}

/// Whose PROXY headers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Those whose address is in one of these.
    pub from: Vec<IpNet>,
    /// Whoever may connect to a unix socket.
    pub unix: bool,
    /// How long a header is waited for; `None` for as long as a request head may take.
    pub timeout: Option<Duration>,
    /// Whether they must send one.
    pub required: bool,
}

impl ProxyProtocol {
    /// Whether this peer is believed. The address of a unix socket's is unspecified.
    pub fn believes(&self, peer: IpAddr) -> bool {
        if peer.is_unspecified() {
            return self.unix;
        }
        let peer = peer.to_canonical();
        self.from.iter().any(|net| net.contains(&peer))
    }
}

/// What a listener is encrypted with.
pub struct Tls {
    /// What is agreed on with whom.
    pub config: Arc<ServerConfig>,
    /// How long a client may take to agree.
    pub handshake_timeout: Duration,
    /// Sessions that were agreed on anew.
    pub agreed: Count,
    /// Sessions that were resumed.
    pub resumed: Count,
    /// Sessions that were not agreed on, by [`Failure::ALL`].
    pub failed: [Count; 6],
    /// State that outlives the generation as long as this is there.
    pub kept: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Why a session could not be agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The client went away.
    Gone,
    /// The client took too long, or the daemon ended.
    Timeout,
    /// The client speaks no TLS.
    NotTls,
    /// The client has no version, cipher, group or protocol that is served.
    Incompatible,
    /// The client showed no certificate, or a bad one.
    Certificate,
    /// The client refused our certificate, or either side broke the protocol.
    Refused,
}

impl Failure {
    /// All of them, each with the word that numbers and logs call it.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Gone, "gone"),
        (Self::Timeout, "timeout"),
        (Self::NotTls, "not_tls"),
        (Self::Incompatible, "incompatible"),
        (Self::Certificate, "client_certificate"),
        (Self::Refused, "refused"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        let known = Self::ALL.iter().find(|(known, _)| *known == self);
        known.map_or("", |(_, word)| word)
    }
}

impl Tls {
    /// Counts a session that was not agreed on.
    pub fn count_failure(&self, worker: usize, failure: Failure) {
        let at = Failure::ALL.iter().position(|(known, _)| *known == failure);
        if let Some(count) = at.and_then(|at| self.failed.get(at)) {
            count.add(worker, 1);
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner and group, by number; `None` leaves them.
        owner: Option<(u32, u32)>,
    },
    /// What a service manager listens on under this name.
    Systemd(Arc<str>),
}

/// Limits of connections and requests. The defaults and where they come from are in
/// `config/resolve.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between two requests of a connection.
    pub keep_alive_timeout: Duration,
    /// Between two bytes of a request body.
    pub body_idle_timeout: Duration,
    /// Bytes a second a request body must come with; 0 for any.
    pub body_min_rate: u64,
    /// How long its client is waited for, in all, before the rate counts.
    pub body_rate_grace: Duration,
    /// Between two bytes that the client takes.
    pub write_idle_timeout: Duration,
    /// Bytes of the request line.
    pub request_line: usize,
    /// Bytes of all fields.
    pub headers: usize,
    /// How many field lines.
    pub header_count: usize,
    /// Bytes of a request body.
    pub body: u64,
    /// Connections a worker holds open.
    pub connections: usize,
    /// Requests a connection may carry; 0 for any number.
    pub requests_per_connection: u64,
    /// Requests of an HTTP/2 connection at the same time.
    pub http2_streams: u32,
    /// Bytes that a client may send of one request before they are read.
    pub http2_stream_window: u32,
    /// The same for all requests of a connection together.
    pub http2_connection_window: u32,
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
