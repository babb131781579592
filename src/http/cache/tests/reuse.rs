//! What stored responses answer.

use super::headers;
use crate::http::cache::reuse::{Candidate, Cause, Grace, Reuse};
use crate::http::cache::{RequestDirectives, ResponseDirectives};

/// A response with these directives, fresh for 60 seconds unless it says otherwise.
fn candidate(age: u64, control: &str) -> Candidate {
    let directives = ResponseDirectives::read(&headers(&format!("Cache-Control: {control}")));
    Candidate {
        age,
        lifetime: directives.s_maxage.or(directives.max_age).unwrap_or(60),
        directives,
    }
}

fn asked(control: &str) -> RequestDirectives {
    RequestDirectives::read(&headers(&format!("Cache-Control: {control}")))
}

#[track_caller]
fn check(age: u64, control: &str, request: &str, expected: Reuse) {
    let found = candidate(age, control).reuse(&asked(request), Grace::default());
    assert_eq!(found, expected, "{age} s, {control}; asked {request}");
}

use Reuse::{Fresh, Revalidate, Stale, StaleWhileRevalidate};

const STALE: Reuse = Revalidate(Cause::Stale);
const REQUEST: Reuse = Revalidate(Cause::Request);

#[test]
fn by_age_alone() {
    check(0, "max-age=60", "x", Fresh);
    check(59, "max-age=60", "x", Fresh);
    check(60, "max-age=60", "x", STALE);
    check(0, "max-age=0", "x", STALE);
    check(0, "no-cache, max-age=60", "x", STALE);
    check(59, "must-revalidate", "x", Fresh);
    check(5, "max-age=60, s-maxage=5", "x", STALE);
    check(30, "max-age=5, s-maxage=60", "x", Fresh);
}

#[test]
fn clients_may_want_more() {
    check(5, "x", "no-cache", REQUEST);
    check(5, "x", "max-age=5", Fresh);
    check(6, "x", "max-age=5", REQUEST);
    check(0, "x", "max-age=0", Fresh);
    check(1, "x", "max-age=0", REQUEST);
    check(50, "x", "min-fresh=10", Fresh);
    check(51, "x", "min-fresh=10", REQUEST);
    check(70, "x", "max-age=100", STALE);
    check(70, "x", "min-fresh=0", STALE);
    check(5, "immutable", "no-cache", REQUEST);
}

#[test]
fn clients_may_take_less() {
    check(70, "x", "max-stale", Stale);
    check(70, "x", "max-stale=10", Stale);
    check(71, "x", "max-stale=10", STALE);
    check(6, "x", "max-age=5, max-stale=1", Stale);
    check(7, "x", "max-age=5, max-stale=1", REQUEST);
    check(70, "x", "max-stale, min-fresh=1", STALE);
    check(70, "must-revalidate", "max-stale", STALE);
    check(70, "proxy-revalidate", "max-stale", STALE);
    check(70, "s-maxage=60", "max-stale", STALE);
    check(5, "no-cache", "max-stale", STALE);
    check(5, "x", "no-cache, max-stale", REQUEST);
}

#[test]
fn stale_while_revalidate() {
    let swr = "max-age=60, stale-while-revalidate=10";
    check(59, swr, "x", Fresh);
    check(60, swr, "x", StaleWhileRevalidate);
    check(69, swr, "x", StaleWhileRevalidate);
    check(70, swr, "x", STALE);
    check(65, swr, "no-cache", REQUEST);
    check(65, swr, "max-age=100", StaleWhileRevalidate);
    check(65, swr, "max-age=10", STALE);
    check(65, swr, "min-fresh=1", STALE);
    check(
        65,
        "s-maxage=60, stale-while-revalidate=10",
        "x",
        StaleWhileRevalidate,
    );
    check(65, "must-revalidate, stale-while-revalidate=10", "x", STALE);
    check(
        65,
        "proxy-revalidate, stale-while-revalidate=10",
        "x",
        STALE,
    );
    check(65, "stale-while-revalidate=x", "x", STALE);
}

#[test]
fn what_operators_allow() {
    let grace = Grace {
        while_revalidate: 10,
        if_error: 10,
    };
    let reuse = |control| candidate(65, control).reuse(&asked("x"), grace);
    assert_eq!(reuse("x"), StaleWhileRevalidate);
    assert_eq!(reuse("stale-while-revalidate=0"), STALE);
    assert_eq!(reuse("must-revalidate"), STALE);
    assert_eq!(reuse("s-maxage=60"), STALE);
    let answers = |control| candidate(65, control).answers_error(&asked("x"), grace);
    assert!(answers("x"));
    assert!(!answers("stale-if-error=0"));
    assert!(!answers("must-revalidate"));
    assert!(!answers("s-maxage=60"));
}

#[test]
fn stale_if_error() {
    #[track_caller]
    fn check(age: u64, control: &str, request: &str, expected: bool) {
        let found = candidate(age, control).answers_error(&asked(request), Grace::default());
        assert_eq!(found, expected, "{age} s, {control}; asked {request}");
    }
    check(65, "max-age=60", "x", false);
    check(65, "max-age=60, stale-if-error=10", "x", true);
    check(69, "max-age=60, stale-if-error=10", "x", true);
    check(70, "max-age=60, stale-if-error=10", "x", false);
    check(65, "s-maxage=60, stale-if-error=10", "x", true);
    check(65, "must-revalidate, stale-if-error=10", "x", false);
    check(65, "proxy-revalidate, stale-if-error=10", "x", false);
    check(65, "no-cache, stale-if-error=10", "x", false);
    check(65, "x", "stale-if-error=10", true);
    check(65, "s-maxage=60", "stale-if-error=10", false);
    // It was asked about only because the client wanted so.
    check(5, "max-age=60", "no-cache", true);
    check(5, "no-cache", "x", false);
}
