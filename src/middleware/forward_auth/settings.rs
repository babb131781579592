//! What a `forward_auth` table may say.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Asker, ForwardAuth};
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, Span, keys,
};
use crate::exchange::Middleware;
use crate::http::{HeaderName, RequestHead};
use crate::middleware::asking;
use crate::middleware::credentials::Tally;
use crate::middleware::enforce::{Policy, default_enforce};

/// Asks a service.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "forward_auth",
    summary: "Asks a service whether a request may pass",
    example: r#"
upstream = "backend"
path = "/verify"
host = "auth.example.com"
request_headers = ["Authorization", "Cookie", "X-Request-ID"]   # or ["*"], the default
response_headers = ["X-User", "X-Roles"]   # those further in see them
user_header = "X-User"            # the user in the log
timeout = "5s"
on_error = "deny"                 # or "allow": pass while the service cannot be asked
enforce = true
"#,
    keys: keys! {
        "upstream": "upstream", "who is asked";
        "path": "string", "what it is asked for, with GET";
        "host": "string" = "(the endpoint's)", "the host that is asked for";
        "request_headers": "list of header names" = r#"["*"]"#,
            "fields of the request that it sees; `*` is all but those about the connection";
        "response_headers": "list of header names" = "[]",
            "fields of its answer that upstreams see; what a client sends under them is taken away";
        "user_header": "header name" = "(none)", "the field of its answer that names the user";
        "timeout": "duration" = r#""5s""#, "how long its answer may take";
        "on_error": "word" = r#""deny""#,
            "`deny` answers 503 while it cannot be asked or answers 5xx, `allow` lets pass";
        "enforce": "true or false" = "true",
            "`false` lets everyone through, and counts and logs whom it would have refused";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    upstream: Spanned<String>,
    path: Spanned<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    request_headers: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    response_headers: Vec<HeaderName>,
    #[serde(default)]
    user_header: Option<HeaderName>,
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
    #[serde(default)]
    on_error: OnError,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

/// What becomes of requests that nobody can say of whether they may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnError {
    #[default]
    Deny,
    Allow,
}

/// Longer than any such service takes that works, and shorter than people wait.
const fn default_timeout() -> HumanDuration {
    HumanDuration::seconds(5)
}

/// Read and right.
#[derive(Debug)]
struct ForwardAuthSettings {
    upstream: Arc<str>,
    span: Span,
    question: RequestHead,
    sent: Option<Vec<HeaderName>>,
    told: Vec<HeaderName>,
    user: Option<HeaderName>,
    timeout: Duration,
    on_error: OnError,
    enforce: bool,
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let upstream = cx.upstream(section, &written.upstream);
    let host = written.host.as_deref();
    let question = asking::question(&written.path, host, "/verify", section, cx);
    let mut sent = Some(Vec::new());
    for field in written.request_headers.iter().flatten() {
        match (
            HeaderName::from_bytes(field.get_ref().as_bytes()),
            &mut sent,
        ) {
            _ if field.get_ref() == "*" => sent = None,
            (Some(name), Some(sent)) => sent.push(name),
            (Some(_), None) => {}
            (None, _) => {
                let message = format!("`{}` cannot be the name of a field", field.get_ref());
                let hint = "names have letters, digits and `-`; \"*\" is every field";
                cx.refuse(section, field.span(), message, hint);
            }
        }
    }
    // What is about the connection or the framing is never sent, also if it is named.
    if let Some(sent) = &mut sent {
        sent.retain(|name| !super::is_of_the_message(name.as_str().as_bytes()));
    }
    let good = cx.problems.len() == before;
    let settings = ForwardAuthSettings {
        upstream: upstream?,
        span: section.at(written.upstream.span()),
        question: question?,
        sent: sent.filter(|_| written.request_headers.is_some()),
        told: written.response_headers,
        user: written.user_header,
        timeout: written.timeout.0,
        on_error: written.on_error,
        enforce: written.enforce,
    };
    good.then(|| Box::new(settings) as Box<dyn Settings<Box<dyn Middleware>>>)
}

impl Settings<Box<dyn Middleware>> for ForwardAuthSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let fetcher = asking::fetcher(&self.upstream, &self.span, cx)?;
        let asker = ForwardAuth(Arc::new(Asker {
            fetcher,
            question: self.question.clone(),
            timeout: self.timeout,
            sent: self.sent.clone(),
            told: self.told.clone(),
            user: self.user.clone(),
            pass_on_error: self.on_error == OnError::Allow,
            tally: Tally::new(cx, "forward_auth"),
        }));
        Ok(Policy::new("forward_auth", self.enforce, cx).guard(asker))
    }
}
