//! `bandwidth_limit`: how many bytes a second content may go at, down to clients and up from
//! them.
//!
//! Content is paced where it flows: what is not paid for yet is not asked for further in, so a
//! slow download holds no memory, and an upload is slowed by the window of its connection. Heads
//! are not counted, nor what goes through an upgraded connection. See `pace` for the arithmetic.

mod meters;
mod pace;
mod paced;
mod settings;

use std::sync::Arc;

use self::meters::{Meter, Meters};
use self::pace::Pace;
use self::paced::{Paced, Pieces};
use super::file_stream::FileStream;
use super::request_key::{Key, KeyBytes};
use crate::clock;
use crate::exchange::{Body, BodyStream, Exchange, Flow, Middleware, Response};
use crate::http::Method;
use crate::telemetry::Count;

pub(super) use settings::KIND;

/// Paces content.
#[derive(Debug)]
struct BandwidthLimit {
    download: Option<Arc<Direction>>,
    upload: Option<Arc<Direction>>,
    /// Whose exchanges share the rate; each has it for itself if nobody's.
    key: Option<Key>,
}

/// A direction that is paced.
#[derive(Debug)]
struct Direction {
    pace: Pace,
    meters: Arc<Meters>,
    /// Bytes that went.
    bytes: Count,
    /// Bodies that had to wait.
    waited: Count,
}

/// The key of an exchange, as it was when its request came: who is further in may change what it
/// is made of.
struct Whose(KeyBytes);

impl Middleware for BandwidthLimit {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let key = match &self.key {
            None => None,
            Some(key) => match key.write(x, "") {
                None => return Flow::Continue,
                key => key,
            },
        };
        if let Some(direction) = &self.upload
            && let Some(body) = x.body.take()
        {
            let meter = direction.meter(key.as_deref());
            x.body = Some(direction.pace(body, meter, x));
        }
        if self.download.is_some()
            && let Some(key) = key
        {
            x.hold(self, Whose(key));
        }
        Flow::Continue
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let Some(direction) = &self.download else {
            return;
        };
        if x.request.method == Method::Head {
            return;
        }
        let whose = x.take_held::<Whose>(self);
        if self.key.is_some() && whose.is_none() {
            return;
        }
        let meter = direction.meter(whose.as_ref().map(|Whose(key)| &**key));
        let blocking = || x.locals.blocking.clone();
        let body: Box<dyn BodyStream> = match std::mem::take(&mut response.body) {
            body @ (Body::Empty | Body::Tunnel(_)) => {
                response.body = body;
                return;
            }
            // What may go at once goes as it is.
            body if direction.goes_at_once(&body, &meter, x) => {
                response.body = body;
                return;
            }
            Body::Bytes(bytes) => Box::new(bytes),
            Body::File(slice) => Box::new(FileStream::new(slice, blocking())),
            Body::Parts(parts) => Box::new(Pieces::new(parts, blocking())),
            Body::Stream(stream) => stream,
        };
        response.body = Body::Stream(direction.pace(body, meter, x));
    }
}

impl Direction {
    fn meter(&self, key: Option<&[u8]>) -> Arc<Meter> {
        let now = clock::now();
        match key {
            None => Arc::new(Meter::new(&self.pace, now)),
            Some(key) => self.meters.of(key, &self.pace, now),
        }
    }

    /// Whether all of a body may go now; then it is paid for.
    fn goes_at_once(&self, body: &Body, meter: &Meter, x: &Exchange<'_>) -> bool {
        let length = body.length();
        let goes = length.is_some_and(|length| meter.reserve_now(&self.pace, length, clock::now()));
        if goes {
            self.bytes.add(x.locals.worker, length.unwrap_or_default());
        }
        goes
    }

    fn pace(
        self: &Arc<Self>,
        body: Box<dyn BodyStream>,
        meter: Arc<Meter>,
        x: &Exchange<'_>,
    ) -> Box<dyn BodyStream> {
        let deadline = x.locals.deadlines.register();
        Box::new(Paced::new(body, self, meter, deadline, x.locals.worker))
    }
}

#[cfg(test)]
mod tests;
