//! What a `concurrency_limit` table may say.

use std::ops::Range as Place;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::adaptive::{Learnt, Range};
use super::lanes::{Lanes, Limit};
use super::{Adaptive, ConcurrencyLimit, Gate, signed};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, keys,
};
use crate::exchange::Middleware;
use crate::http::StatusCode;
use crate::middleware::enforce::{Policy, default_enforce};
use crate::middleware::refusal;
use crate::middleware::request_key::{Key, Missing, Words};

/// Lets so many exchanges be in flight at a time.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "concurrency_limit",
    summary: "Lets so many exchanges be in flight at a time; others wait or get 503",
    example: r#"
max = 100                 # in flight at a time; leave it out to have it found from latency
key = "client_ip"         # each has as many; without it all together
missing = "client_ip"     # who lacks a part of the key: by address, or "skip", or "share"
queue = 50                # so many more may wait …
queue_timeout = "1s"      # … for so long
status = 503              # of a refusal
enforce = true            # false: only count and log what would wait or be refused

# adaptive = { min = 4, max = 1000 }     # instead of `max` and `key`
"#,
    keys: keys! {
        "max": "number" = "(found: see `adaptive`)", "how many exchanges may be in flight";
        "adaptive": "table" = "{}",
            "how far the limit may go that is found from how long exchanges take";
        "adaptive.min": "number" = "4", "the limit does not go below this";
        "adaptive.max": "number" = "1000", "the limit does not go above this";
        "key": "word or list of words" = "(none: all together)",
            "each key has the limit for itself; made of the same parts as that of `rate_limit`";
        "missing": "\"client_ip\", \"skip\" or \"share\"" = r#""client_ip""#,
            "what stands for a part of the key that a request lacks";
        "queue": "number" = "0", "how many more may wait, of each key";
        "queue_timeout": "duration" = r#""1s""#,
            "how long one may wait; noticed up to a tenth of a second late";
        "status": "status" = "503", "the status of a refusal: 429 or 503";
        "enforce": "true or false" = "true", "false: count and log only; nobody waits";
    },
    parse,
};

/// What is not written of `adaptive`: enough to notice anything, and what one process of any
/// language bears.
const ADAPTIVE: Range = Range { min: 4, max: 1000 };

/// More can hardly be open at a time; beyond is a slip of the pen.
const MOST: usize = 10_000_000;

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    max: Option<Spanned<usize>>,
    #[serde(default)]
    adaptive: Option<Spanned<WrittenRange>>,
    #[serde(default)]
    key: Option<Spanned<Words>>,
    #[serde(default)]
    missing: Missing,
    #[serde(default)]
    queue: Option<Spanned<usize>>,
    #[serde(default = "default_queue_timeout")]
    queue_timeout: HumanDuration,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRange {
    #[serde(default)]
    min: Option<Spanned<usize>>,
    #[serde(default)]
    max: Option<Spanned<usize>>,
}

/// Shorter than what a client waits before it tries again.
const fn default_queue_timeout() -> HumanDuration {
    HumanDuration::seconds(1)
}

/// Read and right.
#[derive(Debug)]
struct ConcurrencySettings {
    most: Most,
    key: Option<Key>,
    queue: usize,
    queue_timeout: Duration,
    status: StatusCode,
    enforce: bool,
}

#[derive(Debug, Clone, Copy)]
enum Most {
    Given(usize),
    Found(Range),
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    // What can be read beside its mistakes may have others.
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let mut reading = Reading { section, cx };
    let most = reading.most(&written);
    let queue = written
        .queue
        .as_ref()
        .map_or(0, |queue| reading.number("queue", queue, 0));
    let default = StatusCode::SERVICE_UNAVAILABLE;
    let status = refusal::passing_status(written.status.as_ref(), default, section, cx);
    let key = written.key.as_ref().map(|words| {
        let parts = words.get_ref().parts(words.span(), section, cx);
        Key::new(parts, written.missing)
    });
    (cx.problems.len() == before).then(|| {
        Box::new(ConcurrencySettings {
            most,
            key,
            queue,
            queue_timeout: written.queue_timeout.0,
            status,
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

struct Reading<'c, 's, 'p> {
    section: &'c Section<'s>,
    cx: &'c mut ParseContext<'p>,
}

impl Reading<'_, '_, '_> {
    fn refuse(&mut self, place: Place<usize>, message: String, hint: &str) {
        self.cx.refuse(self.section, place, message, hint);
    }

    fn number(&mut self, key: &str, written: &Spanned<usize>, least: usize) -> usize {
        let number = *written.get_ref();
        if !(least..=MOST).contains(&number) {
            let message = format!("`{key}` must be between {least} and {MOST}");
            self.refuse(written.span(), message, "it is a number of exchanges");
        }
        number
    }

    fn most(&mut self, written: &Written) -> Most {
        if let Some(max) = &written.max {
            if let Some(adaptive) = &written.adaptive {
                let message = "`max` is given, so that nothing has to be found".to_owned();
                self.refuse(adaptive.span(), message, "leave one of them out");
            }
            return Most::Given(self.number("max", max, 1));
        }
        if let Some(key) = &written.key {
            let message = "what is found is one limit for all".to_owned();
            self.refuse(key.span(), message, "give `max`, or leave `key` out");
        }
        let mut range = ADAPTIVE;
        if let Some(adaptive) = &written.adaptive {
            let WrittenRange { min, max } = adaptive.get_ref();
            if let Some(min) = min {
                range.min = self.number("min", min, 1);
            }
            if let Some(max) = max {
                range.max = self.number("max", max, 1);
            }
            if range.min > range.max {
                let (min, max) = (range.min, range.max);
                let message = format!("`min` is {min} and `max` {max}: nothing lies between");
                self.refuse(adaptive.span(), message, "raise `max`, or lower `min`");
            }
        }
        Most::Found(range)
    }
}

impl Settings<Box<dyn Middleware>> for ConcurrencySettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let name = Arc::clone(&cx.name);
        let label = || vec![("name", (&*name).into())];
        let metrics = Arc::clone(&cx.carry_over.metrics);
        let (most, adaptive) = match self.most {
            Most::Given(most) => (most, None),
            Most::Found(range) => {
                let learnt = cx.carry_over.keep(&name, Learnt::default);
                let most = learnt.limit(range);
                let shown = metrics.gauge(
                    "httpserverd_concurrency_limit",
                    "How many may be in flight, as found from latency.",
                    label(),
                );
                shown.add(0, signed(most) - shown.get());
                let adaptive = Adaptive {
                    learnt,
                    range,
                    shown,
                };
                (most, Some(adaptive))
            }
        };
        Ok(Box::new(ConcurrencyLimit(Arc::new(Gate {
            lanes: cx.carry_over.keep(&name, Lanes::new),
            limit: Limit::new(most),
            key: self.key.clone(),
            queue: self.queue,
            queue_timeout: self.queue_timeout,
            status: self.status,
            adaptive,
            policy: Policy::new(KIND.name, self.enforce, cx),
            in_flight: metrics.gauge(
                "httpserverd_concurrency_in_flight",
                "Exchanges in flight under a concurrency_limit.",
                label(),
            ),
            queued: metrics.count(
                "httpserverd_concurrency_queued_total",
                "Exchanges that had to wait for others to end.",
                label(),
            ),
        }))))
    }
}
