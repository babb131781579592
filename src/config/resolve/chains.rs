//! Chains that are in the wrong order, or have two that fight: nothing that cannot run, but
//! nothing that was meant.

use std::collections::HashSet;

use super::Resolver;
use super::instances::Links;
use crate::build::{Problem, Span};
use crate::config::model::Route;

/// Who asks the client who it is.
const AUTHENTICATION: &[&str] = &["api_key", "basic_auth", "forward_auth", "jwt"];

/// Who counts requests.
const LIMITS: &[&str] = &["concurrency_limit", "rate_limit"];

/// Who keeps some clients out.
const FILTERS: &[&str] = &[
    "ip_filter",
    "maintenance",
    "referrer_filter",
    "user_agent_filter",
];

/// Who may stand outside of the access log: they answer nothing, and the log wants what they
/// find out.
const OUTSIDE_OF_LOG: &[&str] = &["access_log", "log_fields", "request_id", "trace_context"];

/// Of these a second one has nothing left to do, or undoes what the first has done; and why.
const ONE_OF_A_KIND: &[(&str, &str)] = &[
    (
        "cache",
        "the inner one is asked only for what the outer one does not have",
    ),
    (
        "compression",
        "the outer one finds everything compressed already",
    ),
    (
        "cors",
        "the outer one answers preflights and has the last word on every header",
    ),
    ("redirect_host", "they may send clients to and fro"),
    ("trailing_slash", "they may send clients to and fro"),
];

/// A middleware of a chain: its kind, and what the file calls it.
type Link<'l> = (&'static str, &'l str);

/// What is wrong, the way out, and the code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    code: &'static str,
    message: String,
    hint: String,
}

impl Resolver<'_, '_> {
    /// Warns of chains that are hardly meant, once for each.
    pub(super) fn chains(
        &mut self,
        (outer, outer_span): (&[usize], &Span),
        routes: &[Route],
        links: &Links,
    ) {
        let link = |index: &usize| -> Option<Link<'_>> {
            let instance = links.instances.get(*index)?;
            Some((instance.kind.name, &*instance.name))
        };
        let of_server: Vec<_> = outer.iter().filter_map(link).collect();
        let mut told: HashSet<String> = HashSet::new();
        let mut found: Vec<(Span, Finding)> = wrong(&of_server)
            .into_iter()
            .map(|finding| (outer_span.clone(), finding))
            .collect();
        told.extend(found.iter().map(|(_, finding)| finding.message.clone()));
        for route in routes {
            let chain: Vec<_> = outer
                .iter()
                .chain(&route.middleware)
                .filter_map(link)
                .collect();
            let at = route.places.of("middleware").unwrap_or(&route.place.0);
            let mut findings = wrong(&chain);
            findings.extend(slashes(route, links));
            for finding in findings {
                if told.insert(finding.message.clone()) {
                    found.push((at.clone(), finding));
                }
            }
        }
        for (at, finding) in found {
            let problem = Problem::warning(finding.code, at, finding.message);
            self.report(problem.hint(finding.hint));
        }
    }
}

/// What is wrong with a chain, outermost first.
fn wrong(chain: &[Link<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    log_outermost(chain, &mut found);
    let guards = [AUTHENTICATION, LIMITS, FILTERS].concat();
    before(chain, &["cache"], &guards, &mut found, |cache, guard| {
        (
            format!("`{cache}` answers before `{guard}` is asked"),
            format!("put `{guard}` before `{cache}`: what is kept goes to everyone who may"),
        )
    });
    before(
        chain,
        &["compression"],
        &["cache"],
        &mut found,
        |compression, cache| {
            (
                format!("`{compression}` compresses each hit of `{cache}` anew"),
                format!(
                    "put `{cache}` before `{compression}`, so that it keeps what is compressed"
                ),
            )
        },
    );
    before(
        chain,
        AUTHENTICATION,
        &["cors"],
        &mut found,
        |guard, cors| {
            (
                format!("`{guard}` refuses the preflights that `{cors}` would answer"),
                format!("put `{cors}` before `{guard}`: a preflight never carries credentials"),
            )
        },
    );
    before(
        chain,
        AUTHENTICATION,
        &["redirect_https"],
        &mut found,
        |guard, https| {
            (
                format!("`{guard}` asks for credentials before `{https}` leads to https"),
                format!("put `{https}` before `{guard}`, or they cross the network in the clear"),
            )
        },
    );
    for (kind, why) in ONE_OF_A_KIND {
        let mut same = chain.iter().filter(|(own, _)| own == kind);
        if let (Some((_, first)), Some((_, second))) = (same.next(), same.next()) {
            found.push(Finding {
                code: "W0111",
                message: format!("`{first}` and `{second}` are two of the type \"{kind}\""),
                hint: format!("keep one: {why}"),
            });
        }
    }
    found
}

/// What an answer of those outside of the log is, the log never hears.
fn log_outermost(chain: &[Link<'_>], found: &mut Vec<Finding>) {
    let Some(at) = chain.iter().position(|(kind, _)| *kind == "access_log") else {
        return;
    };
    let (outside, inside) = chain.split_at(at);
    let log = inside.first().map_or("", |(_, name)| name);
    let first = outside
        .iter()
        .find(|(kind, _)| !OUTSIDE_OF_LOG.contains(kind));
    if let Some((_, name)) = first {
        found.push(Finding {
            code: "W0110",
            message: format!("`{log}` does not log what `{name}` answers"),
            hint: format!("put `{log}` before `{name}`, in [server] for every route"),
        });
    }
}

/// Finds the first of `outer` that stands before one of `inner`.
fn before(
    chain: &[Link<'_>],
    outer: &[&str],
    inner: &[&str],
    found: &mut Vec<Finding>,
    words: impl Fn(&str, &str) -> (String, String),
) {
    let Some(at) = chain.iter().position(|(kind, _)| outer.contains(kind)) else {
        return;
    };
    let (_, first) = chain.get(at).copied().unwrap_or_default();
    let behind = chain.iter().skip(at).find(|(kind, _)| inner.contains(kind));
    if let Some((_, second)) = behind {
        let (message, hint) = words(first, second);
        found.push(Finding {
            code: "W0110",
            message,
            hint,
        });
    }
}

/// `static` gives folders a slash; who takes it away again sends clients round in a circle.
fn slashes(route: &Route, links: &Links) -> Option<Finding> {
    let mut instances = route
        .middleware
        .iter()
        .filter_map(|index| links.instances.get(*index));
    let slash = instances.find(|instance| instance.kind.name == "trailing_slash")?;
    let policy = slash
        .written
        .get("policy")
        .and_then(|policy| policy.as_str());
    let removes = policy.is_none_or(|policy| policy == "remove");
    (removes && route.handler.kind.name == "static").then(|| Finding {
        code: "W0111",
        message: format!(
            "`{}` takes away the slash that `static` gives every folder",
            slash.name
        ),
        hint: "write policy = \"add\", or leave it out here: folders would never be reached"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::REGISTRY;

    #[track_caller]
    fn check(chain: &[&'static str], expected: &[&str]) {
        let chain: Vec<Link<'_>> = chain.iter().map(|kind| (*kind, *kind)).collect();
        for (kind, _) in &chain {
            expect_kind(kind);
        }
        let found: Vec<String> = wrong(&chain).into_iter().map(|one| one.message).collect();
        assert_eq!(found, expected, "{chain:?}");
    }

    #[track_caller]
    fn expect_kind(name: &str) {
        let known = REGISTRY.iter().any(|kind| kind.name == name);
        assert!(known, "no middleware is of the type \"{name}\"");
    }

    #[test]
    fn what_is_named_are_kinds_of_middleware() {
        let groups = [AUTHENTICATION, LIMITS, FILTERS, OUTSIDE_OF_LOG].concat();
        let single = ONE_OF_A_KIND.iter().map(|(kind, _)| *kind);
        for kind in groups.into_iter().chain(single) {
            expect_kind(kind);
        }
    }

    #[test]
    fn good_chains() {
        check(&[], &[]);
        check(
            &[
                "request_id",
                "trace_context",
                "log_fields",
                "access_log",
                "error_pages",
                "redirect_https",
                "cors",
                "ip_filter",
                "rate_limit",
                "jwt",
                "cache",
                "compression",
                "headers",
            ],
            &[],
        );
    }

    #[test]
    fn the_log_is_outermost() {
        check(
            &["request_id", "rate_limit", "access_log"],
            &["`access_log` does not log what `rate_limit` answers"],
        );
    }

    #[test]
    fn what_a_cache_must_not_stand_before_or_behind() {
        check(
            &["cache", "jwt"],
            &["`cache` answers before `jwt` is asked"],
        );
        check(
            &["cache", "rate_limit"],
            &["`cache` answers before `rate_limit` is asked"],
        );
        check(
            &["compression", "cache"],
            &["`compression` compresses each hit of `cache` anew"],
        );
    }

    #[test]
    fn credentials() {
        check(
            &["basic_auth", "cors"],
            &["`basic_auth` refuses the preflights that `cors` would answer"],
        );
        check(
            &["basic_auth", "redirect_https"],
            &["`basic_auth` asks for credentials before `redirect_https` leads to https"],
        );
    }

    #[test]
    fn two_of_a_kind() {
        check(
            &["cors", "headers", "cors"],
            &["`cors` and `cors` are two of the type \"cors\""],
        );
        check(&["headers", "headers"], &[]);
    }
}
