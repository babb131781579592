//! The run-time contracts: an exchange, what is done around it, and what comes back.

pub mod announced;
pub mod behind;
pub mod blocking;
pub mod body;
pub mod client;
pub mod deadlines;
pub mod escape;
pub mod facts;
pub mod fetch;
pub mod inform;
pub mod locals;
pub mod outcome;
pub mod params;
pub mod query;
pub mod random;
pub mod response;
pub mod seldom;
pub mod template;
#[cfg(test)]
pub(crate) mod testing;
pub mod variable;

use std::cell::OnceCell;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use announced::Announced;
pub use behind::Behind;
pub use blocking::{BlockingPool, PoolFull};
pub use body::{Body, BodyError, BodyLimit, BodyStream, FileSlice, Part, Tunnel};
pub use deadlines::{Deadline, Deadlines};
pub use escape::Escape;
pub use facts::{Facts, Trace};
pub use fetch::{Fetch, Fetched, Fetcher};
pub use inform::Inform;
pub use locals::{Flush, WorkerLocals};
pub use outcome::{Outcome, Why};
pub use params::Params;
pub use random::Random;
pub use response::Response;
pub use seldom::Seldom;
pub use template::{LogTemplate, ResponseTemplate, Template};
pub use variable::Variable;

use crate::http::RequestHead;
use crate::sys::tls;

/// A future that stays on its worker.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One request and the response to it, as handlers and middleware see it.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The request without its body. Middleware may change it; `raw()` of the target stays
    /// what the client wrote.
    pub request: &'a mut RequestHead,
    /// The request body, until someone takes it. `None` if the request has none.
    pub body: Option<Box<dyn BodyStream>>,
    /// How long that body may be. `None` if the request has none.
    pub body_limit: Option<BodyLimit>,
    /// When all of the exchange must be over, if at any time.
    pub time_limit: Option<Instant>,
    /// The connection the request came on.
    pub connection: &'a ConnectionInfo,
    /// What this worker keeps between exchanges.
    pub locals: &'a WorkerLocals,
    /// Who asks: the peer, or who a trusted proxy says it forwards for.
    pub client_ip: IpAddr,
    /// Whether the peer is one of the trusted proxies: what it says of others is believed.
    pub trusted_peer: bool,
    /// The name of the route that answers; empty until one was found.
    pub route: &'a str,
    /// What the route's pattern captured.
    pub params: Params<'a>,
    /// The request id, once `request_id` has set it.
    pub request_id: Option<Box<str>>,
    /// The number of the configuration that answers.
    pub generation: u64,
    /// When the first byte of the head was read.
    pub started: Instant,
    /// How far it has come, and when.
    pub phases: Phases,
    /// Why the exchange went wrong, in one of a closed set of words.
    pub why: Option<Why>,
    /// What the proxy did, for the log.
    pub upstream: Option<Box<UpstreamTrail>>,
    /// What middleware found out; none for most.
    pub facts: Option<Box<Facts>>,
    /// Set while the daemon drains: readiness turns 503.
    pub draining: bool,
    /// Takes interim responses; `None` if the client's version knows none.
    pub inform: Option<&'a dyn Inform>,
}

impl<'a> Exchange<'a> {
    /// An exchange as it begins: asked for by the peer itself, no route found, nothing found out.
    pub fn new(
        request: &'a mut RequestHead,
        connection: &'a ConnectionInfo,
        locals: &'a WorkerLocals,
        started: Instant,
    ) -> Self {
        Self {
            request,
            body: None,
            body_limit: None,
            time_limit: None,
            connection,
            locals,
            client_ip: connection.peer.ip(),
            trusted_peer: false,
            route: "",
            params: Params::default(),
            request_id: None,
            generation: 0,
            started,
            phases: Phases::default(),
            why: None,
            upstream: None,
            facts: None,
            draining: false,
            inform: None,
        }
    }

    /// Whether the client's side is encrypted: here, or before a trusted proxy that says so.
    pub fn is_secure(&self) -> bool {
        self.connection.secure
            || (self.trusted_peer && client::forwarded_https(&self.request.headers))
    }

    /// `http` or `https`, as the client knows it.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Whether the request says that its content is longer than it may be.
    pub fn is_body_too_large(&self) -> bool {
        let length = self.body.as_ref().and_then(|body| body.length());
        let limit = self.body_limit.as_ref().map(BodyLimit::get);
        length
            .zip(limit)
            .is_some_and(|(length, limit)| length > limit)
    }

    /// The deadline by which the exchange must be over, if there is one.
    pub fn deadline(&self) -> Option<Deadline> {
        let left = self
            .time_limit?
            .saturating_duration_since(crate::clock::now());
        let deadline = self.locals.deadlines.register();
        deadline.set(left);
        Some(deadline)
    }

    /// How long after its start this was.
    pub fn after_start(&self, then: Option<Instant>) -> Option<Duration> {
        then.map(|then| then.saturating_duration_since(self.started))
    }

    /// How long the exchange has lasted.
    pub fn elapsed(&self) -> Duration {
        crate::clock::now().saturating_duration_since(self.started)
    }
}

/// When an exchange came how far, from its start, by the coarse clock: what took no waiting
/// reads as nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Phases {
    /// The head was complete.
    pub read: Option<Instant>,
    /// A route was found, its middleware let the request through, and the handler began.
    pub routed: Option<Instant>,
}

/// What is the same for every exchange of a connection.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Counted up by the worker; unique within it.
    pub id: u64,
    /// The address of the peer; unspecified for a unix socket.
    pub peer: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// Whether the client's side is encrypted: `https`.
    pub secure: bool,
    /// What a PROXY header told; then `peer` and `local` are whom it names. `None` for most.
    pub announced: Option<Box<Announced>>,
    /// What was agreed on, where it is encrypted here, once that is over.
    pub tls: OnceCell<Rc<tls::Facts>>,
}

impl ConnectionInfo {
    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// What happened towards an upstream, for the log.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTrail {
    /// The name of the upstream. Counted within the worker, as the endpoint's is.
    pub upstream: Rc<str>,
    /// The endpoint of the last try; `None` as long as there was none.
    pub endpoint: Option<Rc<str>>,
    /// How often an endpoint was tried.
    pub tries: u32,
    /// From the start of the exchange to the connection being ready.
    pub connected: Option<Duration>,
    /// From the start of the exchange to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The status the upstream gave.
    pub status: Option<u16>,
    /// The tries that came to nothing, in order; as many as the route allows.
    pub failures: Vec<FailedTry>,
}

impl UpstreamTrail {
    /// Nothing has happened yet.
    pub fn new(upstream: &Rc<str>) -> Self {
        // Not from the default, which makes a name of its own.
        Self {
            upstream: Rc::clone(upstream),
            endpoint: None,
            tries: 0,
            connected: None,
            first_byte: None,
            status: None,
            failures: Vec::new(),
        }
    }
}

/// A try that came to nothing.
#[derive(Debug, Clone)]
pub struct FailedTry {
    /// The endpoint, as the log calls it.
    pub endpoint: Rc<str>,
    /// Why.
    pub why: Why,
    /// The status it gave, if it gave one.
    pub status: Option<u16>,
    /// How long it lasted.
    pub duration: Duration,
}

/// One kind of work done around a handler.
///
/// An instance is built when a configuration is compiled and shared by all workers until the
/// last exchange that uses it has ended. So it is immutable; what belongs to one exchange is in
/// the [`Exchange`], what must be counted is in state kept by `CarryOver`.
pub trait Middleware: Send + Sync + fmt::Debug {
    /// The head has been read; no handler has run. First in the list runs first.
    fn on_request(&self, _x: &mut Exchange<'_>) -> Flow {
        Flow::Continue
    }

    /// The response head is ready and unsent. Last in the list runs first. Runs for every
    /// middleware whose `on_request` said [`Flow::Continue`], also for errors.
    fn on_response(&self, _x: &mut Exchange<'_>, _response: &mut Response) {}

    /// The exchange is over: sent, cut off or timed out. Runs for every middleware that was
    /// entered, also when the client hung up.
    fn on_complete(&self, _x: &Exchange<'_>, _outcome: &Outcome) {}

    /// What names this instance as long as an exchange uses it: where it stands in memory. Who
    /// stands in for another one gives that one's.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }
}

/// What [`Middleware::on_request`] wants to happen next.
pub enum Flow {
    /// Go on inwards.
    Continue,
    /// Answer with this; nothing further in is entered.
    Respond(Response),
    /// Ask someone first. Only who must wait pays for a box.
    Wait(LocalBoxFuture<'static, Resume>),
}

/// What a [`Flow::Wait`] comes back with.
pub type Resume = Box<dyn FnOnce(&mut Exchange<'_>) -> Flow>;

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continue => "Continue",
            Self::Respond(_) => "Respond",
            Self::Wait(_) => "Wait",
        })
    }
}
