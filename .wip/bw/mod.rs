//! `bandwidth_limit`: how fast content may come or go, of each exchange or of all that share a
//! key.
//!
//! Content is held back, never refused. What is in memory or in a file is cut into pieces as
//! well: a limited response goes out as a stream.

mod pace;
mod settings;
mod source;

use std::sync::Arc;

use self::pace::{Pace, Paced, Speed};
use self::source::Source;
use super::rate_limit::buckets::Buckets;
use super::request_key::{self, Key};
use crate::exchange::{Body, Exchange, Flow, Middleware, Response};
use crate::telemetry::Count;

pub(super) use settings::KIND;

/// Holds content back.
#[derive(Debug)]
struct BandwidthLimit {
    speed: Speed,
    request: bool,
    response: bool,
    /// Who shares the speed; `None` for each exchange its own.
    shared: Option<Shared>,
    bytes: Count,
}

#[derive(Debug)]
struct Shared {
    key: Key,
    buckets: Arc<Buckets>,
}

impl Middleware for BandwidthLimit {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if self.request
            && let Some(pace) = self.pace(x)
            && let Some(stream) = x.body.take()
        {
            let limited = Paced::new(Source::Stream(stream), pace);
            x.body = Some(Box::new(limited));
        }
        Flow::Continue
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if !self.response || !self.holds_back(&response.body) {
            return;
        }
        if let Some(pace) = self.pace(x) {
            let blocking = x.locals.blocking.clone();
            response.body = match Source::new(std::mem::take(&mut response.body), blocking) {
                Ok(source) => Body::Stream(Box::new(Paced::new(source, pace))),
                Err(body) => body,
            };
        }
    }
}

impl BandwidthLimit {
    /// Whether there is anything to hold back. What a full bucket holds passes at once, unless
    /// others have had of it.
    fn holds_back(&self, body: &Body) -> bool {
        let length = body.length();
        match body {
            Body::Empty | Body::Tunnel(_) => false,
            _ if self.shared.is_some() => true,
            _ => length.is_none_or(|length| length > self.speed.burst),
        }
    }

    /// The pace of this exchange; `None` if it is not to be held back.
    fn pace(&self, x: &Exchange<'_>) -> Option<Pace> {
        let worker = x.locals.worker;
        let count = self.bytes.clone();
        let Some(shared) = &self.shared else {
            return Some(Pace::alone(self.speed, count, worker));
        };
        let key = shared.key.write(x, "")?;
        let key = request_key::hash(&key, shared.buckets.hasher());
        let buckets = Arc::clone(&shared.buckets);
        Some(Pace::shared(self.speed, count, worker, buckets, key))
    }
}

#[cfg(test)]
mod tests;
