//! Requests that were passed on, and what becomes of their responses.

use std::sync::Arc;

use super::entry::Stored;
use super::fetched::Fetched;
use super::filler::Filler;
use super::key;
use super::numbers::Answered;
use super::store::Begun;
use super::{Cache, is_authorized};
use crate::clock;
use crate::exchange::{Exchange, Flow, Response};
use crate::http::cache::validation::{ask_about, head_agrees};
use crate::http::cache::{CacheStatus, RequestDirectives, invalidation, status::Forward};
use crate::http::{HeaderName, Headers, Method, RequestHead, name};

/// Kept for an exchange from its request to its response.
#[derive(Debug)]
pub(super) struct Passage {
    passed: Passed,
    told: CacheStatus,
    asked: RequestDirectives,
    /// Whether its answer may be for one client alone.
    authorized: bool,
    /// When it was passed on, in seconds since 1970.
    requested: u64,
    /// The fields of the client that were taken off the request; `None` if none were.
    taken: Option<Headers>,
}

/// Why a request was passed on.
#[derive(Debug)]
pub(super) enum Passed {
    /// To keep what comes; to ask about this.
    Fetch(Filler, Option<Arc<Stored>>),
    /// It is HEAD, and this is stored.
    Head(Option<Arc<Stored>>, Box<[u8]>),
    /// It may change something.
    Unsafe,
    /// The cache has no part in it.
    Bypass,
}

/// What is taken off a request whose whole answer is wanted, or asked about.
pub(super) const TAKEN: [HeaderName; 4] = [
    name::IF_NONE_MATCH,
    name::IF_MODIFIED_SINCE,
    name::RANGE,
    name::IF_RANGE,
];

impl Passage {
    /// Gives the request back the fields it came with: who stands further out has not seen it
    /// without them.
    pub(super) fn restore(&self, request: &mut RequestHead) {
        let Some(taken) = &self.taken else { return };
        for field in &TAKEN {
            request.headers.remove(field);
        }
        for (field, value) in taken.iter() {
            request.headers.append_parsed(field, value);
        }
    }
}

/// Takes the client's conditions off a request and puts those about a stored response there.
fn condition(request: &mut RequestHead, stale: Option<&Arc<Stored>>) -> Headers {
    let mut taken = Headers::new();
    for field in &TAKEN {
        for value in request.headers.get_all(field) {
            taken.append(field, value);
        }
    }
    for field in &TAKEN {
        request.headers.remove(field);
    }
    if let Some(stale) = stale {
        ask_about(&stale.head.headers, &mut request.headers);
    }
    taken
}

impl Cache {
    /// Passes a request on; without its own conditions if the cache answers those, which `asked`
    /// says.
    pub(super) fn pass(
        &self,
        x: &mut Exchange<'_>,
        passed: Passed,
        told: CacheStatus,
        asked: Option<RequestDirectives>,
    ) -> Flow {
        let taken = match (&passed, asked) {
            (Passed::Fetch(_, stale), Some(_)) => Some(condition(x.request, stale.as_ref())),
            _ => None,
        };
        let passage = Passage {
            passed,
            told,
            asked: asked.unwrap_or_else(|| self.asked(x)),
            authorized: is_authorized(x),
            requested: clock::unix_now().as_secs(),
            taken,
        };
        x.hold(self, passage);
        Flow::Continue
    }

    /// Fetches anew what is stored, for no client in particular, unless somebody does.
    pub(super) fn refresh(
        self: &Arc<Self>,
        x: &mut Exchange<'_>,
        url: &[u8],
        stored: &Arc<Stored>,
        asked: RequestDirectives,
    ) {
        let Begun::Lead(filler) = self.store.begin(url) else {
            return;
        };
        let mut request = x.request.clone();
        request.method = Method::Get;
        request.headers.remove(&name::EXPECT);
        let taken = condition(&mut request, Some(stored));
        let passage = Passage {
            passed: Passed::Fetch(filler, Some(Arc::clone(stored))),
            told: CacheStatus::forwarded(Forward::Stale),
            asked,
            authorized: is_authorized(x),
            requested: clock::unix_now().as_secs(),
            taken: Some(taken),
        };
        let cache = Arc::clone(self);
        x.run_behind(
            &**self,
            request,
            Box::new(move |x, mut response| {
                passage.restore(x.request);
                cache.settle(x, passage, &mut response);
            }),
        );
    }

    /// A response has come to a request that was passed on.
    pub(super) fn settle(
        self: &Arc<Self>,
        x: &mut Exchange<'_>,
        passage: Passage,
        response: &mut Response,
    ) {
        let mut told = passage.told;
        match passage.passed {
            Passed::Bypass => self.tell(x, response, told, Answered::Bypass),
            Passed::Unsafe => {
                self.invalidate(x, response);
                self.tell(x, response, told, Answered::Bypass);
            }
            Passed::Head(stored, url) => {
                if let Some(stored) = stored {
                    self.compare(x, &url, &stored, passage.requested, response);
                }
                self.tell(x, response, told, Answered::Miss);
            }
            Passed::Fetch(filler, stale) => {
                let mut fetched = Fetched {
                    cache: self,
                    asked: passage.asked,
                    authorized: passage.authorized,
                    requested: passage.requested,
                    conditions_are_ours: passage.taken.is_some(),
                    told,
                };
                let answered = fetched.settle(x, filler, stale, response);
                told = fetched.told;
                self.tell(x, response, told, answered);
            }
        }
        // They are for caches, and this one has read them.
        response.headers.remove(&name::CACHE_TAG);
        response.headers.remove(&name::SURROGATE_KEY);
    }

    /// Drops what an unsafe request has made wrong.
    fn invalidate(&self, x: &Exchange<'_>, response: &Response) {
        if !invalidation::invalidates(&x.request.method, response.status) {
            return;
        }
        let scheme = x.scheme();
        self.store.drop_url(&key::of(x.request, scheme));
        let authority = x.request.authority();
        for path in invalidation::also_named(&response.headers, scheme, authority) {
            self.store.drop_url(&key::beside(x.request, scheme, path));
        }
    }

    /// Compares the answer to a HEAD with what is stored (RFC 9111 §4.3.5).
    fn compare(
        &self,
        x: &Exchange<'_>,
        url: &[u8],
        stored: &Stored,
        requested: u64,
        response: &Response,
    ) {
        if response.status != stored.head.status {
            return;
        }
        let (headers, size) = (&response.headers, stored.content.length());
        if head_agrees(headers, response.head_length, &stored.head.headers, size) {
            let fresh = stored.freshened(headers, requested, self.policy);
            let filler = self.store.alone(url);
            self.numbers.changed(x.locals.worker, filler.keep(fresh));
        } else {
            self.store.drop_url(url);
        }
    }
}
