//! What was fetched: confirmed, kept, refused, or replaced by something stale.

use std::sync::Arc;

use bytes::Bytes;

use super::Cache;
use super::entry::{Head, Origin, Stored};
use super::filler::Filler;
use super::numbers::Answered;
use super::passage::TAKEN;
use super::pump::Pumped;
use crate::clock;
use crate::exchange::{Body, Exchange, Response};
use crate::http::cache::validation::confirms;
use crate::http::cache::{CacheStatus, Refusal, RequestDirectives};
use crate::http::{RequestHead, StatusCode};

/// A response that has come to a request that was passed on to fetch it.
pub(super) struct Fetched<'c> {
    pub(super) cache: &'c Arc<Cache>,
    pub(super) asked: RequestDirectives,
    /// Whether the answer may be for one client alone.
    pub(super) authorized: bool,
    /// When it was asked for, in seconds since 1970.
    pub(super) requested: u64,
    /// The client's conditions were taken off, so that they are this cache's to answer.
    pub(super) conditions_are_ours: bool,
    pub(super) told: CacheStatus,
}

impl Fetched<'_> {
    /// Decides what becomes of it, and what the client gets.
    pub(super) fn settle(
        &mut self,
        x: &Exchange<'_>,
        filler: Filler,
        stale: Option<Arc<Stored>>,
        response: &mut Response,
    ) -> Answered {
        if let Some(stale) = stale {
            if response.status == StatusCode::NOT_MODIFIED {
                self.confirm(x, filler, &stale, response);
                return Answered::Revalidated;
            }
            let candidate = stale.head.candidate();
            if is_failure(response) && candidate.answers_error(&self.asked, self.cache.grace) {
                self.told.forward_status = Some(response.status.code());
                self.told.ttl = Some(stale.head.ttl());
                *response = stale.answer(x.request);
                return Answered::Stale;
            }
        }
        let origin = Origin {
            request: x.request,
            asked: &self.asked,
            authorized: self.authorized,
            route: x.route,
            requested: self.requested,
            policy: self.cache.policy,
        };
        match Head::read(response, &origin) {
            Ok(head) => self.keep(x, filler, head, response),
            Err(refusal) => self.refuse(x, filler, refusal, response),
        }
        Answered::Miss
    }

    /// A 304 has come.
    fn confirm(
        &mut self,
        x: &Exchange<'_>,
        filler: Filler,
        stale: &Stored,
        response: &mut Response,
    ) {
        self.told.forward_status = Some(response.status.code());
        let from = &response.headers;
        if confirms(from, &stale.head.headers) {
            let fresh = stale.freshened(from, self.requested, self.cache.policy);
            *response = fresh.answer(x.request);
            self.told.ttl = Some(fresh.head.ttl());
            self.told.stored = true;
            let changed = filler.keep(fresh);
            self.cache.numbers.changed(x.locals.worker, changed);
        } else {
            // It confirms something that was not asked about: what is here is as good as it
            // gets, once.
            *response = stale.answer(x.request);
            self.cache.store.drop_url(filler.url());
        }
    }

    /// Keeps it, at once or as it comes.
    fn keep(&mut self, x: &Exchange<'_>, filler: Filler, head: Head, response: &mut Response) {
        let (cache, worker) = (self.cache, x.locals.worker);
        cache.store.fit(x.generation, cache.size);
        let on_disk = cache.disk.as_ref().map(|tier| {
            tier.shelf.fit(x.generation, tier.size);
            tier.entry_max()
        });
        let streams = cache.entry_max.max(on_disk.unwrap_or_default());
        let fits = |length: u64| length <= cache.entry_max;
        let ttl = head.ttl();
        let is_ours = self.conditions_are_ours && is_conditional(x.request);
        match std::mem::take(&mut response.body) {
            body @ (Body::Empty | Body::Bytes(_)) if body.length().is_some_and(fits) => {
                let content = match body {
                    Body::Bytes(bytes) => bytes,
                    _ => Bytes::new(),
                };
                response.body = Body::from(content.clone());
                let head = Arc::new(head);
                let stored = Stored {
                    head,
                    content: content.into(),
                };
                if is_ours {
                    *response = stored.answer(x.request);
                }
                cache.numbers.changed(worker, filler.keep(stored));
            }
            Body::Stream(body) if body.length().is_none_or(|length| length <= streams) => {
                let head = Arc::new(head);
                let watch = filler.fill().watch();
                filler.fill().coming(&head, body.length());
                if let Some(reader) = watch.read(&x.locals.blocking) {
                    response.body = Body::Stream(Box::new(reader));
                }
                if is_ours {
                    let body = std::mem::take(&mut response.body);
                    *response = head.respond_with(x.request, body);
                }
                let cache = Arc::clone(cache);
                let pumped = Pumped {
                    cache,
                    worker,
                    filler,
                    head,
                    blocking: x.locals.blocking.clone(),
                };
                tokio::task::spawn_local(pumped.pump(body));
            }
            body => {
                response.body = body;
                self.refuse(x, filler, Refusal::TooLarge, response);
                return;
            }
        }
        self.told.stored = true;
        self.told.ttl = Some(ttl);
    }

    /// Does not keep it. What it says of itself holds for the next ones too; what the request
    /// said, or a failure, does not.
    fn refuse(&mut self, x: &Exchange<'_>, filler: Filler, refusal: Refusal, response: &Response) {
        self.told.refusal = Some(refusal);
        let lasts = match refusal {
            Refusal::NoStore
            | Refusal::Private
            | Refusal::SetCookie
            | Refusal::VaryAny
            | Refusal::TooLarge
            | Refusal::Useless => true,
            Refusal::Method
            | Refusal::Status
            | Refusal::RequestNoStore
            | Refusal::Authorization => false,
        };
        if is_failure(response) {
            drop(filler);
        } else if lasts {
            let changed = filler.refuse(clock::now());
            self.cache.numbers.changed(x.locals.worker, changed);
        } else {
            filler.refuse_this();
        }
    }
}

fn is_conditional(request: &RequestHead) -> bool {
    let headers = &request.headers;
    TAKEN.iter().any(|field| headers.contains(field))
}

/// Whether there is no answer of the origin, or one that tells of its troubles.
fn is_failure(response: &Response) -> bool {
    response.why.is_some() || response.status.is_server_error()
}
