//! The same rules as the table's, by looking at every one: slow, too simple to be wrong, and
//! able to say why each lost.

use std::cmp::Reverse;

use super::host::HostPattern;
use super::methods::Methods;
use super::pattern::{PathPattern, Segment, Shape};
use super::rule::Rule;
use crate::http::{HeaderName, Method, RequestHead, name};

/// What a lookup comes to, and why. Rules are named by their place in the slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every rule: first those whose host and path match, in order of precedence, then the
    /// others in the order of the slice.
    pub trace: Vec<(usize, Fate)>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// None of its hosts is that of the request.
    OtherHost,
    /// Its pattern does not match the path.
    OtherPath,
    /// This field is missing or has another value.
    OtherField(HeaderName),
    /// This parameter of the query is missing or has another value.
    OtherQuery(Box<str>),
    /// It does not take the method.
    OtherMethod,
    /// It matches, and another in front of it answers.
    Behind,
    /// It answers.
    Answers,
}

/// See [`super::Found`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is what the variant of that name in Found is"
)]
pub enum Verdict {
    Route(usize),
    Options(usize, String),
    MethodNotAllowed(String),
    NotFound,
}

/// Looks a request up.
pub fn explain(rules: &[Rule], request: &RequestHead) -> Explanation {
    let path = request.target.path();
    let mut matching = Vec::new();
    let mut others = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        match best_host(rule, request.host()) {
            None => others.push((at, Fate::OtherHost)),
            Some(host) => match path_key(rules, rule, &host, path) {
                None => others.push((at, Fate::OtherPath)),
                Some(key) => matching.push((precedence(rule, &host, key), at)),
            },
        }
    }
    matching.sort();
    let order = matching.into_iter().map(|(_, at)| at);
    let mut trace: Vec<(usize, Fate)> = order
        .filter_map(|at| Some((at, fate(rules.get(at)?, request))))
        .collect();
    let verdict = decide(rules, request, &trace);
    let chosen = match &verdict {
        Verdict::Route(at) | Verdict::Options(at, _) => Some(*at),
        Verdict::MethodNotAllowed(_) | Verdict::NotFound => None,
    };
    for (at, fate) in &mut trace {
        if Some(*at) == chosen {
            *fate = Fate::Answers;
        }
    }
    trace.append(&mut others);
    Explanation { trace, verdict }
}

/// What a rule's pattern captures, by looking at the path from its start.
pub fn captures(pattern: &PathPattern, path: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    match &pattern.shape {
        Shape::Regex(path_regex) => {
            path_regex.regex.capture(path, |name, value| {
                found.push((name.to_owned(), value.to_vec()));
            });
        }
        Shape::Segments(pattern) => {
            let mut left = path.get(1..).unwrap_or_default();
            for segment in &pattern.list {
                let end = left.iter().position(|&byte| byte == b'/');
                let end = end.unwrap_or(left.len());
                if let (Segment::Param(name), Some(value)) = (segment, left.get(..end)) {
                    found.push((name.to_string(), value.to_vec()));
                }
                left = left.get(end.saturating_add(1)..).unwrap_or_default();
            }
            if let Some(name) = pattern.rest.as_deref().filter(|name| !name.is_empty()) {
                found.push((name.to_owned(), left.to_vec()));
            }
        }
    }
    found
}

/// The pattern of this host that comes first.
fn best_host(rule: &Rule, host: &str) -> Option<HostPattern> {
    if rule.hosts.is_empty() {
        return Some(HostPattern::Any);
    }
    let matching = rule.hosts.iter().filter(|pattern| pattern.matches(host));
    matching.min_by_key(|pattern| host_key(pattern)).cloned()
}

/// Exact, then wildcards, the longest first, then any.
fn host_key(host: &HostPattern) -> (u8, Reverse<usize>) {
    match host {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Wildcard(below) => (1, Reverse(below.len())),
        HostPattern::Any => (2, Reverse(0)),
    }
}

/// How far a pattern is literal, whether it is one of segments, and what decides then: for
/// expressions the place in the file; for others, segment by segment, 0 for a literal, 1 for a
/// parameter, and at the end 0, or 2 for a `*`, or 3 if the slash behind differs.
type PathKey = (Reverse<usize>, bool, Vec<usize>);

fn path_key(rules: &[Rule], rule: &Rule, host: &HostPattern, path: &[u8]) -> Option<PathKey> {
    match &rule.path.shape {
        Shape::Regex(regex) => {
            if !path.starts_with(b"/") || !regex.regex.is_match(path) {
                return None;
            }
            // Those behind it in the file that may match too, for the same host, draw it forward.
            let behind = rules.iter().filter(|other| other.position > rule.position);
            let depths = behind.filter_map(|other| match &other.path.shape {
                Shape::Regex(regex) if serves(other, host) && path.starts_with(&regex.prefix) => {
                    Some(regex.depth)
                }
                Shape::Regex(_) | Shape::Segments(_) => None,
            });
            let depth = depths.fold(regex.depth, usize::max);
            Some((Reverse(depth), false, vec![rule.position]))
        }
        Shape::Segments(pattern) => {
            let text = path.strip_prefix(b"/")?;
            let slash = text.ends_with(b"/");
            let mut segments: Vec<&[u8]> = text.split(|&byte| byte == b'/').collect();
            if text.is_empty() || slash {
                segments.pop();
            }
            let mut key = Vec::new();
            let mut given = segments.iter();
            for segment in &pattern.list {
                let given = given.next()?;
                match segment {
                    Segment::Literal(text) if **text == **given => key.push(0),
                    Segment::Param(_) if !given.is_empty() => key.push(1),
                    Segment::Literal(_) | Segment::Param(_) => return None,
                }
            }
            let literal = key.iter().take_while(|&&kind| kind == 0).count();
            let all = literal == key.len();
            key.push(match (&pattern.rest, given.next()) {
                (Some(_), _) => 2,
                (None, Some(_)) => return None,
                (None, None) if pattern.slash == slash => 0,
                (None, None) => 3,
            });
            let exact = all && key.last() == Some(&0);
            let level = if exact { usize::MAX } else { literal };
            Some((Reverse(level), true, key))
        }
    }
}

fn serves(rule: &Rule, host: &HostPattern) -> bool {
    if rule.hosts.is_empty() {
        return *host == HostPattern::Any;
    }
    rule.hosts.contains(host)
}

type Precedence = (
    Reverse<i32>,
    (u8, Reverse<usize>),
    PathKey,
    (bool, Reverse<usize>, Reverse<usize>),
    usize,
);

fn precedence(rule: &Rule, host: &HostPattern, path: PathKey) -> Precedence {
    (
        Reverse(rule.priority),
        host_key(host),
        path,
        (
            rule.methods.is_empty(),
            Reverse(rule.headers.len()),
            Reverse(rule.query.len()),
        ),
        rule.position,
    )
}

/// What becomes of a rule whose host and path match, as far as it alone tells.
fn fate(rule: &Rule, request: &RequestHead) -> Fate {
    let field = rule.headers.iter();
    if let Some(field) = field.clone().find(|field| !field.matches(&request.headers)) {
        return Fate::OtherField(field.name.clone());
    }
    let query = request.target.query();
    if let Some(parameter) = rule
        .query
        .iter()
        .find(|parameter| !parameter.matches(query))
    {
        return Fate::OtherQuery(parameter.name.clone());
    }
    if takes(rule, &request.method) {
        Fate::Behind
    } else {
        Fate::OtherMethod
    }
}

fn takes(rule: &Rule, method: &Method) -> bool {
    let names = |method: &Method| rule.methods.contains(method);
    rule.methods.is_empty() || names(method) || (*method == Method::Head && names(&Method::Get))
}

fn decide(rules: &[Rule], request: &RequestHead, trace: &[(usize, Fate)]) -> Verdict {
    let rule = |at: &usize| rules.get(*at);
    let answer = trace.iter().find(|(_, fate)| *fate == Fate::Behind);
    let answer = answer.map(|(at, _)| *at);
    let in_front = trace.iter().take_while(|(at, _)| Some(*at) != answer);
    let refused: Vec<usize> = in_front
        .filter(|(_, fate)| *fate == Fate::OtherMethod)
        .map(|(at, _)| *at)
        .collect();
    let mut allowed = Methods::default();
    for rule in refused.iter().filter_map(rule) {
        allowed.extend(&Methods::new(&rule.methods));
    }
    allowed.insert(&Method::Options);
    if request.method != Method::Options {
        return match (answer, refused.is_empty()) {
            (Some(at), _) => Verdict::Route(at),
            (None, true) => Verdict::NotFound,
            (None, false) => Verdict::MethodNotAllowed(allowed.list()),
        };
    }
    let wanted = request.headers.get(&name::ACCESS_CONTROL_REQUEST_METHOD);
    let preflighted = wanted.and_then(Method::from_bytes).and_then(|method| {
        let takes = |at: &&usize| rule(at).is_some_and(|rule| takes(rule, &method));
        refused.iter().find(takes)
    });
    let meant = answer.is_some_and(|at| rule(&at).is_some_and(|rule| !rule.methods.is_empty()));
    match (answer, preflighted.or_else(|| refused.first())) {
        (Some(at), _) if meant || preflighted.is_none() => Verdict::Route(at),
        (_, Some(&at)) => Verdict::Options(at, allowed.list()),
        (_, None) => Verdict::NotFound,
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::super::testing::{request, rule};
    use super::*;
    use crate::routing::{FieldMatch, QueryMatch, Test};

    #[test]
    fn every_rule_has_a_fate() {
        let mut rules = vec![
            rule("/a/*"),
            rule("/a/:b"),
            rule("/a/b"),
            rule("/a/b"),
            rule("/a/b"),
            rule("/x"),
            rule("/a/b"),
        ];
        for (position, rule) in rules.iter_mut().enumerate() {
            rule.position = position;
        }
        rules[2].headers.push(FieldMatch {
            name: name::COOKIE,
            test: Test::Present,
        });
        rules[3].query.push(QueryMatch {
            name: "q".into(),
            test: Test::Present,
        });
        rules[4].methods.push(Method::Post);
        rules[6]
            .hosts
            .push(HostPattern::parse("example.com").unwrap());
        let found = explain(&rules, &request(Method::Get, "other.example", "/a/b"));
        let expected = [
            (4, Fate::OtherMethod),
            (2, Fate::OtherField(name::COOKIE)),
            (3, Fate::OtherQuery("q".into())),
            (1, Fate::Answers),
            (0, Fate::Behind),
            (5, Fate::OtherPath),
            (6, Fate::OtherHost),
        ];
        assert_eq!(found.trace, expected);
        assert_eq!(found.verdict, Verdict::Route(1));
    }
}
