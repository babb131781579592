//! When a request is tried again, and how soon.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use toml::Spanned;

use super::attempt::Failure;
use super::call::CallError;
use super::chance::Chance;
use crate::build::{ByteSize, HumanDuration, ParseContext, Percent, Problem, Section};
use crate::exchange::Why;
use crate::http::StatusCode;

/// How many tries a route may ask for. More only keep a client waiting for what is down.
const TRIES_MAX: u8 = 16;

/// How much of a body a route may keep to send it again. More is for `buffer_request`.
const BODY_MAX: u64 = 16 << 20;

/// As written in the file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    tries: Option<Spanned<u8>>,
    #[serde(default)]
    on: Option<Vec<Condition>>,
    #[serde(default)]
    per_try_timeout: Option<Spanned<HumanDuration>>,
    #[serde(default)]
    backoff: Option<HumanDuration>,
    #[serde(default)]
    backoff_max: Option<HumanDuration>,
    #[serde(default)]
    budget: Option<Share>,
    #[serde(default)]
    body: Option<Spanned<ByteSize>>,
}

/// What a route tries again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// No connection: nothing was sent.
    Connect,
    /// The connection ended before an answer, or within its head.
    Reset,
    /// No answer in time.
    Timeout,
    /// An answer that cannot be trusted.
    BadHead,
    /// An answer with this status.
    Status(StatusCode),
}

/// How much of an upstream's traffic retries may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// This share of its requests.
    Of(Percent),
    /// As much as there are tries.
    Unlimited,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retry {
    /// How often it is tried at most, the first time included.
    pub(super) tries: u8,
    on: Box<[Condition]>,
    /// How long each may take.
    pub(super) per_try: Option<Duration>,
    backoff: Duration,
    backoff_max: Duration,
    /// Which share of the upstream's traffic may be retries; `None`: connecting elsewhere is not
    /// counted.
    pub(super) budget: Option<Share>,
    /// How many bytes of a body are kept to be sent again.
    pub(super) body: usize,
}

impl Default for Retry {
    /// Where nothing is said: another endpoint if one cannot be connected to. A third that
    /// fails says more about the network than about endpoints.
    fn default() -> Self {
        Self {
            tries: 3,
            on: Box::new([Condition::Connect]),
            per_try: None,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            budget: None,
            body: 0,
        }
    }
}

impl Written {
    /// Fills in what is not written, and checks the rest.
    pub(super) fn read(self, section: &Section<'_>, cx: &mut ParseContext<'_>) -> Retry {
        let mut refuse = |at, message: String, hint: &str| {
            let problem = Problem::error("E0002", section.at(at), message).hint(hint);
            cx.problems.push(problem);
        };
        let tries = self.tries.as_ref().map_or(3, |tries| {
            if !(1..=TRIES_MAX).contains(tries.get_ref()) {
                let message = format!("`tries` is a number from 1 to {TRIES_MAX}");
                refuse(tries.span(), message, "1 never tries again");
            }
            *tries.get_ref()
        });
        if let Some(per_try) = &self.per_try_timeout
            && per_try.get_ref().0.is_zero()
        {
            let message = "no time at all".to_owned();
            refuse(per_try.span(), message, "give it at least \"100ms\"");
        }
        let body = self.body.as_ref().map_or(0, |body| {
            let bytes = body.get_ref().0;
            if bytes > BODY_MAX {
                let message = format!("more than {} is kept in memory", ByteSize(BODY_MAX));
                refuse(
                    body.span(),
                    message,
                    "`buffer_request` keeps bodies in a file",
                );
            }
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        // A blink the first time; then as long as what was overrun may need.
        let backoff = self.backoff.map_or(Duration::from_millis(25), |own| own.0);
        let most = self.backoff_max.map_or(Duration::from_secs(1), |own| own.0);
        Retry {
            tries,
            on: self.on.map_or_else(
                || Box::from([Condition::Connect, Condition::Reset]),
                Vec::into_boxed_slice,
            ),
            per_try: self.per_try_timeout.map(|own| own.get_ref().0),
            backoff,
            backoff_max: most.max(backoff),
            budget: Some(self.budget.unwrap_or(Share::Of(Percent::whole(20)))),
            body,
        }
    }
}

impl Retry {
    /// Whether the route asks for another try after this failure, and another try is safe: nothing
    /// was sent, or what was sent can be sent again, `repeatable`, with the same effect.
    pub(super) fn wants(&self, failure: Failure, repeatable: bool) -> bool {
        let (condition, safe) = match failure {
            Failure::Unavailable(_) | Failure::Client(_) => return false,
            Failure::Refused(_) => (Condition::Connect, true),
            Failure::Failed { error, unsent } => {
                let condition = match error {
                    CallError::Client(_) => return false,
                    CallError::Unanswered | CallError::Upstream(Why::UpstreamReset) => {
                        Condition::Reset
                    }
                    CallError::BadHead(_) => Condition::BadHead,
                    CallError::Upstream(_) => Condition::Timeout,
                };
                (condition, repeatable || unsent)
            }
        };
        safe && self.on.contains(&condition)
    }

    /// Whether the route asks for another try instead of this answer. That one may be sent
    /// again is what naming it says, if what was sent is still there.
    pub(super) fn names(&self, status: StatusCode) -> bool {
        self.on.contains(&Condition::Status(status))
    }

    /// How long to wait before the next try, `failed` of which have been made: twice as long each
    /// time, and less by chance, so that those who failed together do not come back together.
    pub(super) fn pause(&self, failed: u32, chance: &Chance) -> Duration {
        if self.backoff.is_zero() {
            return Duration::ZERO;
        }
        let doublings = failed.saturating_sub(1).min(16);
        let most = self.backoff.saturating_mul(1 << doublings);
        chance.up_to(most.min(self.backoff_max))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "unlimited" => Ok(Self::Unlimited),
            share => share.parse().map(Self::Of).map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Condition;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"connect\", \"reset\", \"timeout\", \"bad_head\" or a status")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Condition, E> {
                match text {
                    "connect" => Ok(Condition::Connect),
                    "reset" => Ok(Condition::Reset),
                    "timeout" => Ok(Condition::Timeout),
                    "bad_head" => Ok(Condition::BadHead),
                    other => {
                        let known = &["connect", "reset", "timeout", "bad_head"];
                        Err(E::unknown_variant(other, known))
                    }
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Condition, E> {
                let code = u16::try_from(number).ok().filter(|code| *code >= 400);
                code.and_then(StatusCode::new)
                    .map(Condition::Status)
                    .ok_or_else(|| {
                        E::custom(format!(
                            "{number} is no status to try again for\nname errors: 502, 503, 429"
                        ))
                    })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::ParseError;

    fn read(text: &str) -> (Option<Retry>, Vec<String>) {
        let section = Section::from_text(text).unwrap();
        let mut cx = ParseContext::default();
        let written: Option<Written> = cx.settings(&section);
        let retry = written.map(|written| written.read(&section, &mut cx));
        let problems = cx.problems.into_iter().map(|problem| problem.message);
        (retry, problems.collect())
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, expected: &[&str]| assert_eq!(read(text).1, expected, "{text}");
        check("", &[]);
        check("tries = 0", &["`tries` is a number from 1 to 16"]);
        check("per_try_timeout = '0s'", &["no time at all"]);
        check("body = '1GiB'", &["more than 16MiB is kept in memory"]);
        check(
            "on = ['conect']",
            &["every item of `on` cannot be \"conect\""],
        );
        check("on = [200]", &["`on`: 200 is no status to try again for"]);
    }

    const FAILURES: [(Failure, &str); 7] = [
        (Failure::Refused(Why::ConnectRefused), "connect"),
        (Failure::Unavailable(Why::NoEndpoint), "never"),
        (Failure::Client(Why::ClientAbort), "never"),
        (sent(CallError::Unanswered), "reset"),
        (sent(CallError::Upstream(Why::UpstreamReset)), "reset"),
        (sent(CallError::Upstream(Why::FirstByteTimeout)), "timeout"),
        (sent(CallError::BadHead(ParseError::StartLine)), "bad_head"),
    ];

    const fn sent(error: CallError) -> Failure {
        Failure::Failed {
            error,
            unsent: false,
        }
    }

    #[test]
    fn only_what_is_asked_for_and_safe_is_tried_again() {
        for on in ["connect", "reset", "timeout", "bad_head"] {
            let retry = read(&format!("on = ['{on}']")).0.unwrap();
            for (failure, condition) in FAILURES {
                assert_eq!(
                    retry.wants(failure, true),
                    on == condition,
                    "{on} {failure:?}"
                );
                let safe = on == condition && condition == "connect";
                assert_eq!(retry.wants(failure, false), safe, "{on} {failure:?}");
            }
        }
        let unsent = Failure::Failed {
            error: CallError::Unanswered,
            unsent: true,
        };
        assert!(read("").0.unwrap().wants(unsent, false));
        let retry = read("on = [503, 'connect']").0.unwrap();
        assert!(retry.names(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!retry.names(StatusCode::BAD_GATEWAY));
        let silent = Retry::default();
        assert!(silent.wants(Failure::Refused(Why::ConnectTimeout), false));
        assert!(!silent.wants(sent(CallError::Unanswered), true));
    }

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let retry = read("backoff = '10ms'\nbackoff_max = '40ms'").0.unwrap();
        let chance = Chance::default();
        for (failed, most) in [(1, 10), (2, 20), (3, 40), (4, 40), (100, 40)] {
            let pauses: Vec<Duration> = (0..100).map(|_| retry.pause(failed, &chance)).collect();
            let most = Duration::from_millis(most);
            assert!(pauses.iter().all(|pause| *pause <= most), "{failed}");
            assert!(pauses.iter().any(|pause| *pause > most / 2), "{failed}");
        }
        assert_eq!(Retry::default().pause(5, &chance), Duration::ZERO);
    }
}
