//! `cache`: a shared cache of responses (RFC 9111), one fetch for many who ask. They are kept in
//! memory, and large ones on disk.
//!
//! ```text
//!  on_request ── fresh ─────────────▶ answer
//!      │       ├─ stale, graced ────▶ answer, and fetch behind it
//!      │       ├─ being fetched ────▶ wait for its head, read it as it comes
//!      │       └─ stale, missing ───▶ pass on, asking about what is stored
//!  on_response ─ 304 ───────────────▶ what is stored, freshened
//!              ├─ an error, graced ─▶ what is stored, stale
//!              ├─ may be kept ──────▶ pump ▶ fill ▶ store; all read from the fill
//!              └─ may not ──────────▶ as it is
//! ```
//!
//! What is allowed is decided in `http::cache`; here it is done. The store is shared by all
//! workers, and so is what is being fetched: a fetch of one worker serves the waiters of all.

mod content;
mod entry;
mod fetched;
mod fill;
mod filler;
mod key;
mod numbers;
mod passage;
mod pump;
mod purge;
mod ranges;
mod settings;
mod shelf;
mod sink;
mod store;

use std::sync::Arc;
use std::time::Duration;

use self::entry::Stored;
use self::fill::reader::Watch;
use self::fill::{Fill, Stage};
use self::numbers::{Answered, Numbers};
use self::passage::{Passage, Passed};
use self::purge::Purge;
use self::sink::Tier;
use self::store::{Begun, Found, Store};
use crate::clock;
use crate::exchange::{Body, Exchange, Flow, Middleware, Response, Resume};
use crate::http::cache::reuse::Cause;
use crate::http::cache::status::Forward;
use crate::http::cache::validation::ORIGIN_CONDITIONS;
use crate::http::cache::{CacheStatus, Grace, Policy, RequestDirectives, Reuse};
use crate::http::{Method, StatusCode, name};

pub(super) use settings::KIND;

/// How often a request waits for another's fetch before it fetches for itself: each time the
/// other one came to nothing.
const ROUNDS: u8 = 3;

/// The link of a chain; what it does outlives the configuration it stood in.
#[derive(Debug)]
struct Link(Arc<Cache>);

/// A cache as it is configured, with the store it shares with the configurations before it.
#[derive(Debug)]
pub(super) struct Cache {
    /// Its name in `Cache-Status`.
    name: Box<str>,
    store: Arc<Store>,
    /// Bytes that may be kept.
    size: u64,
    /// Bytes that one response may have.
    entry_max: u64,
    /// Where large responses are kept, if not in memory.
    disk: Option<Tier>,
    policy: Policy,
    grace: Grace,
    /// Whether clients may ask for more or less than what is stored.
    client_directives: bool,
    /// How long a request waits for another's fetch.
    wait_max: Duration,
    purge: Option<Purge>,
    numbers: Numbers,
}

impl Middleware for Link {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        self.0.enter(x, 0)
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Some(passage) = x.take_held::<Passage>(&*self.0) {
            passage.restore(x.request);
            self.0.settle(x, passage, response);
        }
    }

    fn identity(&self) -> usize {
        self.0.identity()
    }
}

/// In whose name things are held for an exchange, also when it goes on after waiting.
impl Middleware for Cache {}

impl Cache {
    /// What becomes of a request. `round` counts how often it has waited.
    fn enter(self: &Arc<Self>, x: &mut Exchange<'_>, round: u8) -> Flow {
        if let Some(purge) = &self.purge
            && purge::is_wanted(x.request)
        {
            return purge.answer(self, x);
        }
        if !x.request.method.is_safe() {
            let passed = Passed::Unsafe;
            return self.pass(x, passed, CacheStatus::forwarded(Forward::Method), None);
        }
        if has_no_part(x) {
            let passed = Passed::Bypass;
            return self.pass(x, passed, CacheStatus::forwarded(Forward::Bypass), None);
        }
        let asked = self.asked(x);
        let url = key::of(x.request, x.scheme());
        let now = clock::now();
        let (stale, forward, refused) = match self.store.find(&url, x.request, x.route, now) {
            Found::Stored(stored) => match stored.head.candidate().reuse(&asked, self.grace) {
                Reuse::Fresh => return self.hit(x, &stored, round, Answered::Hit),
                Reuse::Stale => return self.hit(x, &stored, round, Answered::Stale),
                Reuse::StaleWhileRevalidate => {
                    self.refresh(x, &url, &stored, asked);
                    return self.hit(x, &stored, round, Answered::Stale);
                }
                Reuse::Revalidate(Cause::Stale) => (Some(stored), Forward::Stale, false),
                Reuse::Revalidate(Cause::Request) => (Some(stored), Forward::Request, false),
            },
            Found::Others => (None, Forward::VaryMiss, false),
            Found::Refused => (None, Forward::UriMiss, true),
            Found::Nothing => (None, Forward::UriMiss, false),
        };
        if asked.only_if_cached {
            // RFC 9111 §5.2.1.7.
            let status = StatusCode::GATEWAY_TIMEOUT;
            return Flow::Respond(Response::error_text(status, status.reason()));
        }
        let told = CacheStatus::forwarded(forward);
        if x.request.method == Method::Head {
            return self.pass(x, Passed::Head(stale, url[..].into()), told, None);
        }
        let is_part = x.request.headers.contains(&name::RANGE);
        if is_part && stale.is_none() {
            // A whole that was not asked for would be slower to come than the part that was.
            return self.pass(x, Passed::Bypass, told, None);
        }
        // Who must not share does not wait, and has nobody wait: nor who waited in vain.
        let alone = refused || asked.no_store || round >= ROUNDS || is_authorized(x);
        let filler = if alone {
            self.store.alone(&url)
        } else {
            match self.store.begin(&url) {
                Begun::Lead(filler) => filler,
                Begun::Join(fill) => return self.wait(x, &fill, round),
            }
        };
        // It may have come since we looked, and its fetch be over.
        if !alone
            && let Found::Stored(stored) = self.store.find(&url, x.request, x.route, now)
            && stored.head.candidate().reuse(&asked, self.grace) == Reuse::Fresh
        {
            filler.have();
            return self.hit(x, &stored, round, Answered::Hit);
        }
        let takes_conditions = !alone || stale.is_some();
        let passed = Passed::Fetch(filler, stale);
        self.pass(x, passed, told, takes_conditions.then_some(asked))
    }

    /// What the client asks of caches, as far as it is heard.
    fn asked(&self, x: &Exchange<'_>) -> RequestDirectives {
        let headers = &x.request.headers;
        let says = headers.contains(&name::CACHE_CONTROL) || headers.contains(&name::PRAGMA);
        if !says {
            return RequestDirectives::default();
        }
        let asked = RequestDirectives::read(headers);
        if self.client_directives {
            return asked;
        }
        // Keeping what a client wants kept from others is no question of load.
        RequestDirectives {
            no_store: asked.no_store,
            ..RequestDirectives::default()
        }
    }

    /// Answers with what is stored.
    fn hit(&self, x: &mut Exchange<'_>, stored: &Stored, round: u8, answered: Answered) -> Flow {
        let mut response = stored.answer(x.request);
        let told = CacheStatus {
            collapsed: round > 0,
            ..CacheStatus::hit(stored.head.ttl())
        };
        self.tell(x, &mut response, told, answered);
        Flow::Respond(response)
    }

    /// Says and counts how a request was answered.
    fn tell(
        &self,
        x: &mut Exchange<'_>,
        response: &mut Response,
        told: CacheStatus,
        answered: Answered,
    ) {
        let mut value = smallvec::SmallVec::<[u8; 64]>::new();
        told.write(&self.name, |piece| value.extend_from_slice(piece));
        response.headers.append(&name::CACHE_STATUS, &value);
        self.numbers.answered(x.locals.worker, answered);
        x.facts_mut().cache = Some(answered.as_str());
    }

    /// Waits for what another request fetches.
    fn wait(self: &Arc<Self>, x: &Exchange<'_>, fill: &Arc<Fill>, round: u8) -> Flow {
        let watch = fill.watch();
        let deadline = x.locals.deadlines.register();
        deadline.set(self.wait_max);
        let cache = Arc::clone(self);
        Flow::Wait(Box::pin(async move {
            let stage = std::future::poll_fn(|cx| match watch.poll_stage(cx) {
                std::task::Poll::Ready(stage) => std::task::Poll::Ready(Some(stage)),
                std::task::Poll::Pending => deadline.poll_past(cx).map(|()| None),
            });
            let stage = stage.await;
            let resume: Resume = Box::new(move |x| cache.resume(x, watch, stage, round));
            resume
        }))
    }

    /// Goes on after waiting.
    fn resume(
        self: &Arc<Self>,
        x: &mut Exchange<'_>,
        watch: Watch,
        stage: Option<Stage>,
        round: u8,
    ) -> Flow {
        match stage {
            Some(Stage::Coming(head)) if head.fits(x.request, x.route) => {
                let Some(reader) = watch.read(&x.locals.blocking) else {
                    return self.enter(x, ROUNDS);
                };
                let body = Body::Stream(Box::new(reader));
                let mut response = head.respond_with(x.request, body);
                let told = CacheStatus {
                    collapsed: true,
                    ttl: Some(head.ttl()),
                    ..CacheStatus::forwarded(Forward::UriMiss)
                };
                self.tell(x, &mut response, told, Answered::Collapsed);
                Flow::Respond(response)
            }
            Some(Stage::Kept | Stage::Failed) => self.enter(x, round.saturating_add(1)),
            Some(Stage::Asking | Stage::Coming(_) | Stage::Refused) | None => self.enter(x, ROUNDS),
        }
    }
}

/// Whether the answer may be for one client alone (RFC 9111 §3.5): the request carries
/// `Authorization`, or who stands further out had it prove something, and may have taken that off.
fn is_authorized(x: &Exchange<'_>) -> bool {
    x.request.headers.contains(&name::AUTHORIZATION)
        || x.facts.as_ref().is_some_and(|facts| facts.authorized)
}

/// Whether this is no request that a cache can answer, or learn from.
fn has_no_part(x: &Exchange<'_>) -> bool {
    let headers = &x.request.headers;
    !matches!(x.request.method, Method::Get | Method::Head)
        || x.body.is_some()
        || headers.contains(&name::UPGRADE)
        || ORIGIN_CONDITIONS
            .iter()
            .any(|field| headers.contains(field))
}

#[cfg(test)]
mod tests;
