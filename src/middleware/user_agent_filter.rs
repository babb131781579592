//! `user_agent_filter`: who may come, by what it says it is. A client can say what it likes: this
//! keeps out who is honest or careless, which most are.

use serde::Deserialize;
use toml::Spanned;

use super::enforce::{Policy, default_enforce};
use super::refusal;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Regex, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware, Response, Why};
use crate::http::{StatusCode, name};

/// Refuses by `User-Agent`.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "user_agent_filter",
    summary: "Keeps clients out by what they say they are",
    example: r#"
deny = ["sqlmap", "nikto", "^python-requests/"]   # expressions, in any case of letters
allow = ["^Mozilla/.*Googlebot"]                  # exceptions; without `deny` only these come
empty = "deny"                                    # those who say nothing; or "allow"
status = 403
enforce = true                                    # false: only count and log
"#,
    keys: keys! {
        "deny": "list of expressions" = "[]", "who may not come; letters match in any case";
        "allow": "list of expressions" = "[]",
            "who may come all the same; without `deny`, and only then, nobody else may";
        "empty": "word" = r#""allow""#, "what becomes of those who say nothing: `allow`, `deny`";
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
    deny: Vec<Spanned<Regex>>,
    #[serde(default)]
    allow: Vec<Spanned<Regex>>,
    #[serde(default)]
    empty: refusal::Empty,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

/// Refuses by `User-Agent`.
#[derive(Debug, Clone)]
struct UserAgentFilter {
    /// All expressions in one, so that they are looked for in one pass.
    deny: Option<Regex>,
    allow: Option<Regex>,
    empty: refusal::Empty,
    status: StatusCode,
}

#[derive(Debug)]
struct UserAgentFilterSettings {
    filter: UserAgentFilter,
    enforce: bool,
}

impl Middleware for UserAgentFilter {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let agent = x.request.headers.get(&name::USER_AGENT).unwrap_or_default();
        if self.lets_in(agent) {
            return Flow::Continue;
        }
        Flow::Respond(Response::error(self.status, Why::Refused))
    }
}

impl UserAgentFilter {
    fn lets_in(&self, agent: &[u8]) -> bool {
        if agent.is_empty() {
            return self.empty == refusal::Empty::Allow;
        }
        let one_of = |list: &Option<Regex>| list.as_ref().is_some_and(|list| list.is_match(agent));
        one_of(&self.allow)
            || match &self.deny {
                Some(_) => !one_of(&self.deny),
                None => self.allow.is_none(),
            }
    }
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = refusal::status(written.status.as_ref(), StatusCode::FORBIDDEN, section, cx);
    let deny = any_of(&written.deny, section, cx);
    let allow = any_of(&written.allow, section, cx);
    (cx.problems.len() == before).then(|| {
        Box::new(UserAgentFilterSettings {
            filter: UserAgentFilter {
                deny,
                allow,
                empty: written.empty,
                status,
            },
            enforce: written.enforce,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

/// One expression that matches where any of these does.
fn any_of(
    written: &[Spanned<Regex>],
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Regex> {
    let last = written.last()?;
    let each = written.iter().map(|one| format!("(?:{})", one.get_ref()));
    let all = format!("(?i){}", each.collect::<Vec<_>>().join("|"));
    let parsed = all.parse().ok();
    if parsed.is_none() {
        let message = "these expressions are too large together";
        let hint = "split them into two filters";
        cx.refuse(section, last.span(), message, hint);
    }
    parsed
}

impl Settings<Box<dyn Middleware>> for UserAgentFilterSettings {
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
    fn check(settings: &str, agents: &[(&str, bool)]) {
        let filter = build(&KIND, settings);
        for (agent, expected) in agents {
            let mut request = TestRequest::get("/");
            if !agent.is_empty() {
                request = request.header("User-Agent", agent);
            }
            let flow = filter.on_request(&mut request.exchange());
            assert_eq!(matches!(flow, Flow::Continue), *expected, "{agent}");
        }
    }

    #[test]
    fn denied_allowed_and_silent() {
        check("", &[("x", true), ("", true)]);
        check("empty = 'deny'", &[("x", true), ("", false)]);
        check(
            "deny = ['sqlmap', '^curl/']",
            &[("SQLMap/1.0", false), ("curl/8", false), ("x curl/8", true)],
        );
        check("allow = ['^App/']", &[("app/1", true), ("curl/8", false)]);
        check(
            "deny = ['bot']\nallow = ['goodbot', 'b|c']",
            &[
                ("Goodbot", true),
                ("badbot", true),
                ("otto", true),
                ("xot", true),
            ],
        );
        check(
            "deny = ['bot']\nallow = ['good']",
            &[("goodbot", true), ("robot", false)],
        );
        check("deny = ['x']\nenforce = false", &[("x", true)]);
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("deny = ['(']", "is not a regular expression");
        check("empty = 'maybe'", "`empty`");
        check("status = 302", "302 is not the status of a refusal");
        check(
            "deny = ['[a-z]{1,1000}[0-9]{1,900}', '[a-z]{1,1000}[0-9]{1,900}', \
             '\\w{100}\\w{100}']",
            "",
        );
    }
}
