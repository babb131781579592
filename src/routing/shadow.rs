//! Rules that no request can reach.

use std::collections::HashMap;

use super::host::HostPattern;
use super::methods::Methods;
use super::pattern::{PathPattern, Segment, Shape};
use super::rule::Rule;

/// Pairs of places: a rule that can never answer, and one that always answers in its stead.
///
/// Says only what is certain: a rule that several others cover only together, or that an
/// expression covers, is not found.
pub fn shadowed(rules: &[Rule]) -> Vec<(usize, usize)> {
    // With the same priority only rules with the same host and pattern can always come first:
    // among different ones the narrower comes first.
    let mut alike: HashMap<(i32, HostPattern, String), Vec<usize>> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        for host in hosts(rule) {
            let key = (rule.priority, host, shape(&rule.path));
            alike.entry(key).or_default().push(at);
        }
    }
    let lowest = rules.iter().map(|rule| rule.priority).min();
    let raised = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| Some(rule.priority) > lowest);
    let raised: Vec<(usize, &Rule)> = raised.collect();
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let by_host = hosts(rule).into_iter().map(|host| {
            let higher = raised
                .iter()
                .filter(|(_, other)| other.priority > rule.priority)
                .find(|(_, other)| {
                    covers_host(other, &host)
                        && covers_path(&other.path, &rule.path)
                        && covers_rest(other, rule)
                });
            higher.map(|(at, _)| *at).or_else(|| {
                let key = (rule.priority, host, shape(&rule.path));
                let alike = alike.get(&key).into_iter().flatten();
                let mut alike = alike.filter_map(|&at| Some((at, rules.get(at)?)));
                alike
                    .find(|(other_at, other)| {
                        *other_at != at && comes_first(other, rule) && covers_rest(other, rule)
                    })
                    .map(|(at, _)| at)
            })
        });
        // Each host must be covered, by whichever rule.
        let by_host: Option<Vec<usize>> = by_host.collect();
        if let Some(&by) = by_host.as_deref().and_then(<[usize]>::first) {
            found.push((at, by));
        }
    }
    found
}

fn hosts(rule: &Rule) -> Vec<HostPattern> {
    if rule.hosts.is_empty() {
        vec![HostPattern::Any]
    } else {
        rule.hosts.clone()
    }
}

/// The pattern without its names: patterns of one shape match the same paths.
fn shape(path: &PathPattern) -> String {
    let Shape::Segments(segments) = &path.shape else {
        return path.as_str().to_owned();
    };
    let mut shape = String::new();
    for segment in &segments.list {
        shape.push('/');
        match segment {
            Segment::Literal(text) => shape.push_str(&String::from_utf8_lossy(text)),
            Segment::Param(_) => shape.push(':'),
        }
    }
    if segments.rest.is_some() {
        shape.push_str("/*");
    }
    if segments.slash {
        shape.push('/');
    }
    shape
}

/// Whether every request to this host is one to a host of the rule.
fn covers_host(rule: &Rule, host: &HostPattern) -> bool {
    hosts(rule).iter().any(|own| match (own, host) {
        (HostPattern::Any, _) => true,
        (_, HostPattern::Exact(name)) => own.matches(name),
        // `*.example.com` is below `*.com`, and below itself.
        (HostPattern::Wildcard(_), HostPattern::Wildcard(below)) => {
            own == host || own.matches(below)
        }
        (HostPattern::Exact(_) | HostPattern::Wildcard(_), HostPattern::Any)
        | (HostPattern::Exact(_), HostPattern::Wildcard(_)) => false,
    })
}

/// Whether every path that `inner` matches is one that `outer` matches.
fn covers_path(outer: &PathPattern, inner: &PathPattern) -> bool {
    let (outer, inner) = match (&outer.shape, &inner.shape) {
        (Shape::Segments(outer), Shape::Segments(inner)) => (outer, inner),
        (Shape::Segments(outer), Shape::Regex(_)) => {
            return outer.rest.is_some() && outer.list.is_empty();
        }
        (Shape::Regex(outer), Shape::Regex(inner)) => return outer.regex == inner.regex,
        (Shape::Regex(_), Shape::Segments(_)) => return false,
    };
    let mut given = inner.list.iter();
    for own in &outer.list {
        let covered = match (own, given.next()) {
            (Segment::Literal(own), Some(Segment::Literal(given))) => own == given,
            (Segment::Param(_), Some(_)) => true,
            (Segment::Literal(_), Some(Segment::Param(_))) | (_, None) => false,
        };
        if !covered {
            return false;
        }
    }
    outer.rest.is_some() || (given.next().is_none() && inner.rest.is_none())
}

/// Whether a rule takes all methods of another, and asks for no field or parameter that the
/// other does not ask for.
fn covers_rest(outer: &Rule, inner: &Rule) -> bool {
    let methods = outer.methods.is_empty()
        || (!inner.methods.is_empty()
            && Methods::new(&outer.methods).covers(&Methods::new(&inner.methods)));
    methods
        && outer
            .headers
            .iter()
            .all(|field| inner.headers.contains(field))
        && outer
            .query
            .iter()
            .all(|parameter| inner.query.contains(parameter))
}

/// Which of two rules with the same host, pattern and priority comes first.
fn comes_first(rule: &Rule, other: &Rule) -> bool {
    super::index::among_equals(rule) < super::index::among_equals(other)
}

#[cfg(test)]
mod tests {
    use super::super::testing::rule;
    use super::*;
    use crate::http::{Method, name};
    use crate::routing::{FieldMatch, QueryMatch, Test};

    /// A rule from `PRIORITY METHODS HOSTS PATH`; `-` for none.
    #[track_caller]
    fn line(position: usize, line: &str) -> Rule {
        let words: Vec<&str> = line.split(' ').collect();
        let [priority, methods, hosts, path] = words[..] else {
            panic!("{line}");
        };
        let mut rule = rule(path);
        rule.priority = priority.parse().unwrap();
        rule.position = position;
        for method in methods.split(',').filter(|&method| method != "-") {
            rule.methods
                .push(Method::from_bytes(method.as_bytes()).unwrap());
        }
        for host in hosts.split(',').filter(|&host| host != "-") {
            rule.hosts.push(HostPattern::parse(host).unwrap());
        }
        rule
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &[(usize, usize)]) {
        let rules: Vec<Rule> = lines
            .iter()
            .enumerate()
            .map(|(position, text)| line(position, text))
            .collect();
        assert_eq!(shadowed(&rules), expected, "{lines:?}");
    }

    #[test]
    fn the_same_pattern_twice() {
        check(&["0 - - /a", "0 - - /a"], &[(1, 0)]);
        check(&["0 - - /a/:x", "0 - - /a/:y"], &[(1, 0)]);
        check(&["0 - - ^/a$", "0 - - ^/a$"], &[(1, 0)]);
        check(&["0 - - /a", "0 - - /a/"], &[]);
        check(&["0 - - /a/*", "0 - - /a"], &[]);
        check(&["0 - - /a/*", "0 - - /a/:x"], &[]);
    }

    #[test]
    fn methods() {
        check(&["0 GET - /a", "0 - - /a"], &[]);
        // The one that names a method comes first, wherever it stands.
        check(&["0 - - /a", "0 GET - /a"], &[]);
        check(&["0 GET,POST - /a", "0 GET - /a"], &[(1, 0)]);
        check(&["0 GET - /a", "0 HEAD - /a"], &[(1, 0)]);
        check(&["0 GET - /a", "0 GET,POST - /a"], &[]);
    }

    #[test]
    fn hosts_must_all_be_covered() {
        check(&["0 - a.com /a", "0 - a.com,b.com /a"], &[]);
        check(
            &["0 - a.com /a", "0 - b.com /a", "0 - a.com,b.com /a"],
            &[(2, 0)],
        );
        check(&["0 - - /a", "0 - a.com /a"], &[]);
        check(&["0 - *.com /a", "0 - *.a.com /a"], &[]);
    }

    #[test]
    fn a_higher_priority_covers_narrower_rules() {
        check(&["0 - a.com /a/b", "1 - - /a/*"], &[(0, 1)]);
        check(&["0 - *.a.com /a/:x", "1 - *.com /a/*"], &[(0, 1)]);
        check(&["0 - a.com /a/b", "1 - *.com /:x/:y"], &[(0, 1)]);
        check(&["0 - a.com /a/b", "1 - *.com /:x"], &[]);
        check(&["0 - a.com /a/*", "1 - *.com /:x/:y"], &[]);
        check(&["0 - - /a/:x", "1 - - /a/b"], &[]);
        check(&["0 - - /a", "1 - a.com /a"], &[]);
        check(&["0 - *.com /a", "1 - a.com /a"], &[]);
        check(&["0 - - ^/a", "1 - - /*"], &[(0, 1)]);
        check(&["0 - - ^/a", "1 - - /a/*"], &[]);
        check(&["0 - - /a", "1 - - ^/a"], &[]);
        check(&["0 - - ^/a", "1 - - ^/a"], &[(0, 1)]);
        check(&["0 GET - /a", "1 POST - /*"], &[]);
        check(&["0 - - /a", "1 POST - /*"], &[]);
    }

    #[test]
    fn what_asks_for_more_is_reached() {
        let field = FieldMatch {
            name: name::COOKIE,
            test: Test::Present,
        };
        let parameter = QueryMatch {
            name: "q".into(),
            test: Test::Present,
        };
        let mut rules = [line(0, "1 - - /*"), line(1, "0 - - /a")];
        rules[0].headers = vec![field.clone()];
        assert_eq!(shadowed(&rules), []);
        rules[1].headers = vec![field];
        assert_eq!(shadowed(&rules), [(1, 0)]);
        rules[0].query = vec![parameter.clone()];
        assert_eq!(shadowed(&rules), []);
        rules[1].query = vec![parameter];
        assert_eq!(shadowed(&rules), [(1, 0)]);
    }
}
