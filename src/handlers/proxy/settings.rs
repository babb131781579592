//! What a `proxy` table may say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use super::Proxy;
use super::edits::{self, Edits};
use super::forwarded::{ForwardedPolicy, StandardPolicy};
use super::moved::{Domain, Places};
use super::retry::{self, Retry};
use super::tally::Tally;
use super::upstream::Upstream;
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, Span, keys,
};
use crate::handlers::Handler;
use crate::http::authority::is_host;

/// A request passed on to an upstream.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "proxy",
    summary: "Passes the request on to a server of an upstream",
    example: r#"
upstream = "backend"
strip_prefix = "/api"     # taken from the path
add_prefix = "/v1"        # put before what is left
host = "preserve"         # or "upstream": the address of the server; or { fixed = "app" }
forwarded = "append"      # X-Forwarded-*, to what a trusted proxy wrote; or "replace", "off"
rfc7239 = "extend"        # Forwarded, if a trusted proxy wrote one; or "append", "replace", "off"
locations = "rewrite"     # Location in the client's terms; or "keep"
cookie_paths = "rewrite"  # the same for the Path of Set-Cookie
cookie_domain = "keep"    # or "remove", or a name
hedge_after = "50ms"      # a second try beside a slow one; where twice is as good as once
request_headers = { set = { X-Real-IP = "{client.ip}" }, remove = ["X-Debug"] }
response_headers = { add = { X-Served-By = "{route.name}" }, remove = ["X-Powered-By"] }
[retry]
tries = 3                                     # the first included
on = ["connect", "reset", "timeout", 503]     # and "bad_head"
per_try_timeout = "5s"                        # to the head of the answer
backoff = "25ms"                              # doubled each time, less a part by chance
backoff_max = "1s"
budget = "20%"                                # of the upstream's requests
body = "64KiB"                                # kept of a body, to be sent again
"#,
    keys: keys! {
        "upstream": "name", "which [upstream.NAME] is asked";
        "strip_prefix": "path" = "(nothing)", "taken from the path";
        "add_prefix": "path" = "(nothing)", "put before what is left of the path";
        "host": "word or table" = r#""preserve""#,
            "the `Host` that the upstream sees: the client's, `upstream`, its own address, or \
             `{ fixed = \"app\" }`";
        "forwarded": "word" = r#""append""#,
            "X-Forwarded-*: `append` to what a trusted proxy wrote, `replace` it, or `off`";
        "rfc7239": "word" = "(as `forwarded`)",
            "Forwarded: `extend` what a trusted proxy wrote, or `append`, `replace`, `off`";
        "retry": "table" = "(connect elsewhere)", "when a request is tried again";
        "retry.tries": "number" = "3", "how often a request is tried at most, the first included";
        "retry.on": "list of words and statuses" = r#"["connect", "reset"]"#,
            "what is tried again if that is safe: `connect`, `reset`, `timeout`, `bad_head`; and \
             statuses, for which it is taken to be";
        "retry.per_try_timeout": "duration" = "(none)",
            "how long one try may take to the head of its answer";
        "retry.backoff": "duration" = r#""25ms""#,
            "the pause before the second try; doubled for each, and shortened by chance";
        "retry.backoff_max": "duration" = r#""1s""#, "no pause is longer";
        "retry.budget": "percentage" = r#""20%""#,
            "which share of the upstream's requests retries may be, beside one a second";
        "retry.body": "size" = r#""0""#, "how much of a body is kept to be sent again";
        "hedge_after": "duration" = "(never)",
            "when a second try is begun beside one not yet answered, if its method is idempotent \
             and it has no body";
        "locations": "word" = r#""rewrite""#,
            "Location and Content-Location: `rewrite` in the client's terms, or `keep`";
        "cookie_paths": "word" = r#""rewrite""#, "the Path of Set-Cookie, likewise";
        "cookie_domain": "word or name" = r#""keep""#,
            "the Domain of Set-Cookie: `keep`, `remove`, or what to say instead";
        "request_headers": "table" = "{}", "fields that the route edits on the way out";
        "request_headers.set": "table of templates" = "{}",
            "in place of the client's; a value that comes out empty sends none";
        "request_headers.add": "table of templates" = "{}", "beside the client's";
        "request_headers.remove": "list of names" = "[]", "fields of the client that end here";
        "response_headers": "table" = "{}", "fields that the route edits on the way back";
        "response_headers.set": "table of templates" = "{}", "in place of the upstream's";
        "response_headers.add": "table of templates" = "{}", "beside the upstream's";
        "response_headers.remove": "list of names" = "[]", "fields of the upstream that end here";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    upstream: Spanned<String>,
    #[serde(default)]
    strip_prefix: Option<Spanned<String>>,
    #[serde(default)]
    add_prefix: Option<Spanned<String>>,
    #[serde(default)]
    host: HostPolicy,
    #[serde(default)]
    forwarded: ForwardedPolicy,
    #[serde(default)]
    rfc7239: Option<StandardPolicy>,
    #[serde(default)]
    retry: Option<retry::Written>,
    #[serde(default)]
    hedge_after: Option<Spanned<HumanDuration>>,
    #[serde(default)]
    locations: Places,
    #[serde(default)]
    cookie_paths: Places,
    #[serde(default)]
    cookie_domain: Option<Spanned<String>>,
    #[serde(default)]
    request_headers: edits::Written,
    #[serde(default)]
    response_headers: edits::Written,
}

/// What the upstream is told in `Host`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum HostPolicy {
    /// What the client asked for.
    #[default]
    Preserve,
    /// The address of the endpoint.
    Upstream,
    /// This.
    Fixed(Box<str>),
}

/// How a request is changed on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewriting {
    /// Taken from the start of the path. Starts with `/` and does not end with one, or is empty.
    pub(super) strip_prefix: Box<str>,
    /// Put before what is left. Of the same form.
    pub(super) add_prefix: Box<str>,
    pub(super) host: HostPolicy,
    pub(super) forwarded: ForwardedPolicy,
    /// `Forwarded`.
    pub(super) standard: StandardPolicy,
    pub(super) request_fields: Edits,
    pub(super) answers: Answers,
}

/// How an answer is changed on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) locations: Places,
    pub(super) cookie_paths: Places,
    pub(super) cookie_domain: Domain,
    pub(super) fields: Edits,
}

/// Read and right.
#[derive(Debug)]
struct ProxySettings {
    upstream: Arc<str>,
    at: Span,
    rewriting: Rewriting,
    retry: Retry,
    hedge: Option<Duration>,
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let upstream = cx.upstream(section, &written.upstream);
    let strip_prefix = prefix(section, cx, written.strip_prefix);
    let add_prefix = prefix(section, cx, written.add_prefix);
    let before = cx.problems.len();
    let standard = written.rfc7239.unwrap_or(match written.forwarded {
        ForwardedPolicy::Append => StandardPolicy::Extend,
        ForwardedPolicy::Replace | ForwardedPolicy::Off => StandardPolicy::Off,
    });
    let request_fields = written.request_headers.read(section, cx);
    let answers = Answers {
        locations: written.locations,
        cookie_paths: written.cookie_paths,
        cookie_domain: domain(section, cx, written.cookie_domain),
        fields: written.response_headers.read(section, cx),
    };
    let retry = written.retry.map(|retry| retry.read(section, cx));
    let hedge = hedge(section, cx, written.hedge_after);
    if cx.problems.len() > before {
        return None;
    }
    Some(Box::new(ProxySettings {
        upstream: upstream?,
        at: section.at(written.upstream.span()),
        rewriting: Rewriting {
            strip_prefix: strip_prefix?,
            add_prefix: add_prefix?,
            host: written.host,
            forwarded: written.forwarded,
            standard,
            request_fields,
            answers,
        },
        retry: retry.unwrap_or_default(),
        hedge,
    }))
}

/// A prefix without the slash at its end, so that it ends where a segment does.
fn prefix(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
    value: Option<Spanned<String>>,
) -> Option<Box<str>> {
    let Some(value) = value else {
        return Some(Box::default());
    };
    let text = value.get_ref();
    // What may stand in a path as it is sent (RFC 3986 §3.3).
    let is_path = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/".contains(&byte));
    if text.starts_with('/') && is_path {
        return Some(text.trim_end_matches('/').into());
    }
    let message = format!("{text:?} is not a path that starts with \"/\"");
    let problem = Problem::error("E0002", section.at(value.span()), message)
        .hint("write it like \"/api\", percent-encoded where a path must be");
    cx.problems.push(problem);
    None
}

/// How long the first try may be alone.
fn hedge(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
    value: Option<Spanned<HumanDuration>>,
) -> Option<Duration> {
    let value = value?;
    let after = value.get_ref().0;
    if after.is_zero() {
        let message = "every request would be sent twice";
        let problem = Problem::error("E0002", section.at(value.span()), message);
        cx.problems
            .push(problem.hint("take what nine of ten answers need: \"50ms\""));
    }
    Some(after)
}

/// What becomes of the domain of cookies.
fn domain(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
    value: Option<Spanned<String>>,
) -> Domain {
    let Some(value) = value else {
        return Domain::default();
    };
    match value.get_ref().as_str() {
        "keep" => Domain::Keep,
        "remove" => Domain::Remove,
        name if is_domain(name) => Domain::Name(name.into()),
        other => {
            let message = format!("{other:?} is not a domain");
            let problem = Problem::error("E0002", section.at(value.span()), message);
            cx.problems
                .push(problem.hint("\"keep\", \"remove\", or a name like \"example.com\""));
            Domain::default()
        }
    }
}

/// A dot at least, so that a misspelt `remove` is none.
fn is_domain(name: &str) -> bool {
    name.contains('.') && is_host(name.as_bytes()) && !name.contains([':', '[', ';', ','])
}

impl<'de> Deserialize<'de> for HostPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            fixed: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = HostPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"preserve\", \"upstream\" or { fixed = \"…\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HostPolicy, E> {
                match text {
                    "preserve" => Ok(HostPolicy::Preserve),
                    "upstream" => Ok(HostPolicy::Upstream),
                    other => Err(E::unknown_variant(other, &["preserve", "upstream"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HostPolicy, A::Error> {
                let Table { fixed } = Table::deserialize(MapAccessDeserializer::new(map))?;
                if fixed.is_empty() || !is_host(fixed.as_bytes()) {
                    return Err(A::Error::custom(format!(
                        "{fixed:?} is not a host\nwrite it like \"app.example.com\" or \"app:8080\""
                    )));
                }
                Ok(HostPolicy::Fixed(fixed.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Settings<Handler> for ProxySettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let upstream = cx.provided::<Upstream>(&self.upstream).ok_or_else(|| {
            let message = format!("the upstream `{}` could not be built", self.upstream);
            Box::new(Problem::error("E0202", self.at.clone(), message))
        })?;
        Ok(Handler::Proxy(Box::new(Proxy {
            upstream,
            rewriting: self.rewriting.clone(),
            retry: self.retry.clone(),
            hedge: self.hedge,
            tally: Tally::new(&cx.carry_over.metrics, &self.upstream),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let section = Section::from_text(text).unwrap();
        let names = [Arc::from("backend")];
        let mut cx = ParseContext {
            upstreams: &names,
            ..ParseContext::default()
        };
        let settings = parse(&section, &mut cx);
        let found: Vec<&str> = cx.problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(settings.is_none(), !expected.is_empty(), "{text}");
    }

    #[test]
    fn settings_are_read_and_every_mistake_is_told() {
        check(KIND.example, &[]);
        check("upstream = \"backend\"", &[]);
        check(
            "upstream = \"bakcend\"\nstrip_prefix = \"api\"\nadd_prefix = \"/a b\"",
            &[
                "there is no upstream `bakcend`",
                "\"api\" is not a path that starts with \"/\"",
                "\"/a b\" is not a path that starts with \"/\"",
            ],
        );
        check(
            "upstream = \"backend\"\nhost = \"x\"",
            &["`host` cannot be \"x\""],
        );
    }

    #[test]
    fn an_upstream_that_was_not_built_is_a_problem() {
        let section = Section::from_text("upstream = \"backend\"").unwrap();
        let names = [Arc::from("backend")];
        let mut cx = ParseContext {
            upstreams: &names,
            ..ParseContext::default()
        };
        let settings = parse(&section, &mut cx).unwrap();
        let mut kept = crate::build::CarryOver::default();
        let mut cx = BuildContext::new(&mut kept, "/".into());
        assert_eq!(settings.build(&mut cx).unwrap_err().code, "E0202");
    }
}
