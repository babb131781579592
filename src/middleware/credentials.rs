//! What the kinds that ask who someone is have in common: how a client's proof is read, how it
//! is refused, and what is counted.

use std::sync::Arc;

use crate::build::BuildContext;
use crate::exchange::{Exchange, Flow, Response, Why};
use crate::http::{Headers, StatusCode, name};
use crate::telemetry::metrics::Count;

/// What became of a request that had to prove something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did.
    Accepted,
    /// It brought nothing along.
    Missing,
    /// What it brought cannot be read.
    Malformed,
    /// It was wrong.
    Wrong,
    /// It was right once: expired, or not valid yet.
    Stale,
    /// It is right, but not good enough here.
    Insufficient,
    /// It came from someone who has been wrong too often.
    Limited,
    /// Nobody could look at it: there is too much to do, or who knows cannot be reached.
    Unavailable,
    /// Nobody could look at it, and the configuration lets it through then.
    Excused,
}

impl Verdict {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Accepted, "accepted"),
        (Self::Missing, "missing"),
        (Self::Malformed, "malformed"),
        (Self::Wrong, "wrong"),
        (Self::Stale, "stale"),
        (Self::Insufficient, "insufficient"),
        (Self::Limited, "limited"),
        (Self::Unavailable, "unavailable"),
        (Self::Excused, "excused"),
    ];

    const fn why(self) -> Why {
        match self {
            Self::Limited => Why::TooManyFailures,
            Self::Unavailable => Why::AuthUnavailable,
            Self::Missing => Why::CredentialsMissing,
            Self::Accepted
            | Self::Malformed
            | Self::Wrong
            | Self::Stale
            | Self::Insufficient
            | Self::Excused => Why::CredentialsRefused,
        }
    }
}

/// The numbers of one instance.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    counts: Arc<[Count]>,
}

impl Tally {
    pub(super) fn new(cx: &BuildContext<'_>, kind: &'static str) -> Self {
        let count = |(_, result): (Verdict, &str)| {
            cx.carry_over.metrics.count(
                "httpserverd_auth_requests_total",
                "Requests that had to prove something, by what became of them.",
                vec![
                    ("kind", kind.into()),
                    ("name", (&*cx.name).into()),
                    ("result", result.into()),
                ],
            )
        };
        Self {
            counts: Verdict::ALL.map(count).into(),
        }
    }

    /// Counts a request.
    pub(super) fn count(&self, x: &Exchange<'_>, verdict: Verdict) {
        let at = Verdict::ALL.iter().position(|(known, _)| *known == verdict);
        if let Some(count) = at.and_then(|at| self.counts.get(at)) {
            count.add(x.locals.worker, 1);
        }
    }

    /// Counts a request that is let in, and notes that it had to prove something.
    pub(super) fn accept(&self, x: &mut Exchange<'_>) {
        self.count(x, Verdict::Accepted);
        x.facts_mut().authorized = true;
    }

    /// Counts a request, and refuses it. `challenge` is what `WWW-Authenticate` says.
    pub(super) fn refuse(
        &self,
        x: &Exchange<'_>,
        verdict: Verdict,
        status: StatusCode,
        challenge: Option<&[u8]>,
    ) -> Flow {
        self.count(x, verdict);
        let mut response = Response::error(status, verdict.why());
        if let Some(challenge) = challenge {
            response.headers.set(&name::WWW_AUTHENTICATE, challenge);
        }
        Flow::Respond(response)
    }
}

/// A refusal that says when to try again, in seconds.
pub(super) fn retry_after(flow: Flow, seconds: u64) -> Flow {
    match flow {
        Flow::Respond(response) => {
            Flow::Respond(response.with(&name::RETRY_AFTER, seconds.to_string()))
        }
        flow => flow,
    }
}

/// What stands behind this scheme in the one `Authorization` (RFC 9110 §11.4); `None` if there
/// is none of this scheme.
///
/// # Errors
/// There is more than one such field: who reads the other one might think otherwise.
pub(super) fn authorization<'h>(
    headers: &'h Headers,
    scheme: &str,
) -> Result<Option<&'h [u8]>, Ambiguous> {
    let mut values = headers.get_all(&name::AUTHORIZATION);
    let (value, None) = (values.next(), values.next()) else {
        return Err(Ambiguous);
    };
    Ok(value.and_then(|value| {
        let (own, rest) = value.split_at_checked(scheme.len())?;
        let rest = rest.strip_prefix(b" ")?;
        own.eq_ignore_ascii_case(scheme.as_bytes())
            .then(|| rest.trim_ascii())
    }))
}

/// A request proves two things at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// A parameter's text within quotes (RFC 9110 §5.6.4).
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
