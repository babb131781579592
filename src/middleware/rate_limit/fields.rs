//! What clients are told of their limits: `RateLimit` and `RateLimit-Policy` (the draft of the
//! IETF's working group, draft-ietf-httpapi-ratelimit-headers), the `X-RateLimit-*` that came
//! before them, and `Retry-After`.

use super::gcra::{Quota, Verdict};
use crate::build::Rate;
use crate::exchange::Response;
use crate::http::{HeaderName, Headers, StatusCode, name};

/// What is the same for every response.
#[derive(Debug)]
pub(super) struct Fields {
    /// `"api"`, as a string of structured fields.
    name: Box<str>,
    /// `"api";q=100;w=60`
    policy: Box<str>,
    /// The tokens of a full bucket.
    limit: Box<str>,
}

impl Fields {
    /// What a policy of this name says.
    pub(super) fn new(name: &str, rate: Rate, quota: &Quota) -> Self {
        // Names of instances hold nothing that would have to be escaped (RFC 9651 §3.3.3).
        let quoted = format!("\"{name}\"");
        // The window in which the quota comes back, in whole seconds as the draft wants it.
        let window = rate.per.as_secs().max(1);
        let within = u128::from(window) * 1_000_000_000 / u128::from(quota.interval.max(1));
        Self {
            policy: format!(
                "{quoted};q={};w={window};burst={}",
                within.max(1),
                quota.burst
            )
            .into(),
            limit: quota.burst.to_string().into(),
            name: quoted.into(),
        }
    }

    /// Says what is left. Of several policies `X-RateLimit-*` tells the one with the least left.
    pub(super) fn write(&self, verdict: &Verdict, headers: &mut Headers) {
        headers.append(&name::RATELIMIT_POLICY, self.policy.as_bytes());
        let mut left = Vec::with_capacity(self.name.len() + 32);
        let full_in = seconds(verdict.full_in);
        left.extend_from_slice(self.name.as_bytes());
        for (key, number) in [(b";r=", verdict.remaining), (b";t=", full_in)] {
            left.extend_from_slice(key);
            left.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        headers.append(&name::RATELIMIT, left);
        let known = headers.get_str(&name::X_RATELIMIT_REMAINING);
        let known = known.and_then(|known| known.parse::<u64>().ok());
        if known.is_none_or(|known| verdict.remaining < known) {
            headers.set(&name::X_RATELIMIT_LIMIT, self.limit.as_bytes());
            number(headers, &name::X_RATELIMIT_REMAINING, verdict.remaining);
            number(headers, &name::X_RATELIMIT_RESET, full_in);
        }
    }
}

/// 429, with the time after which the request would pass.
pub(super) fn refusal(status: StatusCode, verdict: &Verdict) -> Response {
    let after = seconds(verdict.wait).max(1);
    let message = format!("Rate limit exceeded. Try again in {after} seconds.");
    let json = serde_json::json!({
        "error": status.reason(),
        "message": message,
        "retry_after": after,
    });
    let mut response = Response::json(status, json.to_string());
    number(&mut response.headers, &name::RETRY_AFTER, after);
    response
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(1_000_000_000)
}

fn number(headers: &mut Headers, name: &HeaderName, number: u64) {
    headers.set(name, itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, rate: &str, burst: u32) -> (Fields, Quota) {
        let rate: Rate = rate.parse().unwrap();
        let quota = Quota::new(rate, burst, 1).unwrap();
        (Fields::new(name, rate, &quota), quota)
    }

    fn text(headers: &Headers) -> Vec<String> {
        let lines = headers.iter();
        lines
            .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
            .collect()
    }

    #[test]
    fn what_is_left_is_told_in_both_ways() {
        let (fields, quota) = of("api", "100/m", 10);
        let (verdict, _) = quota.take(0, 1);
        let mut headers = Headers::new();
        fields.write(&verdict, &mut headers);
        assert_eq!(
            text(&headers),
            [
                "RateLimit-Policy: \\\"api\\\";q=100;w=60;burst=10",
                "RateLimit: \\\"api\\\";r=9;t=1",
                "X-RateLimit-Limit: 10",
                "X-RateLimit-Remaining: 9",
                "X-RateLimit-Reset: 1",
            ]
        );
        let (wide, wider) = of("wide", "1000/10ms", 1000);
        wide.write(&wider.take(0, 1).0, &mut headers);
        let lines = text(&headers);
        assert!(
            lines.contains(&"X-RateLimit-Remaining: 9".to_owned()),
            "{lines:?}"
        );
        let policies: Vec<_> = headers.list(&name::RATELIMIT_POLICY).collect();
        assert_eq!(policies[1], b"\"wide\";q=100000;w=1;burst=1000");
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let verdict = Verdict {
            wait: 1_000_000_001,
            remaining: 0,
            full_in: 5_000_000_000,
        };
        let response = refusal(StatusCode::TOO_MANY_REQUESTS, &verdict);
        assert_eq!(response.headers.get_str(&name::RETRY_AFTER), Some("2"));
        let crate::exchange::Body::Bytes(json) = &response.body else {
            panic!("{:?}", response.body);
        };
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "error": "Too Many Requests",
                "message": "Rate limit exceeded. Try again in 2 seconds.",
                "retry_after": 2,
            })
        );
    }
}
