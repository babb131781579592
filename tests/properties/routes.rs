//! The table finds what looking at every rule finds, and captures the same.

use std::sync::Arc;

use httpserverd::exchange::Params;
use httpserverd::handlers::Handler;
use httpserverd::http::{HeaderName, Method, RequestHead, name};
use httpserverd::routing::oracle::{Verdict, captures, explain};
use httpserverd::routing::{
    Chain, FieldMatch, Found, HostPattern, PathPattern, QueryMatch, Route, Rule, Table, Test,
    shadowed,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const HOSTS: [&str; 7] = [
    "*",
    "a.com",
    "b.a.com",
    "*.com",
    "*.a.com",
    "*.b.a.com",
    "[::1]",
];
const ASKED: [&str; 9] = [
    "",
    "a.com",
    "B.a.COM.",
    "c.b.a.com",
    "d.c.b.a.com",
    "x.com:80",
    "com",
    "[::1]:1",
    "other.org",
];
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "OPTIONS", "PURGE"];
const EXPRESSIONS: [&str; 9] = [
    "^/a/b/?$",
    "^/(?<one>[ab])/",
    "^/a/(?<rest>.*)$",
    "b$",
    "^/a/b/(?<n>[0-9a]+)",
    "^/a|^/b",
    "^/$",
    "^/b/.",
    "^/[a-c]+/b",
];

fn pattern() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "c", "p"]);
    let segments = prop::collection::vec(segment, 0..4);
    let end = select(vec!["", "", "", "/", "*", "*rest"]);
    (segments, end).prop_map(|(segments, end)| {
        let written = segments
            .iter()
            .enumerate()
            .map(|(at, segment)| match *segment {
                "p" => format!("/:p{at}"),
                literal => format!("/{literal}"),
            });
        let text: String = written.collect();
        match end {
            "" | "/" if text.is_empty() => "/".to_owned(),
            "" => text,
            "/" => text + "/",
            rest => text + "/" + rest,
        }
    })
}

fn path_pattern() -> impl Strategy<Value = PathPattern> {
    prop_oneof![
        3 => pattern().prop_map(|text| PathPattern::parse(&text).unwrap()),
        1 => select(&EXPRESSIONS[..]).prop_map(|text| PathPattern::regex(text).unwrap()),
    ]
}

fn methods() -> impl Strategy<Value = Vec<Method>> {
    let names = prop_oneof![1 => Just(Vec::new()), 1 => subsequence(&METHODS[..], 1..4)];
    names.prop_map(|names| {
        let methods = names.into_iter();
        methods
            .map(|name| Method::from_bytes(name.as_bytes()).unwrap())
            .collect()
    })
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        Just(Test::Present),
        Just(Test::exact("1")),
        Just(Test::regex("^[12]$").unwrap()),
    ]
}

fn few<S: Strategy>(of: S) -> impl Strategy<Value = Vec<S::Value>>
where
    S::Value: Clone,
{
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(of, 1..3)]
}

fn rule() -> impl Strategy<Value = Rule> {
    // Most rules ask for little, so that many match the same request.
    let hosts = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(&HOSTS[..], 1..3)];
    let fields = few((select(vec!["X-A", "X-B"]), test()));
    let query = few((select(vec!["a", "b"]), test()));
    let priority = select(vec![0, 0, 0, 0, 0, 1, -1]);
    (hosts, path_pattern(), methods(), fields, query, priority).prop_map(
        |(hosts, path, methods, fields, query, priority)| Rule {
            hosts: hosts
                .into_iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            path,
            methods,
            headers: fields
                .into_iter()
                .map(|(name, test)| FieldMatch {
                    name: HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    test,
                })
                .collect(),
            query: query
                .into_iter()
                .map(|(name, test)| QueryMatch {
                    name: name.into(),
                    test,
                })
                .collect(),
            priority,
            position: 0,
            route: Arc::new(Route {
                name: Arc::from(""),
                chain: Chain::default(),
                handler: Handler::NotFound,
                numbers: None,
            }),
        },
    )
}

/// Rules, each with its place in the file and a name that tells it.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..24).prop_map(|mut rules| {
        for (position, rule) in rules.iter_mut().enumerate() {
            rule.position = position;
            rule.route = Arc::new(Route {
                name: Arc::from(position.to_string()),
                chain: Chain::default(),
                handler: Handler::NotFound,
                numbers: None,
            });
        }
        rules
    })
}

fn request() -> impl Strategy<Value = RequestHead> {
    let path = prop::collection::vec(select(vec!["a", "b", "c", "1", "ab"]), 0..5);
    let slash = any::<bool>();
    let query = select(vec!["", "?a", "?a=1&b=3", "?b=2", "?b=1&a=1"]);
    let fields = prop::collection::vec((select(vec!["x-a", "X-B"]), select(vec!["1", "3"])), 0..3);
    let preflighted = prop::option::of(select(&METHODS[..]));
    let host = select(&ASKED[..]);
    (
        path,
        slash,
        query,
        select(&METHODS[..]),
        host,
        fields,
        preflighted,
    )
        .prop_map(|(path, slash, query, method, host, fields, preflighted)| {
            let mut target = format!("/{}", path.join("/"));
            if slash && !path.is_empty() {
                target.push('/');
            }
            target.push_str(query);
            let mut head = RequestHead {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                ..RequestHead::default()
            };
            head.target.parse(target.as_bytes()).unwrap();
            if !host.is_empty() {
                head.headers.append(&name::HOST, host);
            }
            for (field, value) in fields {
                let field = HeaderName::from_bytes(field.as_bytes()).unwrap();
                head.headers.append(&field, value);
            }
            if let Some(method) = preflighted {
                head.headers
                    .append(&name::ACCESS_CONTROL_REQUEST_METHOD, method);
            }
            head
        })
}

fn verdict(found: &Found<'_>) -> Verdict {
    let number = |route: &Route| route.name.parse().unwrap();
    match found {
        Found::Route(route) => Verdict::Route(number(route)),
        Found::Options(route, allow) => Verdict::Options(number(route), allow.clone()),
        Found::MethodNotAllowed(allow) => Verdict::MethodNotAllowed(allow.clone()),
        Found::NotFound => Verdict::NotFound,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_finds_what_looking_at_every_rule_finds(
        rules in rules(),
        requests in prop::collection::vec(request(), 1..32),
    ) {
        let table = Table::new(&rules, Chain::default());
        let worker = table.for_worker();
        let never = shadowed(&rules);
        for request in &requests {
            let explanation = explain(&rules, request);
            let mut params = Params::default();
            for table in [&table, &worker] {
                let found = table.find(request, &mut params);
                prop_assert_eq!(&verdict(&found), &explanation.verdict, "{:?}", explanation.trace);
            }
            let (Verdict::Route(at) | Verdict::Options(at, _)) = explanation.verdict else {
                prop_assert_eq!(params.iter().count(), 0);
                continue;
            };
            let captured: Vec<_> = params
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect();
            prop_assert_eq!(captured, captures(&rules[at].path, request.target.path()));
            // What is said to be out of reach never answers.
            if let Verdict::Route(at) = explanation.verdict {
                prop_assert!(never.iter().all(|(shadowed, _)| *shadowed != at), "{never:?}");
            }
        }
    }
}
