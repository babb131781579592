//! `body_limit`: how long the content of a request may be on these routes, less or more than
//! `server.limits.body` says.
//!
//! The limit is only set here. Who reads the content holds it to that, byte by byte, and a
//! request that says beforehand that it is longer is answered before its handler runs. So the
//! innermost limit of a chain counts, be it the larger or the smaller one.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::enforce::{Policy, default_enforce};
use crate::build::{BuildContext, ByteSize, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware, Outcome, Why};

/// How long the content of a request may be.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "body_limit",
    summary: "Takes shorter or longer request content than the server does: 413",
    example: r#"
max = "100MiB"            # outranks server.limits.body and body_limit further out
enforce = true            # false: only count and log what would be refused
"#,
    keys: keys! {
        "max": "size", "the longest content that is taken; it outranks `server.limits.body`";
        "enforce": "true or false" = "true", "false: count and log only, and refuse nothing";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    max: Spanned<ByteSize>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

#[derive(Debug)]
struct BodyLimitSettings {
    max: u64,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    Some(Box::new(BodyLimitSettings {
        max: written.max.get_ref().0,
        enforce: written.enforce,
    }))
}

impl Settings<Box<dyn Middleware>> for BodyLimitSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(LimitBody {
            max: self.max,
            policy: Policy::new(KIND.name, self.enforce, cx),
        }))
    }
}

/// Sets the limit.
#[derive(Debug)]
struct LimitBody {
    max: u64,
    policy: Arc<Policy>,
}

impl Middleware for LimitBody {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if let Some(limit) = &x.body_limit {
            if self.policy.is_enforced() {
                limit.set(self.max);
            } else {
                // Who only watches may let more in, never less.
                limit.set(limit.get().max(self.max));
            }
        }
        Flow::Continue
    }

    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        let over = if self.policy.is_enforced() {
            let ours = x
                .body_limit
                .as_ref()
                .is_some_and(|limit| limit.get() == self.max);
            ours && outcome.why == Some(Why::BodyTooLarge)
        } else {
            outcome.body_received > self.max
        };
        if over {
            self.policy.count(x);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::build::CarryOver;
    use crate::exchange::BodyLimit;
    use crate::exchange::testing::TestRequest;
    use crate::middleware::tests::build_in;

    /// The limit of a request with content, and what was counted when it ended.
    #[track_caller]
    fn run(settings: &str, before: u64, received: u64, why: Option<Why>) -> (u64, u64) {
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, PathBuf::from("/"));
        let middleware = build_in(&KIND, settings, &mut cx);
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        x.body_limit = Some(BodyLimit::new(before));
        assert!(matches!(middleware.on_request(&mut x), Flow::Continue));
        let outcome = Outcome {
            status: None,
            body_sent: 0,
            body_received: received,
            duration: std::time::Duration::ZERO,
            why,
        };
        middleware.on_complete(&x, &outcome);
        let counted = carry_over.metrics.read();
        let counted = counted
            .iter()
            .map(|family| family.series[0].1.number)
            .sum::<i64>();
        (x.body_limit.unwrap().get(), counted.cast_unsigned())
    }

    #[test]
    fn the_limit_is_lowered_or_raised_and_what_breaks_it_is_counted() {
        let too_large = Some(Why::BodyTooLarge);
        assert_eq!(run("max = 10", 100, 10, None), (10, 0));
        assert_eq!(run("max = 10", 100, 11, too_large), (10, 1));
        assert_eq!(run("max = '1KiB'", 100, 500, None), (1024, 0));
        let watched = "max = 10\nenforce = false";
        assert_eq!(run(watched, 100, 11, None), (100, 1));
        assert_eq!(run(watched, 100, 10, None), (100, 0));
        assert_eq!(
            run("max = '1KiB'\nenforce = false", 100, 500, None),
            (1024, 0)
        );
    }
}
