//! What the handler sees.

use super::*;
use crate::exchange::testing::TestRequest;
use crate::middleware::tests::{build, problems};

/// The target as an upstream would be asked for it; what the client wrote stays.
#[track_caller]
fn check(settings: &str, target: &str, expected: &str) {
    let mut request = TestRequest::get(target).header("X-Own", "a/b?c");
    let mut x = request.exchange();
    let flow = build(&KIND, settings).on_request(&mut x);
    if let Flow::Respond(response) = flow {
        assert_eq!(format!("{}", response.status.code()), expected, "{target}");
        return;
    }
    let target_now = &x.request.target;
    let query = target_now.query().map(|query| format!("?{query}"));
    let found = format!(
        "{}{}",
        target_now.upstream_path(),
        query.unwrap_or_default()
    );
    assert_eq!(found, expected, "{target}");
    assert_eq!(target_now.raw(), target);
}

#[test]
fn prefixes() {
    let strip = "strip_prefix = '/api/'";
    check(strip, "/api/x?y", "/x?y");
    check(strip, "/api", "/");
    check(strip, "/apix", "/apix");
    check(strip, "/%61pi/%78", "/%78");
    check("add_prefix = '/v1'", "/x", "/v1/x");
    check("add_prefix = '/v1'", "/", "/v1/");
    let both = "strip_prefix = '/api'\nadd_prefix = '/v1'";
    check(both, "/api/x/../y", "/v1/y");
    check(both, "/x", "/v1/x");
    check(both, "http://a/api/x", "/v1/x");
    check("", "/a//b/./c?d", "/a/b/c?d");
}

#[test]
fn expressions() {
    let user = "regex = '^/users/(?<id>[^/]+)$'\nto = '/user.php?id={id}'";
    check(user, "/users/7", "/user.php?id=7");
    check(user, "/users/7?x=1", "/user.php?id=7&x=1");
    check(user, "/users/a%26b%3Dc", "/user.php?id=a%26b%3Dc");
    check(user, "/users/7/x", "/users/7/x");
    check(
        &format!("{user}\nkeep_query = false"),
        "/users/7?x=1",
        "/user.php?id=7",
    );
    let rest = "regex = '^/old/(?<rest>.*)$'\nto = '/new/{rest}'";
    check(rest, "/old/a/b%20c?d", "/new/a/b%20c?d");
    check(rest, "/old/", "/new/");
    check(rest, "/old/a%2Fb", "/new/a%2Fb");
    let optional = "regex = '^/a(?<b>b)?$'\nto = '/x{b}/{client.ip}'";
    check(optional, "/a", "/x/192.0.2.1");
    check(optional, "/ab", "/xb/192.0.2.1");
}

#[test]
fn values_lead_nowhere_else() {
    let file = "regex = '^/f$'\nto = '/files/{query.n}'\nkeep_query = false";
    check(file, "/f?n=x", "/files/x");
    check(file, "/f?n=../secret", "/files/..%2Fsecret");
    check(file, "/f?n=..", "400");
    check(file, "/f?n=a%3Fb%23c", "/files/a%3Fb%23c");
    let dots = "regex = '^/(?<a>[^/]*),(?<b>[^/]*)$'\nto = '/x/{a}{b}/y'";
    check(dots, "/.,.", "400");
}

#[test]
fn queries() {
    let remove = "query.remove = ['utm_*', 'x']";
    check(remove, "/a?utm_source=b&c=d&%78=1&xy", "/a?c=d&xy");
    check(remove, "/a?utm_source=b", "/a");
    check(remove, "/a", "/a");
    check(
        "query.set = { a = '{header.X-Own}' }",
        "/?b=1&a=2&a=3",
        "/?b=1&a=a%2Fb%3Fc",
    );
    check("query.append = { a = '1' }", "/?a=2", "/?a=2&a=1");
    check(
        "query.default = { a = '1', 'b c' = '2' }",
        "/?a=2",
        "/?a=2&b%20c=2",
    );
}

#[track_caller]
fn check_problem(text: &str, expected: &str) {
    let found = problems(&KIND, text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(expected), "{found:?}");
}

#[test]
fn mistakes() {
    check_problem("regex = '('\nto = '/'", "is not a regular expression");
    check_problem("regex = '^/'", "`regex` without `to`");
    check_problem("to = '/'", "`to` without `regex`");
    check_problem("regex = '^/'\nto = 'x'", "`x` is not a path");
    check_problem("regex = '^/'\nto = '/../x'", "`/../x` leads up");
    check_problem("regex = '^/'\nto = '/a b'", "a path cannot hold ' '");
    check_problem("regex = '^/'\nto = '/{{a}}'", "a path cannot hold a brace");
    check_problem(
        "regex = '^/(?<a>)'\nto = '/{b}'",
        "there is no variable `{b}`",
    );
    check_problem("regex = '^/'\nto = '/{request.uri}'", "the whole target");
    check_problem("strip_prefix = 'api'", "is not a path that starts with");
    check_problem("add_prefix = '/a b'", "is not a path that starts with");
    check_problem("add_prefix = '/../b'", "is not a path that starts with");
    check_problem(
        "query.set = { a = '{nope}' }",
        "there is no variable `{nope}`",
    );
}
