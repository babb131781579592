//! `PURGE`: drops what is stored, for those who may.

use std::sync::Arc;

use ipnet::IpNet;

use super::Cache;
use super::entry::tags;
use super::key;
use crate::exchange::client::is_within;
use crate::exchange::{Exchange, Flow, PoolFull, Response, Resume, Why};
use crate::http::{Method, RequestHead, StatusCode};

/// Who may purge.
#[derive(Debug)]
pub(super) struct Purge {
    pub(super) from: Vec<IpNet>,
}

/// What is to be dropped.
#[derive(Debug)]
enum Wanted {
    Url(key::Key),
    Prefix(key::Key),
    Tags(Vec<Vec<u8>>),
}

/// Whether a request has the method `PURGE`.
pub(super) fn is_wanted(request: &RequestHead) -> bool {
    matches!(&request.method, Method::Extension(method) if &**method == "PURGE")
}

impl Wanted {
    /// The tags that the fields name; otherwise the URL, or all that start like it if its path
    /// ends with `*`.
    fn read(x: &Exchange<'_>) -> Self {
        let tags: Vec<_> = tags(&x.request.headers).map(<[u8]>::to_vec).collect();
        if !tags.is_empty() {
            return Self::Tags(tags);
        }
        let mut url = key::of(x.request, x.scheme());
        if url.last() == Some(&b'*') {
            url.pop();
            return Self::Prefix(url);
        }
        Self::Url(url)
    }
}

impl Purge {
    /// Answers a request to purge: how many URLs were dropped. Looking through all of the store
    /// is the blocking pool's: no worker is held by it.
    pub(super) fn answer(&self, cache: &Arc<Cache>, x: &Exchange<'_>) -> Flow {
        if !is_within(x.client_ip, &self.from) {
            return Flow::Respond(Response::error(StatusCode::FORBIDDEN, Why::Refused));
        }
        let (cache, worker) = (Arc::clone(cache), x.locals.worker);
        let wanted = Wanted::read(x);
        if let Wanted::Url(url) = &wanted {
            let purged = u64::from(cache.store.drop_url(url));
            return Flow::Respond(cache.purged(worker, purged));
        }
        let blocking = x.locals.blocking.clone();
        Flow::Wait(Box::pin(async move {
            let store = Arc::clone(&cache.store);
            let work = move || match &wanted {
                Wanted::Url(url) => u64::from(store.drop_url(url)),
                Wanted::Prefix(prefix) => store.drop_prefix(prefix),
                Wanted::Tags(tags) => store.drop_tagged(tags),
            };
            let done = blocking.run(work).await;
            let resume: Resume = Box::new(move |_| {
                Flow::Respond(match done {
                    Ok(purged) => cache.purged(worker, purged),
                    Err(PoolFull) => {
                        Response::error(StatusCode::SERVICE_UNAVAILABLE, Why::Overloaded)
                    }
                })
            });
            resume
        }))
    }
}

impl Cache {
    fn purged(&self, worker: usize, purged: u64) -> Response {
        self.numbers.purged(worker, purged, self.store.grown());
        let json = serde_json::json!({ "purged": purged }).to_string();
        Response::json(StatusCode::OK, json)
    }
}
