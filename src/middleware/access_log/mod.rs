//! `access_log`: a line for each exchange, however it ended.

mod buffers;
mod format;
mod json;
mod listed;
mod output;
mod redact;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use buffers::Buffers;
use format::Format;
use json::Extras;
use listed::Listed;
use redact::{Redact, Redaction};
pub(super) use settings::KIND;

use super::paths::Paths;
use crate::build::{Percent, Sink};
use crate::exchange::{Exchange, Middleware, Outcome, Random, Response};

/// Writes a line for each exchange.
#[derive(Debug)]
struct AccessLog {
    format: Format,
    sink: Arc<dyn Sink>,
    /// Paths of which nothing is logged.
    skipped: Paths,
    redaction: Redaction,
    sample: Option<Sample>,
}

/// Of what goes well and fast only a part is logged.
#[derive(Debug, Clone)]
struct Sample {
    part: Percent,
    /// From this status on every exchange is logged, as is every one that broke off.
    errors_from: u16,
    /// Every one that takes longer is logged too.
    slow: Option<Duration>,
    /// `,"sample":"10%"`, so that who counts lines knows what they stand for.
    mark: Box<[u8]>,
}

/// The fields of a response, kept until the line is written.
struct ResponseHeaders(Vec<u8>);

impl Middleware for AccessLog {
    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let Format::Json(shape) = &self.format else {
            return;
        };
        if matches!(shape.response_headers, Listed::None) {
            return;
        }
        let mut members = Vec::new();
        let redact = Redact::new(&self.redaction, x.facts.as_deref());
        shape
            .response_headers
            .write(&response.headers, redact, &mut members);
        x.hold(self, ResponseHeaders(members));
    }

    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        if self.skipped.contain(x.request.target.path()) {
            return;
        }
        let mut mark = None;
        if let Some(sample) = self
            .sample
            .as_ref()
            .filter(|sample| !sample.always(outcome))
        {
            if !sample.draws(x) {
                return;
            }
            mark = Some(&*sample.mark);
        }
        let headers = x.held::<ResponseHeaders>(self);
        let extras = Extras {
            redact: Redact::new(&self.redaction, x.facts.as_deref()),
            response_headers: headers.map(|headers| headers.0.as_slice()),
            sample: mark,
        };
        Buffers::of(x.locals).line(&self.sink, |stamp, line| {
            self.format.write(x, outcome, stamp, &extras, line);
        });
    }
}

impl Sample {
    /// Whether an exchange is logged whatever the sample says.
    fn always(&self, outcome: &Outcome) -> bool {
        let slow = self.slow.is_some_and(|slow| outcome.duration >= slow);
        let failed = match outcome.status {
            None => true,
            // A good status that went wrong is one that was cut off.
            Some(status) if status.code() < 400 => outcome.why.is_some(),
            Some(status) => status.code() >= self.errors_from,
        };
        slow || failed
    }

    fn draws(&self, x: &Exchange<'_>) -> bool {
        x.locals
            .keep::<Random>()
            .chance(self.part.of(10_000), 10_000)
    }
}

#[cfg(test)]
mod tests;
