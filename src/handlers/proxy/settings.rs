//! What a `proxy` table may say.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::Proxy;
use super::announce::Announce;
use super::edits::{self, Edits};
use super::forwarded::{ForwardedPolicy, StandardPolicy};
use super::host::HostPolicy;
use super::keys::{EXAMPLE, KEYS};
use super::mirror::{self, Mirror, MirrorSettings};
use super::moved::{Domain, Places, domain};
use super::retry::{self, Retry};
use super::split::{Lane, Split, Sticky, WrittenLane, WrittenSticky, read_lanes};
use super::spool::{self, Buffering};
use super::tally::Tally;
use super::upstream::Upstream;
use crate::build::{
    BuildContext, HumanDuration, Kind, ParseContext, Problem, Section, Settings, Span,
};
use crate::handlers::Handler;

/// A request passed on to an upstream.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "proxy",
    summary: "Passes the request on to a server of an upstream",
    example: EXAMPLE,
    keys: KEYS,
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    upstream: Option<Spanned<String>>,
    #[serde(default)]
    split: Option<Spanned<Vec<WrittenLane>>>,
    #[serde(default)]
    sticky: Option<Spanned<WrittenSticky>>,
    #[serde(default)]
    mirror: Option<mirror::Written>,
    #[serde(default)]
    buffer_request: Option<spool::Written>,
    #[serde(default)]
    proxy_protocol: Option<Announce>,
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
    /// The upstreams and their weights.
    lanes: Vec<(Arc<str>, u32)>,
    at: Span,
    sticky: Option<Sticky>,
    mirror: Option<MirrorSettings>,
    buffering: Option<Buffering>,
    announce: Option<Announce>,
    rewriting: Rewriting,
    retry: Retry,
    hedge: Option<Duration>,
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    let (lanes, at) = lanes(
        section,
        cx,
        written.upstream.as_ref(),
        written.split.as_ref(),
    );
    let sticky = written.sticky.and_then(|sticky| {
        if written.split.is_none() {
            let at = section.at(sticky.span());
            let problem = Problem::error("E0002", at, "there is nothing to stick to");
            cx.problems.push(problem.hint("`sticky` goes with `split`"));
        }
        let at = sticky.span();
        sticky.into_inner().read(at, section, cx)
    });
    let mirror = written.mirror.and_then(|mirror| mirror.read(section, cx));
    let buffering = written.buffer_request.map(|own| own.read(section, cx));
    let strip_prefix = prefix(section, cx, written.strip_prefix);
    let add_prefix = prefix(section, cx, written.add_prefix);
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
        lanes,
        at,
        sticky,
        mirror,
        buffering,
        announce: written.proxy_protocol,
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

/// The upstreams: one, or several with their shares.
fn lanes(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
    upstream: Option<&Spanned<String>>,
    split: Option<&Spanned<Vec<WrittenLane>>>,
) -> (Vec<(Arc<str>, u32)>, Span) {
    match (upstream, split) {
        (Some(upstream), None) => {
            let name = cx.upstream(section, upstream);
            let lanes = name.map(|name| (name, 1)).into_iter().collect();
            (lanes, section.at(upstream.span()))
        }
        (None, Some(split)) => (read_lanes(split, section, cx), section.at(split.span())),
        (None, None) => {
            let at = section.span();
            let problem = Problem::error("E0004", at.clone(), "this table needs `upstream`");
            cx.problems
                .push(problem.hint("upstream = \"NAME\", or `split` between several"));
            (Vec::new(), at)
        }
        (Some(_), Some(split)) => {
            let at = section.at(split.span());
            let message = "`upstream` and `split` both say where requests go";
            let problem = Problem::error("E0002", at.clone(), message);
            cx.problems
                .push(problem.hint("list the upstream in `split` too"));
            (Vec::new(), at)
        }
    }
}

impl Settings<Handler> for ProxySettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let upstream = |cx: &BuildContext<'_>, name: &str| {
            cx.provided::<Upstream>(name).ok_or_else(|| {
                let message = format!("the upstream `{name}` could not be built");
                Box::new(Problem::error("E0202", self.at.clone(), message))
            })
        };
        let metrics = Arc::clone(&cx.carry_over.metrics);
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for (name, weight) in &self.lanes {
            let tally = Tally::new(&metrics, name);
            lanes.push(Lane::new(upstream(cx, name)?, tally, *weight));
        }
        let mirror = match &self.mirror {
            None => None,
            Some(own) => {
                let upstream = upstream(cx, &own.upstream)?;
                Some(Mirror::new(upstream, own.clone(), &metrics))
            }
        };
        Ok(Handler::Proxy(Box::new(Proxy {
            split: Split::new(lanes, self.sticky.clone()),
            rewriting: self.rewriting.clone(),
            retry: self.retry.clone(),
            hedge: self.hedge,
            mirror,
            buffering: self.buffering.clone(),
            announce: self.announce,
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
