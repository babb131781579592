//! Which rule answers, and what is said where none does.

use super::super::testing::{request, rule};
use super::*;
use crate::http::Method::{Get, Head, Options, Post, Put};
use crate::routing::{HostPattern, Test};

/// A table of rules in this order.
fn table(rules: Vec<Rule>) -> Table {
    let mut rules = rules;
    for (position, rule) in rules.iter_mut().enumerate() {
        rule.position = position;
    }
    // Every lookup of these tests also goes through a worker's copy.
    Table::new(&rules, Chain::default()).for_worker()
}

fn named(name: &str, mut rule: Rule) -> Rule {
    rule.route = Arc::new(Route {
        name: Arc::from(name),
        chain: Chain::default(),
        handler: crate::handlers::Handler::NotFound,
        numbers: None,
    });
    rule
}

fn with_methods(methods: &[Method], mut rule: Rule) -> Rule {
    rule.methods = methods.to_vec();
    rule
}

fn with_hosts(hosts: &[&str], mut rule: Rule) -> Rule {
    let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap());
    rule.hosts = hosts.collect();
    named(&hosts_name(&rule), rule)
}

fn hosts_name(rule: &Rule) -> String {
    let hosts: Vec<_> = rule.hosts.iter().map(ToString::to_string).collect();
    format!("{}{}", hosts.join(","), rule.path)
}

fn with_priority(priority: i32, mut rule: Rule) -> Rule {
    rule.priority = priority;
    rule
}

/// `route NAME`, `options NAME (ALLOW)`, `405 (ALLOW)` or `404`.
fn found(table: &Table, request: &RequestHead) -> String {
    let mut params = Params::default();
    match table.find(request, &mut params) {
        Found::Route(route) => format!("route {}", route.name),
        Found::Options(route, allow) => format!("options {} ({allow})", route.name),
        Found::MethodNotAllowed(allow) => format!("405 ({allow})"),
        Found::NotFound => "404".to_owned(),
    }
}

#[track_caller]
fn check(table: &Table, method: Method, host: &str, target: &str, expected: &str) {
    let request = request(method, host, target);
    assert_eq!(found(table, &request), expected, "{host}{target}");
}

#[test]
fn the_root_and_misses() {
    let roots = table(vec![rule("/")]);
    check(&roots, Get, "", "/", "route /");
    check(&roots, Get, "", "/?a", "route /");
    check(&roots, Get, "", "/a", "404");
    check(&table(vec![]), Get, "", "/", "404");
    assert_eq!(format!("{roots:?}"), "Table(1 rules)");
}

#[test]
fn hosts_exact_then_the_longest_wildcard_then_any() {
    let hosts = table(vec![
        rule("/*"),
        with_hosts(&["*.com"], rule("/*")),
        with_hosts(&["*.example.com"], rule("/*")),
        with_hosts(&["a.example.com", "*.other.com"], rule("/*")),
        with_hosts(&["b.example.com"], rule("/only")),
    ]);
    check(
        &hosts,
        Get,
        "A.example.com:80",
        "/",
        "route a.example.com,*.other.com/*",
    );
    check(
        &hosts,
        Get,
        "x.other.com.",
        "/",
        "route a.example.com,*.other.com/*",
    );
    check(&hosts, Get, "c.b.example.com", "/", "route *.example.com/*");
    check(&hosts, Get, "example.com", "/", "route *.com/*");
    check(&hosts, Get, ".example.com", "/", "route *.com/*");
    check(&hosts, Get, "example.org", "/", "route /*");
    check(&hosts, Get, "", "/", "route /*");
    check(&hosts, Get, &"X".repeat(300), "/", "route /*");
    // A host that has no route for the path does not hide those of wider hosts.
    check(
        &hosts,
        Get,
        "b.example.com",
        "/only",
        "route b.example.com/only",
    );
    check(&hosts, Get, "b.example.com", "/", "route *.example.com/*");
}

#[test]
fn a_rule_passed_over_makes_way_for_the_next() {
    let rules = table(vec![
        with_methods(&[Get], rule("/a/b")),
        with_methods(&[Post], rule("/a/:x")),
        with_methods(&[Put, Method::Delete], rule("/a/*")),
    ]);
    check(&rules, Get, "", "/a/b", "route /a/b");
    check(&rules, Head, "", "/a/b", "route /a/b");
    check(&rules, Post, "", "/a/b", "route /a/:x");
    check(&rules, Put, "", "/a/b", "route /a/*");
    check(
        &rules,
        Method::Patch,
        "",
        "/a/b",
        "405 (DELETE, GET, HEAD, OPTIONS, POST, PUT)",
    );
    check(&rules, Get, "", "/a/c", "405 (DELETE, OPTIONS, POST, PUT)");
    check(&rules, Get, "", "/a/b/c", "405 (DELETE, OPTIONS, PUT)");
    check(&rules, Get, "", "/b", "404");
}

#[test]
fn methods_then_fields_then_query_then_the_file() {
    let field = FieldMatch {
        name: name::COOKIE,
        test: Test::Present,
    };
    let parameter = QueryMatch {
        name: "q".into(),
        test: Test::exact("1"),
    };
    let mut with_field = named("field", rule("/a"));
    with_field.headers = vec![field.clone()];
    let mut with_query = named("query", rule("/a"));
    with_query.query = vec![parameter];
    let mut with_both = named("method and field", with_methods(&[Post], rule("/a")));
    with_both.headers = vec![field];
    let rules = table(vec![
        named("first", rule("/a")),
        named("second", rule("/a")),
        with_query,
        with_field,
        named("method", with_methods(&[Post], rule("/a"))),
        with_both,
    ]);
    check(&rules, Get, "", "/a", "route first");
    check(&rules, Get, "", "/a?q=1", "route query");
    check(&rules, Post, "", "/a?q=1", "route method");
    let mut head = request(Get, "", "/a?q=1");
    head.headers.append(&name::COOKIE, "a");
    assert_eq!(found(&rules, &head), "route field");
    head.method = Post;
    assert_eq!(found(&rules, &head), "route method and field");
}

#[test]
fn fields_that_do_not_match_make_no_405() {
    let mut only = with_methods(&[Post], rule("/a"));
    only.query = vec![QueryMatch {
        name: "q".into(),
        test: Test::Present,
    }];
    let rules = table(vec![only]);
    check(&rules, Get, "", "/a", "404");
    check(&rules, Get, "", "/a?q", "405 (OPTIONS, POST)");
    check(&rules, Post, "", "/a?q", "route /a");
}

#[test]
fn a_priority_comes_before_all() {
    let rules = table(vec![
        with_hosts(&["h"], rule("/a")),
        with_priority(1, rule("/*")),
        named("second", with_priority(1, rule("/*"))),
        named("late", with_priority(-1, rule("/b"))),
        with_priority(2, with_methods(&[Post], rule("/:x"))),
    ]);
    check(&rules, Get, "h", "/a", "route /*");
    check(&rules, Post, "h", "/a", "route /:x");
    check(&rules, Get, "", "/b", "route /*");
    let late = table(vec![
        named("late", with_priority(-1, rule("/b"))),
        rule("/*"),
    ]);
    check(&late, Get, "", "/b", "route /*");
}

#[test]
fn expressions() {
    let rules = table(vec![
        rule("/v1/*"),
        rule("^/v(?<version>[0-9]+)/"),
        rule("/:any/*"),
        with_methods(&[Post], rule("^/p$")),
    ]);
    check(&rules, Get, "", "/v1/a", "route /v1/*");
    check(&rules, Get, "", "/v2/a", "route ^/v(?<version>[0-9]+)/");
    check(&rules, Get, "", "/vx/a", "route /:any/*");
    check(&rules, Get, "", "/p", "route /:any/*");
    check(&rules, Post, "", "/p", "route ^/p$");
    let mut params = Params::default();
    let head = request(Get, "", "/v22/a");
    rules.find(&head, &mut params);
    assert_eq!(params.get("version"), Some(&b"22"[..]));
    // What the lookup before captured is gone.
    rules.find(&request(Get, "", "/v1/a"), &mut params);
    assert_eq!(params.iter().count(), 0);
    let only = table(vec![with_methods(&[Post], rule("^/p$"))]);
    check(&only, Get, "", "/p", "405 (OPTIONS, POST)");
    check(&only, Get, "", "/q", "404");
}

#[track_caller]
fn check_options(table: &Table, preflighted: Option<&str>, expected: &str) {
    let mut head = request(Options, "", "/a");
    if let Some(method) = preflighted {
        head.headers
            .append(&name::ACCESS_CONTROL_REQUEST_METHOD, method);
    }
    assert_eq!(found(table, &head), expected);
}

#[test]
fn options_of_routes_that_do_not_name_it() {
    let rules = table(vec![
        with_methods(&[Get], rule("/a")),
        with_methods(&[Put], rule("/:x")),
    ]);
    let allow = "(GET, HEAD, OPTIONS, PUT)";
    check_options(&rules, None, &format!("options /a {allow}"));
    check_options(&rules, Some("PUT"), &format!("options /:x {allow}"));
    check_options(&rules, Some("HEAD"), &format!("options /a {allow}"));
    check_options(&rules, Some("DELETE"), &format!("options /a {allow}"));
    check_options(&rules, Some("b a d"), &format!("options /a {allow}"));
    let mut params = Params::default();
    let mut head = request(Options, "", "/a");
    head.headers
        .append(&name::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
    rules.find(&head, &mut params);
    assert_eq!(params.get("x"), Some(&b"a"[..]));
}

#[test]
fn options_of_routes_that_take_it() {
    let open = table(vec![with_methods(&[Get], rule("/a")), rule("/*")]);
    // A preflight belongs to the route that answers what it asks about.
    check_options(&open, None, "route /*");
    check_options(&open, Some("GET"), "options /a (GET, HEAD, OPTIONS)");
    check_options(&open, Some("PUT"), "route /*");
    let named = table(vec![
        with_methods(&[Get], rule("/a")),
        with_methods(&[Options], rule("/*")),
    ]);
    check_options(&named, Some("GET"), "route /*");
}

#[test]
fn what_is_no_path_is_not_found() {
    let rules = table(vec![rule("/*"), rule("^.*$")]);
    let mut head = request(Options, "", "/a");
    head.target.parse(b"*").unwrap();
    assert_eq!(found(&rules, &head), "404");
}

#[test]
fn a_worker_has_the_misses_too() {
    #[derive(Debug)]
    struct Nothing;
    impl crate::exchange::Middleware for Nothing {}
    let misses = Chain::new([Arc::new(Nothing) as Arc<dyn crate::exchange::Middleware>]);
    let table = Table::new(&[], misses).for_worker();
    assert!(format!("{:?}", table.misses()).contains("Nothing"));
}
