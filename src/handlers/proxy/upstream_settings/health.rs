//! `health_check`, `outlier_detection` and `circuit_breaker`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Check, seconds, times};
use crate::build::{HumanDuration, Percent};
use crate::handlers::checking::Question;
use crate::handlers::proxy::health::active::{HealthCheck, Way};
use crate::handlers::proxy::health::breaker::BreakerRules;
use crate::handlers::proxy::health::outlier::Outliers;
use crate::handlers::statuses::Statuses;
use crate::http::HeaderName;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenHealthCheck {
    #[serde(default)]
    path: Option<Spanned<String>>,
    #[serde(default)]
    tcp: bool,
    #[serde(default)]
    port: Option<Spanned<u16>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    #[serde(default = "good")]
    status: Statuses,
    #[serde(default)]
    body: Option<Spanned<String>>,
    #[serde(default = "seconds::<5>")]
    interval: Spanned<HumanDuration>,
    /// So that many servers, and many proxies, do not all ask at the same moment.
    #[serde(default = "tenth")]
    jitter: Percent,
    #[serde(default = "seconds::<2>")]
    timeout: Spanned<HumanDuration>,
    #[serde(default = "times::<2>")]
    healthy_after: Spanned<u32>,
    #[serde(default = "times::<3>")]
    unhealthy_after: Spanned<u32>,
}

fn good() -> Statuses {
    Statuses::of(&[(200, 399)])
}

const fn tenth() -> Percent {
    Percent::whole(10)
}

const fn half() -> Percent {
    Percent::whole(50)
}

/// What is looked for in a body must be short enough to be there early.
const BODY_MAX: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenOutliers {
    #[serde(default = "five")]
    consecutive_failures: u32,
    #[serde(default)]
    failure_rate_margin: Option<Percent>,
    /// Below it one failure would be a rate of some percent.
    #[serde(default = "times::<20>")]
    minimum_requests: Spanned<u32>,
    #[serde(default = "seconds::<10>")]
    interval: Spanned<HumanDuration>,
    #[serde(default = "seconds::<30>")]
    ejection_time: Spanned<HumanDuration>,
    #[serde(default = "seconds::<300>")]
    ejection_time_max: Spanned<HumanDuration>,
    #[serde(default = "half")]
    max_ejected: Percent,
}

const fn five() -> u32 {
    5
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBreaker {
    #[serde(default = "half")]
    failure_rate: Percent,
    #[serde(default = "times::<20>")]
    minimum_requests: Spanned<u32>,
    #[serde(default = "seconds::<10>")]
    window: Spanned<HumanDuration>,
    #[serde(default = "seconds::<5>")]
    open_time: Spanned<HumanDuration>,
    #[serde(default = "three")]
    trial_requests: Spanned<u16>,
}

fn three() -> Spanned<u16> {
    Spanned::new(0..0, 3)
}

/// Whether a text can stand behind a field's name (RFC 9110 §5.5).
fn is_field_value(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F))
}

impl Check<'_, '_, '_> {
    pub(super) fn health(&mut self, table: &Spanned<WrittenHealthCheck>) -> HealthCheck {
        let written = table.get_ref();
        HealthCheck {
            way: self.way(table),
            port: written.port.as_ref().map(|port| {
                if *port.get_ref() == 0 {
                    self.refuse(port, "`0` is no port", "a port is a number from 1 to 65535");
                }
                *port.get_ref()
            }),
            interval: self.positive(&written.interval),
            jitter: written.jitter,
            timeout: self.positive(&written.timeout),
            healthy_after: self.at_least_once(&written.healthy_after),
            unhealthy_after: self.at_least_once(&written.unhealthy_after),
        }
    }

    fn way(&mut self, table: &Spanned<WrittenHealthCheck>) -> Way {
        let written = table.get_ref();
        match (&written.path, written.tcp) {
            (None, true) => {
                if let Some(body) = &written.body {
                    let hint = "ask for a `path` instead of `tcp`";
                    self.refuse(body, "a connection alone has no body", hint);
                }
                Way::Tcp
            }
            (None, false) => {
                let hint = "add path = \"/healthz\", or tcp = true to only connect";
                self.refuse(table, "a check of nothing", hint);
                Way::Tcp
            }
            (Some(path), true) => {
                let hint = "leave one of them out";
                self.refuse(path, "either `path` or `tcp` is checked", hint);
                Way::Tcp
            }
            (Some(path), false) => Way::Http(self.question(path, written)),
        }
    }

    fn question(&mut self, path: &Spanned<String>, written: &WrittenHealthCheck) -> Question {
        let text = path.get_ref();
        if !text.starts_with('/') || !text.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            let message = format!("{text:?} is not a path that starts with \"/\"");
            self.refuse(path, message, "write it like \"/healthz\"");
        }
        let mut fields = String::new();
        for (name, value) in &written.headers {
            let text = value.get_ref();
            if HeaderName::from_bytes(name.as_bytes()).is_none() || !is_field_value(text) {
                let message = format!("`{name}` cannot be sent as a field");
                self.refuse(value, message, "a field is a token and a line of text");
            }
            for part in [name, ": ", text, "\r\n"] {
                fields.push_str(part);
            }
        }
        if let Some(body) = &written.body
            && !(1..=BODY_MAX).contains(&body.get_ref().len())
        {
            let message = format!("a text of 1 to {BODY_MAX} bytes is looked for");
            self.refuse(
                body,
                message,
                "choose a word that is only there when all is well",
            );
        }
        Question {
            path: text.as_str().into(),
            fields: fields.into(),
            names_host: written
                .headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("host")),
            statuses: written.status.clone(),
            body: written
                .body
                .as_ref()
                .map(|body| body.get_ref().as_bytes().into()),
        }
    }

    pub(super) fn outliers(&mut self, written: &WrittenOutliers) -> Outliers {
        let ejection_time = self.positive(&written.ejection_time);
        if written.ejection_time_max.get_ref().0 < ejection_time {
            let hint = "raise `ejection_time_max`, or lower `ejection_time`";
            let message = "the longest time out is shorter than the first";
            // What is not written stands nowhere.
            let both = [&written.ejection_time_max, &written.ejection_time];
            let place = both.into_iter().find(|time| !time.span().is_empty());
            self.refuse(place.unwrap_or(&written.ejection_time), message, hint);
        }
        Outliers {
            consecutive_failures: written.consecutive_failures,
            failure_rate_margin: written.failure_rate_margin,
            minimum_requests: self.at_least_once(&written.minimum_requests),
            interval: self.positive(&written.interval),
            ejection_time,
            ejection_time_max: written.ejection_time_max.get_ref().0,
            max_ejected: written.max_ejected,
        }
    }

    pub(super) fn breaker(&mut self, written: &WrittenBreaker) -> BreakerRules {
        if *written.trial_requests.get_ref() == 0 {
            let hint = "with none of them it would never close again";
            self.refuse(&written.trial_requests, "must be 1 or more", hint);
        }
        BreakerRules {
            failure_rate: written.failure_rate,
            minimum_requests: self.at_least_once(&written.minimum_requests),
            window: self.positive(&written.window),
            open_time: self.positive(&written.open_time),
            trial_requests: *written.trial_requests.get_ref(),
        }
    }
}
