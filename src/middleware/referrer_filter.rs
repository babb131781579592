//! `referrer_filter`: which sites may lead here or show what is here, by the page that a request
//! says it comes from. Browsers tell the truth; who is none can say anything.

use serde::Deserialize;
use toml::Spanned;

use super::enforce::{Policy, default_enforce};
use super::hosts::Host;
use super::refusal;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware, Response, Why};
use crate::http::authority::split_port;
use crate::http::{StatusCode, name};

/// Refuses by `Referer`.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "referrer_filter",
    summary: "Keeps other sites from showing what is here, by the page a request comes from",
    example: r#"
allow = ["example.com", "*.example.org"]     # these sites, and no others
# deny = ["scraper.example"]                 # or: all sites but these
own = true                                   # the host that is asked may always
empty = "allow"                              # requests that do not tell; or "deny"
status = 403
enforce = true                               # false: only count and log
"#,
    keys: keys! {
        "allow": "list of hosts" = "[]",
            "sites that may; if any is listed, others may not";
        "deny": "list of hosts" = "[]", "sites that may not, also below one that may";
        "own": "true or false" = "true", "whether pages of the host that is asked may";
        "empty": "word" = r#""allow""#,
            "what becomes of requests that do not tell (a bookmark, a private window)";
        "status": "status" = "403", "what they are told: 400 to 599";
        "enforce": "true or false" = "true", "false: count and log only, and refuse nothing";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    #[serde(default = "default_own")]
    own: bool,
    #[serde(default)]
    empty: refusal::Empty,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

const fn default_own() -> bool {
    true
}

/// Refuses by `Referer`.
#[derive(Debug, Clone)]
struct ReferrerFilter {
    allow: Box<[Host]>,
    deny: Box<[Host]>,
    own: bool,
    empty: refusal::Empty,
    status: StatusCode,
}

#[derive(Debug)]
struct ReferrerFilterSettings {
    filter: ReferrerFilter,
    enforce: bool,
}

impl Middleware for ReferrerFilter {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if self.lets_in(x) {
            return Flow::Continue;
        }
        Flow::Respond(Response::error(self.status, Why::Refused))
    }
}

impl ReferrerFilter {
    fn lets_in(&self, x: &Exchange<'_>) -> bool {
        let referrer = x.request.headers.get(&name::REFERER).unwrap_or_default();
        if referrer.is_empty() {
            return self.empty == refusal::Empty::Allow;
        }
        // One that names no host is none of those that may.
        let host = host_of(referrer).unwrap_or_default();
        if self.deny.iter().any(|denied| denied.covers(host)) {
            return false;
        }
        let own = self.own && !host.is_empty() && x.request.host().eq_ignore_ascii_case(host);
        own || self.allow.is_empty() || self.allow.iter().any(|allowed| allowed.covers(host))
    }
}

/// The host of a URL, without user and port.
fn host_of(url: &[u8]) -> Option<&str> {
    let url = std::str::from_utf8(url).ok()?;
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let authority = authority.rsplit('@').next()?;
    Some(split_port(authority).0)
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = refusal::status(written.status.as_ref(), StatusCode::FORBIDDEN, section, cx);
    let mut hosts = |list: &[Spanned<String>]| -> Box<[Host]> {
        let read = list.iter().filter_map(|host| Host::read(host, section, cx));
        read.collect()
    };
    let (allow, deny) = (hosts(&written.allow), hosts(&written.deny));
    (cx.problems.len() == before).then(|| {
        Box::new(ReferrerFilterSettings {
            filter: ReferrerFilter {
                allow,
                deny,
                own: written.own,
                empty: written.empty,
                status,
            },
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for ReferrerFilterSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Policy::new(KIND.name, self.enforce, cx).guard(self.filter.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::middleware::tests::{build, problems};

    #[track_caller]
    fn check(settings: &str, referrers: &[(&str, bool)]) {
        let filter = build(&KIND, settings);
        for (referrer, expected) in referrers {
            let mut request = TestRequest::get("/").header("Host", "own.com:8080");
            if !referrer.is_empty() {
                request = request.header("Referer", referrer);
            }
            let flow = filter.on_request(&mut request.exchange());
            assert_eq!(matches!(flow, Flow::Continue), *expected, "{referrer}");
        }
    }

    #[test]
    fn sites_that_may() {
        check(
            "",
            &[("", true), ("https://any.com/", true), ("junk", true)],
        );
        check(
            "allow = ['a.com', '*.b.com']",
            &[
                ("https://a.com/page?x", true),
                ("http://A.com:81", true),
                ("https://x.y.b.com/", true),
                ("https://own.com/", true),
                ("", true),
                ("https://b.com/", false),
                ("https://evil.com/https://a.com/", false),
                ("https://a.com@evil.com/", false),
                ("https://evil.com\\.b.com/", false),
                ("https://evil.com?.b.com", false),
                ("a.com", false),
            ],
        );
        check(
            "deny = ['a.com', 'own.com']\nempty = 'deny'",
            &[
                ("https://a.com/", false),
                ("https://b.com/", true),
                ("", false),
                ("https://own.com/", false),
            ],
        );
        check(
            "allow = ['a.com']\nown = false",
            &[("https://own.com/", false)],
        );
        check(
            "allow = ['a.com']\nenforce = false",
            &[("https://b.com/", true)],
        );
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("allow = ['https://a.com']", "`https://a.com` is not a host");
        check("deny = ['*']", "`*` is not a host");
        check("empty = ''", "`empty`");
        check("status = 304", "304 is not the status of a refusal");
    }
}
