//! `fault_injection`: delays and errors on purpose, to see how clients take them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::refusal;
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Percent, Problem, Section, Settings, keys,
};
use crate::exchange::{Exchange, Flow, Middleware, Response, Resume, Why};
use crate::http::{HeaderName, StatusCode};
use crate::telemetry::Count;

/// Delays and errors on purpose.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "fault_injection",
    summary: "Delays requests and answers them with errors, on purpose: for tests",
    example: r#"
delay = "200ms"
delay_share = "50%"           # of the requests
abort = 503                   # the status; behind the delay, if both meet a request
abort_share = "1%"
header = "X-Inject-Fault"     # only in requests that carry it
seed = 42                     # the same requests in the same order meet the same faults
"#,
    keys: keys! {
        "delay": "duration" = "(none)", "how long requests wait before they go on";
        "delay_share": "percentage" = r#""100%""#, "how many of them";
        "abort": "status" = "(none)", "what requests are answered with: 400 to 599";
        "abort_share": "percentage" = r#""100%""#, "how many of them";
        "header": "header name" = "(every request)", "only requests that carry it";
        "seed": "number" = "(by chance)",
            "requests in the same order meet the same faults, from start to start";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    delay: Option<Spanned<HumanDuration>>,
    #[serde(default = "all")]
    delay_share: Percent,
    #[serde(default)]
    abort: Option<Spanned<StatusCode>>,
    #[serde(default = "all")]
    abort_share: Percent,
    #[serde(default)]
    header: Option<HeaderName>,
    #[serde(default)]
    seed: Option<u32>,
}

const fn all() -> Percent {
    Percent::whole(100)
}

/// Who waits longer has given up: no client of ours waits ten minutes.
const DELAY_MAX: Duration = Duration::from_mins(10);

#[derive(Debug, Clone)]
struct FaultSettings {
    delay: Option<Duration>,
    delay_share: Percent,
    abort: Option<StatusCode>,
    abort_share: Percent,
    header: Option<HeaderName>,
    seed: Option<u32>,
}

/// Delays and errors on purpose.
#[derive(Debug)]
struct FaultInjection {
    settings: FaultSettings,
    seed: u64,
    /// How many requests were rolled for.
    rolled: AtomicU64,
    delayed: Count,
    aborted: Count,
}

impl Middleware for FaultInjection {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let settings = &self.settings;
        if let Some(header) = &settings.header
            && !x.request.headers.contains(header)
        {
            return Flow::Continue;
        }
        let roll = self.rolled.fetch_add(1, Ordering::Relaxed);
        let abort = settings
            .abort
            .filter(|_| is_met(self.seed, roll, 1, settings.abort_share));
        let delay = settings
            .delay
            .filter(|_| is_met(self.seed, roll, 2, settings.delay_share));
        if abort.is_some() {
            self.aborted.add(x.locals.worker, 1);
        }
        let Some(delay) = delay else {
            return end(abort);
        };
        self.delayed.add(x.locals.worker, 1);
        Flow::Wait(Box::pin(async move {
            tokio::time::sleep(delay).await;
            Box::new(move |_: &mut Exchange<'_>| end(abort)) as Resume
        }))
    }
}

fn end(abort: Option<StatusCode>) -> Flow {
    match abort {
        Some(status) => Flow::Respond(Response::error(status, Why::Refused)),
        None => Flow::Continue,
    }
}

/// Whether a request is one of the share, by a number that looks like chance (`SplitMix64`).
fn is_met(seed: u64, roll: u64, die: u64, share: Percent) -> bool {
    let mut z = seed
        .wrapping_add(roll.wrapping_mul(2).wrapping_add(die))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 10_000 < share.of(10_000)
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let abort = written.abort.as_ref().map(|abort| {
        let default = StatusCode::SERVICE_UNAVAILABLE;
        refusal::status(Some(abort), default, section, cx)
    });
    if let Some(delay) = &written.delay
        && delay.get_ref().0 > DELAY_MAX
    {
        let message = format!("`delay` of {} is too long", delay.get_ref());
        let hint = "ten minutes are the longest; no client waits so long";
        cx.refuse(section, delay.span(), message, hint);
    }
    (cx.problems.len() == before).then(|| {
        Box::new(FaultSettings {
            delay: written.delay.map(|delay| delay.get_ref().0),
            delay_share: written.delay_share,
            abort,
            abort_share: written.abort_share,
            header: written.header,
            seed: written.seed,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for FaultSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let count = |fault: &'static str| {
            cx.carry_over.metrics.count(
                "httpserverd_fault_injection_total",
                "Faults that were injected.",
                vec![("name", (&*cx.name).into()), ("fault", fault.into())],
            )
        };
        Ok(Box::new(FaultInjection {
            settings: self.clone(),
            seed: match self.seed {
                Some(seed) => seed.into(),
                None => RandomState::new().hash_one(&*cx.name),
            },
            rolled: AtomicU64::new(0),
            delayed: count("delay"),
            aborted: count("abort"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::middleware::tests::{build, problems};

    /// What so many requests meet: a `d` for a delay, an `a` for an abort, a dot for neither.
    fn faults(settings: &str, requests: usize, header: Option<&str>) -> String {
        let injection = build(&KIND, settings);
        let mut request = TestRequest::get("/");
        if let Some(header) = header {
            request = request.header(header, "1");
        }
        let mut met = String::new();
        for _ in 0..requests {
            let mut flow = injection.on_request(&mut request.exchange());
            if let Flow::Wait(future) = flow {
                met.push('d');
                flow = block_on(future)(&mut request.exchange());
            }
            match flow {
                Flow::Respond(response) => {
                    assert_eq!(response.status.code(), 503);
                    met.push('a');
                }
                Flow::Continue => met.push('.'),
                Flow::Wait(_) => panic!("it waits once"),
            }
        }
        met
    }

    #[test]
    fn faults_by_share() {
        assert_eq!(faults("", 3, None), "...");
        assert_eq!(faults("abort = 503", 3, None), "aaa");
        assert_eq!(faults("delay = '1ms'", 3, None), "d.d.d.");
        assert_eq!(faults("delay = '1ms'\nabort = 503", 2, None), "dada");
        assert_eq!(
            faults("abort = 503\nabort_share = '0%'", 9, None),
            "........."
        );
        let tenth = faults("abort = 503\nabort_share = '10%'\nseed = 1", 10_000, None);
        let count = tenth.matches('a').count();
        assert!((900..1100).contains(&count), "{count}");
    }

    #[test]
    fn only_requests_that_carry_the_header() {
        let settings = "abort = 503\nheader = 'X-Fault'";
        assert_eq!(faults(settings, 2, None), "..");
        assert_eq!(faults(settings, 2, Some("x-fault")), "aa");
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        let with = |seed: u32| {
            let settings = format!("abort = 503\nabort_share = '50%'\nseed = {seed}");
            faults(&settings, 200, None)
        };
        assert_eq!(with(7), with(7));
        assert_ne!(with(7), with(8));
        let both = "delay = '1ms'\ndelay_share = '50%'\nabort = 503\nabort_share = '50%'\nseed = 1";
        let both = faults(both, 200, None);
        for each in ["da", "d.", ".", "a"] {
            assert!(both.contains(each), "{both}");
        }
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("abort = 200", "200 is not the status of a refusal");
        check("delay = '1h'", "is too long");
        check("delay_share = '101%'", "101%");
        check("header = 'a b'", "`a b` is not a header name");
    }
}
