//! What a `proxy` table may say.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Proxy;
use super::upstream::Upstream;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, Span, keys};
use crate::handlers::Handler;

/// A request passed on to an upstream.
pub(in crate::handlers) const KIND: Kind<Handler> = Kind {
    name: "proxy",
    summary: "Passes the request on to a server of an upstream",
    example: r#"
upstream = "backend"
strip_prefix = "/api"     # taken from the path
add_prefix = "/v1"        # put before what is left
host = "preserve"         # or "upstream": the address of the server
forwarded = "append"      # to what a trusted proxy wrote; or "replace", "off"
"#,
    keys: keys! {
        "upstream": "name", "which [upstream.NAME] is asked";
        "strip_prefix": "path" = "(nothing)", "taken from the path";
        "add_prefix": "path" = "(nothing)", "put before what is left of the path";
        "host": "word" = r#""preserve""#,
            "the `Host` that the upstream sees: the client's, or `upstream`, its own address";
        "forwarded": "word" = r#""append""#,
            "X-Forwarded-*: `append` to what a trusted proxy wrote, `replace` it, or `off`";
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
}

/// What the upstream is told in `Host`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HostPolicy {
    /// What the client asked for.
    #[default]
    Preserve,
    /// The address of the endpoint.
    Upstream,
}

/// What the upstream is told in `X-Forwarded-For`, `-Proto` and `-Host`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForwardedPolicy {
    /// The peer, behind what a trusted peer wrote; what any other wrote is dropped.
    #[default]
    Append,
    /// The peer, whatever it wrote.
    Replace,
    /// Nothing; what the client wrote is dropped too.
    Off,
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
}

/// Read and right.
#[derive(Debug)]
struct ProxySettings {
    upstream: Arc<str>,
    at: Span,
    rewriting: Rewriting,
}

fn parse(section: &Section<'_>, cx: &mut ParseContext<'_>) -> Option<Box<dyn Settings<Handler>>> {
    let written: Written = cx.settings(section)?;
    let upstream = cx.upstream(section, &written.upstream);
    let strip_prefix = prefix(section, cx, written.strip_prefix);
    let add_prefix = prefix(section, cx, written.add_prefix);
    Some(Box::new(ProxySettings {
        upstream: upstream?,
        at: section.at(written.upstream.span()),
        rewriting: Rewriting {
            strip_prefix: strip_prefix?,
            add_prefix: add_prefix?,
            host: written.host,
            forwarded: written.forwarded,
        },
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

impl Settings<Handler> for ProxySettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Handler, Box<Problem>> {
        let upstream = cx.provided::<Upstream>(&self.upstream).ok_or_else(|| {
            let message = format!("the upstream `{}` could not be built", self.upstream);
            Box::new(Problem::error("E0202", self.at.clone(), message))
        })?;
        Ok(Handler::Proxy(Box::new(Proxy {
            upstream,
            rewriting: self.rewriting.clone(),
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
