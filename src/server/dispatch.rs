//! The life of a request, whatever the protocol it came by.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use tracing::{debug, error};

use super::connection::Connection;
use super::snapshot::Snapshot;
use crate::clock;
use crate::exchange::{BodyError, BodyStream, Exchange, Outcome, Response, Why};
use crate::generation::acme::Tokens;
use crate::http::{HeaderName, Method, StatusCode, name};
use crate::routing::chain::{Chain, Entered};
use crate::routing::route::Route;
use crate::routing::table::Found;
use crate::telemetry::RouteNumbers;

/// An answer, and the chain that must hear how it ended.
#[derive(Debug)]
pub struct Answer<'t> {
    /// What to send.
    pub response: Response,
    /// The route that made it, if one did.
    pub route: Option<&'t Arc<Route>>,
    chain: &'t Chain,
    entered: Entered,
    numbers: Option<&'t RouteNumbers>,
}

impl Answer<'_> {
    /// Whether anyone will hear of the outcome.
    pub fn is_heard(&self) -> bool {
        self.numbers.is_some() || !self.entered.is_empty()
    }

    /// The exchange is over: everyone who was entered hears of it.
    pub fn complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        x.locals.counters.exchanges_ended.add(1);
        if let Some(status) = outcome.status {
            let class = usize::from(status.code() / 100).clamp(1, 5) - 1;
            x.locals.counters.responses[class].add(1);
            if let Some(numbers) = self.numbers {
                numbers.observe(x.locals.worker, class, outcome.duration);
            }
        }
        if let Some(why) = outcome.why
            && let Some(counter) = x.locals.counters.whys.of(why.number())
        {
            counter.add(1);
        }
        self.chain.on_complete(self.entered, x, outcome);
    }
}

/// Why a request must not be answered on the connection it came by, or not yet.
fn refused_here(x: &mut Exchange<'_>) -> Option<(StatusCode, Why)> {
    let misdirected = Some((StatusCode::MISDIRECTED_REQUEST, Why::Misdirected));
    let Some(tls) = x.connection.tls.get() else {
        return misdirected.filter(|_| is_https_in_the_clear(x));
    };
    if tls.is_misdirected(x.request.host()) {
        return misdirected;
    }
    if !tls.is_replayable() {
        return None;
    }
    if !x.request.method.is_safe() {
        return Some((StatusCode::TOO_EARLY, Why::TooEarly));
    }
    // RFC 8470 §5.1: whoever answers may know better.
    if let Some(early) = HeaderName::from_bytes(b"Early-Data") {
        x.request.headers.set(&early, "1");
    }
    None
}

/// RFC 9110 §7.4: what is asked for as `https` must have come encrypted, to here or to a gateway
/// that is believed.
fn is_https_in_the_clear(x: &Exchange<'_>) -> bool {
    let scheme = x.request.target.scheme();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
        && !x.connection.secure
        && !x.trusted_peer
}

/// Finds the route, runs its chain and its handler. Never fails: what goes wrong below is a
/// response. `gone` is ready with the reason when there is nobody left to answer.
pub async fn dispatch<'t>(
    x: &mut Exchange<'t>,
    snapshot: &'t Snapshot,
    gone: impl FnMut(&mut Context<'_>) -> Poll<Why>,
) -> Answer<'t> {
    if let Some(tokens) = &snapshot.generation.tokens
        && let Some(answer) = prove(tokens, x)
    {
        return answer;
    }
    if let Some((status, why)) = refused_here(x) {
        return refuse(x, snapshot, Response::error(status, why)).await;
    }
    let found = snapshot.table.find(x.request, &mut x.params);
    let route = match found {
        Found::Route(route) | Found::Options(route, _) => Some(route),
        Found::MethodNotAllowed(_) | Found::NotFound => None,
    };
    let (chain, numbers) = match route {
        Some(route) => {
            x.route = &route.name;
            (&route.chain, route.numbers.as_deref())
        }
        None => (snapshot.table.misses(), None),
    };
    x.locals.counters.exchanges_begun.add(1);
    let mut entered = Entered::default();
    let response = make(x, chain, Inner::Found(found), &mut entered, gone).await;
    Answer {
        response,
        route,
        chain,
        entered,
        numbers,
    }
}

/// Those who hear of what is answered to an authority: neither a redirect nor a password may stand
/// in its way, whatever the configuration puts around every route.
static NOBODY: LazyLock<Chain> = LazyLock::new(Chain::default);

/// The answer to an authority that looks for a proof (RFC 8555 §8.3), if this is one.
fn prove(tokens: &Tokens, x: &Exchange<'_>) -> Option<Answer<'static>> {
    if !matches!(x.request.method, Method::Get | Method::Head) {
        return None;
    }
    let proof = tokens.find(x.request.target.path())?;
    let path = x.request.target.raw_path();
    debug!(path, "an authority looks for a proof");
    x.locals.counters.exchanges_begun.add(1);
    let media = "application/octet-stream";
    Some(Answer {
        response: Response::typed(StatusCode::OK, media, String::from(proof)),
        route: None,
        chain: &NOBODY,
        entered: Entered::default(),
        numbers: None,
    })
}

/// Sends a response that was decided before any route, through the chain of refused requests.
pub async fn refuse<'t>(
    x: &mut Exchange<'t>,
    snapshot: &'t Snapshot,
    response: Response,
) -> Answer<'t> {
    let chain = &snapshot.generation.refused;
    x.locals.counters.exchanges_begun.add(1);
    let mut entered = Entered::default();
    let inner = Inner::Decided(Box::new(response));
    let response = make(x, chain, inner, &mut entered, nobody_leaves).await;
    Answer {
        response,
        route: None,
        chain,
        entered,
        numbers: None,
    }
}

/// What stands inside the chain.
enum Inner<'t> {
    Found(Found<'t>),
    /// Boxed, so that all others are moved in few words.
    Decided(Box<Response>),
}

impl Inner<'_> {
    /// Handles what is within the limits that the chain has set.
    async fn handle(self, x: &mut Exchange<'_>) -> Response {
        if x.is_body_too_large() {
            return Response::body_too_large();
        }
        let route = match self {
            Self::Found(Found::Route(route)) => route,
            Self::Found(Found::Options(_, allow)) => {
                return Response::new(StatusCode::NO_CONTENT).with(&name::ALLOW, allow);
            }
            Self::Found(Found::MethodNotAllowed(allow)) => {
                return Response::error(StatusCode::METHOD_NOT_ALLOWED, Why::MethodNotAllowed)
                    .with(&name::ALLOW, allow);
            }
            Self::Found(Found::NotFound) => {
                return Response::error(StatusCode::NOT_FOUND, Why::RouteNone);
            }
            Self::Decided(response) => return *response,
        };
        let Some(deadline) = x.deadline() else {
            return route.handler.handle(x).await;
        };
        // Boxed, so that those without a deadline have no room for it.
        let handled = deadline.limit(Box::pin(route.handler.handle(x))).await;
        handled.unwrap_or_else(|_elapsed| Response::timed_out(x))
    }
}

/// For those who are not asked whether anybody waits.
fn nobody_leaves(_cx: &mut Context<'_>) -> Poll<Why> {
    Poll::Pending
}

/// Runs a chain and what stands inside it, on behalf of no client: nothing is counted, and nobody
/// can go away. `done` takes the response.
pub async fn run_behind(
    x: &mut Exchange<'_>,
    chain: &Chain,
    route: &Arc<Route>,
    done: impl FnOnce(&mut Exchange<'_>, Response),
) {
    let mut entered = Entered::default();
    let inner = Inner::Found(Found::Route(route));
    let response = make(x, chain, inner, &mut entered, nobody_leaves).await;
    let status = Some(response.status);
    done(x, response);
    let outcome = Outcome {
        status,
        body_sent: 0,
        body_received: 0,
        duration: x.elapsed(),
        why: x.why,
    };
    chain.on_complete(entered, x, &outcome);
}

/// The response, as it has come through the chain; `entered` says whom of that it has met.
async fn make(
    x: &mut Exchange<'_>,
    chain: &Chain,
    inner: Inner<'_>,
    entered: &mut Entered,
    mut gone: impl FnMut(&mut Context<'_>) -> Poll<Why>,
) -> Response {
    let made = {
        let making = async {
            if !chain.is_empty()
                && let Some(response) = chain.on_request(x, entered).await
            {
                return response;
            }
            x.phases.routed = Some(clock::now());
            inner.handle(x).await
        };
        let mut making = pin!(making);
        std::future::poll_fn(move |cx| poll_made(making.as_mut(), &mut gone, cx)).await
    };
    let mut response = match made {
        Made::Response(response) => response,
        // Nobody reads it; the status is for the log (499 is what operators know from nginx).
        Made::Gone(why) => {
            x.why = Some(why);
            let status = StatusCode::new(499).unwrap_or(StatusCode::BAD_REQUEST);
            Response {
                why: Some(why),
                ..Response::new(status)
            }
            .closing()
        }
        Made::Panic(panic) => panicked(x, &*panic),
    };
    if !entered.is_empty() {
        let hooks = AssertUnwindSafe(|| chain.on_response(*entered, x, &mut response));
        if let Err(panic) = catch_unwind(hooks) {
            response = panicked(x, &*panic);
        }
    }
    if let Some(why) = response.why {
        x.why = Some(why);
    }
    response
}

enum Made {
    Response(Response),
    Gone(Why),
    Panic(Box<dyn Any + Send>),
}

/// Polls the handler, catching its panic; looks whether the client is still there only when the
/// handler waits.
fn poll_made(
    making: Pin<&mut impl Future<Output = Response>>,
    gone: &mut impl FnMut(&mut Context<'_>) -> Poll<Why>,
    cx: &mut Context<'_>,
) -> Poll<Made> {
    match catch_unwind(AssertUnwindSafe(|| making.poll(cx))) {
        Ok(Poll::Ready(response)) => Poll::Ready(Made::Response(response)),
        Ok(Poll::Pending) => gone(cx).map(Made::Gone),
        Err(panic) => Poll::Ready(Made::Panic(panic)),
    }
}

/// The next piece of a body that is being written; a panic that makes it is an error of the body.
pub fn poll_chunk(
    stream: &mut dyn BodyStream,
    connection: &Connection,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BodyError>>> {
    catch_unwind(AssertUnwindSafe(|| stream.poll_chunk(cx))).unwrap_or_else(|_| {
        // The hook has logged it with its place.
        connection.worker.locals.counters.panics.add(1);
        Poll::Ready(Some(Err(BodyError(Why::Panic))))
    })
}

/// The answer of an exchange that panicked; counts it and logs it.
fn panicked(x: &Exchange<'_>, panic: &(dyn Any + Send)) -> Response {
    x.locals.counters.panics.add(1);
    let panic = message(panic);
    error!(route = x.route, panic, "an exchange panicked");
    Response::error(StatusCode::INTERNAL_SERVER_ERROR, Why::Panic).closing()
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<&str>() {
        Some(text) => text,
        None => panic
            .downcast_ref::<String>()
            .map_or("no message", String::as_str),
    }
}
