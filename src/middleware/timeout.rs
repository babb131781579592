//! `timeout`: how long a whole exchange may take, from the first byte of the request to the last
//! byte of the response.
//!
//! Off by default, because it cuts large downloads and slow clients as well as what is stuck;
//! the server's own deadlines are for silence. Connections that were upgraded are not limited.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::enforce::{Policy, default_enforce};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, keys,
};
use crate::clock;
use crate::exchange::{
    Body, BodyError, BodyStream, Deadline, Exchange, Flow, Middleware, Outcome, Response, Why,
};
use crate::http::Headers;

/// How long a whole exchange may take.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "timeout",
    summary: "Ends exchanges that take too long: 504 behind an upstream, otherwise 503",
    example: r#"
after = "30s"             # from the first byte of the request to the last of the response
enforce = true            # false: only count and log what would be ended
"#,
    keys: keys! {
        "after": "duration", "how long the whole exchange may take; one further in outranks it";
        "enforce": "true or false" = "true", "false: count and log only, and end nothing";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    after: Spanned<HumanDuration>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

#[derive(Debug)]
struct TimeoutSettings {
    after: Duration,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let after = written.after.get_ref().0;
    if after.is_zero() {
        let hint = "leave the middleware out for exchanges without a limit";
        cx.refuse(
            section,
            written.after.span(),
            "no exchange takes no time",
            hint,
        );
        return None;
    }
    Some(Box::new(TimeoutSettings {
        after,
        enforce: written.enforce,
    }))
}

impl Settings<Box<dyn Middleware>> for TimeoutSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(Timeout {
            after: self.after,
            policy: Policy::new(KIND.name, self.enforce, cx),
        }))
    }
}

/// Sets the time by which an exchange must be over.
#[derive(Debug)]
struct Timeout {
    after: Duration,
    policy: Arc<Policy>,
}

impl Middleware for Timeout {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if self.policy.is_enforced() {
            // Ten years at most from now, which every clock can tell.
            x.time_limit = x.started.checked_add(self.after);
        }
        Flow::Continue
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Body::Stream(_) = response.body
            && self.has_limited(x)
            && let Some((limit, deadline)) = x.time_limit.zip(x.deadline())
            && let Body::Stream(stream) = std::mem::take(&mut response.body)
        {
            response.body = Body::Stream(Box::new(Limited {
                stream,
                limit,
                deadline,
            }));
        }
    }

    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        let over = if self.policy.is_enforced() {
            outcome.why == Some(Why::ExchangeTimeout) && self.has_limited(x)
        } else {
            outcome.duration > self.after
        };
        if over {
            self.policy.count(x);
        }
    }
}

impl Timeout {
    /// Whether the limit of the exchange is the one that was set here.
    fn has_limited(&self, x: &Exchange<'_>) -> bool {
        self.policy.is_enforced() && x.time_limit == x.started.checked_add(self.after)
    }
}

/// A body that breaks off when its time is up. One that waits in memory or in a file is not
/// wrapped: the writer knows the limit too.
#[derive(Debug)]
struct Limited {
    stream: Box<dyn BodyStream>,
    limit: Instant,
    deadline: Deadline,
}

impl BodyStream for Limited {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if clock::now() >= self.limit {
            return Poll::Ready(Some(Err(BodyError(Why::ExchangeTimeout))));
        }
        match self.stream.poll_chunk(cx) {
            Poll::Pending => self
                .deadline
                .poll_past(cx)
                .map(|()| Some(Err(BodyError(Why::ExchangeTimeout)))),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn length(&self) -> Option<u64> {
        self.stream.length()
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.stream.trailers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::http::StatusCode;
    use crate::middleware::tests::{build, problems};

    /// Never says anything.
    #[derive(Debug)]
    struct Silent;

    impl BodyStream for Silent {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            Poll::Pending
        }
    }

    #[test]
    fn the_limit_counts_from_the_first_byte() {
        let timeout = build(&KIND, "after = '10s'");
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let started = x.started;
        assert!(matches!(timeout.on_request(&mut x), Flow::Continue));
        assert_eq!(x.time_limit, Some(started + Duration::from_secs(10)));
        let watching = build(&KIND, "after = '10s'\nenforce = false");
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        assert!(matches!(watching.on_request(&mut x), Flow::Continue));
        assert_eq!(x.time_limit, None);
    }

    #[test]
    fn a_stream_breaks_off_when_its_time_is_up() {
        let timeout = build(&KIND, "after = '1us'");
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        timeout.on_request(&mut x);
        let mut response = Response::new(StatusCode::OK);
        response.body = Body::Stream(Box::new(Silent));
        timeout.on_response(&mut x, &mut response);
        let Body::Stream(mut stream) = response.body else {
            panic!("no stream");
        };
        clock::invalidate();
        let piece = block_on(stream.chunk());
        assert_eq!(piece, Some(Err(BodyError(Why::ExchangeTimeout))));
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(
            problems(&KIND, "after = '0s'"),
            ["no exchange takes no time"]
        );
    }
}
