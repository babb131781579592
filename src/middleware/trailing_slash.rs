//! `trailing_slash`: every path has one spelling, with a slash at its end or without.

use serde::Deserialize;
use toml::Spanned;

use super::location;
use super::paths::Paths;
use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Exchange, Flow, Middleware};
use crate::http::StatusCode;

/// Sends to the one spelling of a path.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "trailing_slash",
    summary: "Sends to the one spelling of a path: with a slash at its end, or without",
    example: r#"
policy = "add"            # or "remove"; names with a dot, "/a.css", never get one
status = 308              # 301, 302, 307 or 308
except = ["/api/*"]       # paths that stay as they are
"#,
    keys: keys! {
        "policy": "word" = r#""remove""#,
            "`remove` takes the slash away, `add` puts one behind names without a dot";
        "status": "status" = "308", "301 and 308 are for good, 302 and 307 for now";
        "except": "list of paths" = "[]", "paths that stay as they are";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default)]
    except: Vec<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    #[default]
    Remove,
    Add,
}

/// Sends to the one spelling of a path.
#[derive(Debug, Clone)]
struct TrailingSlash {
    policy: Policy,
    status: StatusCode,
    except: Paths,
}

impl Middleware for TrailingSlash {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let target = &x.request.target;
        // Of a path so long as a slash only, and of none, there is one spelling.
        let has_slash = target.path().len() > 1 && target.path().ends_with(b"/");
        let is_right = match self.policy {
            Policy::Remove => !has_slash,
            Policy::Add => target.path().ends_with(b"/") || is_file(target.path()),
        };
        if is_right || self.except.contain(target.path()) {
            return Flow::Continue;
        }
        // Normalised, so that it cannot begin with two slashes, which browsers take for a host.
        let path = target.upstream_path();
        let path = match self.policy {
            Policy::Remove => path.trim_end_matches('/').to_owned(),
            Policy::Add => [&*path, "/"].concat(),
        };
        Flow::Respond(location::spelled(x, self.status, &path))
    }
}

/// Whether the last segment has a dot, or there is none at all (`OPTIONS *`).
fn is_file(path: &[u8]) -> bool {
    let last = path.rsplit(|&byte| byte == b'/').next();
    path.is_empty() || last.is_some_and(|segment| segment.contains(&b'.'))
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = location::status(written.status.as_ref(), section, cx);
    let except = Paths::read(&written.except, section, cx);
    (cx.problems.len() == before).then(|| {
        Box::new(TrailingSlash {
            policy: written.policy,
            status,
            except,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for TrailingSlash {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::middleware::tests::{problems, redirect};

    /// Where a path is sent; nothing if it is right.
    #[track_caller]
    fn check(settings: &str, target: &str, expected: &str) {
        let mut request = TestRequest::get(target);
        let sent = redirect(&KIND, settings, &mut request);
        let expected = (!expected.is_empty()).then(|| (308, expected.to_owned()));
        assert_eq!(sent, expected, "{target}");
    }

    #[test]
    fn slashes_are_removed() {
        check("", "/a/?b=c/", "/a?b=c/");
        check("", "/a%20/b//", "/a%20/b");
        check("", "//evil.example//", "/evil.example");
        check("", "/a/./", "/a");
        for right in ["/", "/a", "/a.b", "/?x/"] {
            check("", right, "");
        }
        check("except = ['/a/*']", "/a/b/", "");
    }

    #[test]
    fn slashes_are_added() {
        let add = "policy = 'add'";
        check(add, "/a?b", "/a/?b");
        check(add, "//a//b", "/a/b/");
        check(add, "/a/../b", "/b/");
        for right in ["/", "/a/", "/a.css", "/.well-known/x.y"] {
            check(add, right, "");
        }
        check(add, "http://a", "");
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let found = problems(&KIND, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        };
        check("policy = 'keep'", "`policy`");
        check("status = 200", "200 is not the status");
        check("except = ['*']", "`*` is not a path");
    }
}
