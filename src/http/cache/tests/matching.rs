//! Which requests a response fits, what an unsafe one drops, and what is told of it all.

use super::headers;
use crate::http::cache::invalidation::{also_named, invalidates, path_within};
use crate::http::cache::status::{CacheStatus, Forward};
use crate::http::cache::{Refusal, vary};
use crate::http::{Method, StatusCode};

fn selected(vary: &str, request: &str) -> Vec<u8> {
    let fields = vary::fields(&headers(vary)).expect("fields");
    let mut into = Vec::new();
    vary::select(&fields, &headers(request), &mut into);
    into
}

#[track_caller]
fn fits(vary: &str, one: &str, other: &str, expected: bool) {
    let same = selected(vary, one) == selected(vary, other);
    assert_eq!(same, expected, "{vary}: {one} / {other}");
}

#[test]
fn requests_that_fit() {
    let foo = "Vary: Foo";
    fits(foo, "Foo: 1", "Foo: 1", true);
    fits(foo, "Foo: 1", "Foo: 2", false);
    fits(foo, "Foo: 1", "", false);
    fits(foo, "", "", true);
    fits(foo, "Foo:", "", false);
    fits(foo, "Foo: 1", "foo: 1", true);
    fits(foo, "Foo: a", "Foo: A", false);
    fits(foo, "Foo: 1, 2", "Foo: 1\nFoo: 2", true);
    fits(foo, "Foo: 1,2", "Foo: 1 ,\t2", true);
    fits(foo, "Foo: 1, 2", "Foo: 2, 1", false);
    fits(foo, "Foo: \"1, 2\"", "Foo: \"1,2\"", false);
    fits(foo, "Foo: 1\nBar: 1", "Foo: 1\nBar: 2", true);
    fits("Vary: foo", "Foo: 1", "Foo: 2", false);
    fits("Vary: Foo, Bar", "Foo: 1\nBar: 2", "Bar: 2\nFoo: 1", true);
    fits("Vary: Foo, Bar", "Foo: 1\nBar: 2", "Foo: 1\nBar: 3", false);
    fits(
        "Vary: Foo\nVary: Bar",
        "Foo: 1\nBar: 2",
        "Foo: 1\nBar: 3",
        false,
    );
    fits("Vary: Foo, Bar", "Foo: 1", "Bar: 1", false);
    fits(
        "Vary: Accept-Encoding",
        "Accept-Encoding: GZIP",
        "Accept-Encoding: gzip",
        true,
    );
    fits(
        "Vary: Accept-Encoding",
        "Accept-Encoding: gzip, br",
        "Accept-Encoding: gzip",
        false,
    );
    fits("X: y", "Foo: 1", "Foo: 2", true);
}

#[test]
fn responses_that_fit_nobody() {
    let fields = |text| vary::fields(&headers(text)).map(|fields| fields.len());
    assert_eq!(fields("Vary: *"), None);
    assert_eq!(fields("Vary: a, *"), None);
    assert_eq!(fields("Vary: a b"), None);
    assert_eq!(fields("Vary: b, a, B, ,A"), Some(2));
    let many: Vec<String> = (0..=vary::FIELDS_MAX).map(|n| format!("x-{n}")).collect();
    assert_eq!(fields(&format!("Vary: {}", many.join(","))), None);
}

#[test]
fn methods_that_invalidate() {
    let check = |method: Method, status: u16, expected| {
        let found = invalidates(&method, StatusCode::new(status).unwrap());
        assert_eq!(found, expected, "{method} {status}");
    };
    for method in [Method::Post, Method::Put, Method::Delete, Method::Patch] {
        check(method.clone(), 200, true);
        check(method.clone(), 204, true);
        check(method.clone(), 303, true);
        check(method.clone(), 404, false);
        check(method, 500, false);
    }
    check(Method::Extension("M-SEARCH".into()), 200, true);
    for method in [Method::Get, Method::Head, Method::Options, Method::Trace] {
        check(method, 200, false);
    }
}

#[test]
fn what_else_is_dropped() {
    #[track_caller]
    fn check(url: &str, expected: Option<&str>) {
        assert_eq!(path_within(url, "http", "site:80"), expected, "{url}");
    }
    check("/a?b#c", Some("/a?b"));
    check("http://site:80/a", Some("/a"));
    check("HTTP://SITE:80/a", Some("/a"));
    check("//site:80/a", Some("/a"));
    check("http://site:80", Some("/"));
    check("https://site:80/a", None);
    check("http://site/a", None);
    check("http://other:80/a", None);
    check("//other/a", None);
    check("http://site:80?x", None);
    check("a/b", None);
    check("", None);
    let response = headers("Location: /a\nContent-Location: http://site:80/b\nLink: /c");
    let named: Vec<_> = also_named(&response, "http", "site:80").collect();
    assert_eq!(named, ["/a", "/b"]);
}

#[test]
fn what_is_told() {
    #[track_caller]
    fn check(status: CacheStatus, expected: &str) {
        let mut text = Vec::new();
        status.write("pages", |piece| text.extend_from_slice(piece));
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
    check(CacheStatus::hit(59), "pages; hit; ttl=59");
    check(CacheStatus::hit(-5), "pages; hit; ttl=-5");
    let forwarded = CacheStatus::forwarded;
    check(forwarded(Forward::Bypass), "pages; fwd=bypass");
    check(
        CacheStatus {
            ttl: Some(60),
            stored: true,
            ..forwarded(Forward::UriMiss)
        },
        "pages; fwd=uri-miss; ttl=60; stored",
    );
    check(
        CacheStatus {
            forward_status: Some(304),
            collapsed: true,
            ..forwarded(Forward::Stale)
        },
        "pages; fwd=stale; fwd-status=304; collapsed",
    );
    check(
        CacheStatus {
            refusal: Some(Refusal::NoStore),
            ..forwarded(Forward::VaryMiss)
        },
        "pages; fwd=vary-miss; detail=no-store",
    );
    for (forward, word) in [(Forward::Method, "method"), (Forward::Request, "request")] {
        check(forwarded(forward), &format!("pages; fwd={word}"));
    }
}
