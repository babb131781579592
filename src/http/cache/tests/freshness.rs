//! Lifetimes and ages.

use super::{NOW, headers};
use crate::http::StatusCode;
use crate::http::cache::freshness::{Lifetime, Policy, current_age, initial_age, lifetime};
use crate::http::cache::{ResponseDirectives, SECONDS_MAX};

const DATE: &str = "Date: Tue, 24 Nov 2026 12:00:00 GMT";

/// What a response of this status says of its lifetime, under a policy.
fn of(status: u16, fields: &str, policy: Policy) -> Lifetime {
    let headers = headers(fields);
    let directives = ResponseDirectives::read(&headers);
    let status = StatusCode::new(status).unwrap();
    lifetime(status, &headers, &directives, NOW, policy)
}

#[track_caller]
fn explicit(fields: &str, seconds: u64) {
    let expected = Lifetime {
        seconds,
        explicit: true,
    };
    assert_eq!(of(200, fields, Policy::default()), expected, "{fields}");
}

#[track_caller]
fn guessed(status: u16, fields: &str, seconds: u64) {
    let policy = Policy {
        heuristic_max: 86_400,
        default_lifetime: 7,
    };
    let expected = Lifetime {
        seconds,
        explicit: false,
    };
    assert_eq!(of(status, fields, policy), expected, "{status} {fields}");
}

#[test]
fn what_is_said() {
    explicit("Cache-Control: max-age=60", 60);
    explicit("Cache-Control: max-age=60, s-maxage=5", 5);
    explicit("Cache-Control: s-maxage=600, max-age=5", 600);
    explicit(
        "Cache-Control: max-age=0\nExpires: Tue, 24 Nov 2026 13:00:00 GMT",
        0,
    );
    explicit(
        "Cache-Control: max-age=60\nExpires: Mon, 01 Jan 1990 00:00:00 GMT",
        60,
    );
    explicit(
        &format!("{DATE}\nExpires: Tue, 24 Nov 2026 12:10:00 GMT"),
        600,
    );
    explicit("Expires: Tue, 24 Nov 2026 12:10:00 GMT", 600);
    explicit("Expires: Tuesday, 24-Nov-26 12:10:00 GMT", 600);
    explicit("Expires: Tue Nov 24 12:10:00 2026", 600);
    // Counted from the date of the origin, not from our clock.
    explicit(
        "Date: Tue, 24 Nov 2026 11:00:00 GMT\nExpires: Tue, 24 Nov 2026 12:10:00 GMT",
        4200,
    );
    explicit(&format!("{DATE}\nExpires: {}", &DATE[6..]), 0);
    for past in ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT", "tomorrow", ""] {
        explicit(&format!("{DATE}\nExpires: {past}"), 0);
    }
    explicit(
        "Expires: Tue, 24 Nov 2026 12:10:00 GMT\nExpires: Tue, 24 Nov 2026 12:10:00 GMT",
        0,
    );
    explicit("Expires: Fri, 31 Dec 9999 23:59:59 GMT", SECONDS_MAX);
    explicit(
        "Cache-Control: max-age=x\nExpires: Tue, 24 Nov 2026 12:10:00 GMT",
        0,
    );
}

#[test]
fn what_is_guessed() {
    let an_hour_ago = format!("{DATE}\nLast-Modified: Tue, 24 Nov 2026 11:00:00 GMT");
    guessed(200, &an_hour_ago, 360);
    guessed(404, &an_hour_ago, 360);
    guessed(204, &an_hour_ago, 360);
    guessed(301, &an_hour_ago, 360);
    guessed(308, &an_hour_ago, 360);
    guessed(410, &an_hour_ago, 360);
    guessed(501, &an_hour_ago, 360);
    guessed(302, &an_hour_ago, 0);
    guessed(307, &an_hour_ago, 0);
    guessed(403, &an_hour_ago, 0);
    guessed(500, &an_hour_ago, 0);
    guessed(503, &an_hour_ago, 0);
    guessed(302, &format!("{an_hour_ago}\nCache-Control: public"), 360);
    guessed(
        200,
        &format!("{DATE}\nLast-Modified: Mon, 01 Jan 1990 00:00:00 GMT"),
        86_400,
    );
    guessed(
        200,
        &format!("{DATE}\nLast-Modified: Wed, 25 Nov 2026 00:00:00 GMT"),
        0,
    );
    guessed(200, DATE, 7);
    guessed(503, DATE, 0);
    assert_eq!(of(200, &an_hour_ago, Policy::default()).seconds, 0);
}

#[test]
fn ages() {
    #[track_caller]
    fn check(fields: &str, requested: u64, expected: u64) {
        assert_eq!(
            initial_age(&headers(fields), requested, NOW),
            expected,
            "{fields}"
        );
    }
    check("", NOW, 0);
    check("", NOW - 3, 3);
    check("Age: 10", NOW, 10);
    check("Age: 10", NOW - 3, 13);
    check("Age: 10\nDate: Tue, 24 Nov 2026 11:59:00 GMT", NOW, 60);
    check("Age: 100\nDate: Tue, 24 Nov 2026 11:59:00 GMT", NOW, 100);
    // A clock that is ahead makes nothing younger.
    check("Date: Tue, 24 Nov 2026 13:00:00 GMT", NOW, 0);
    check("Age: 10, 20", NOW, 10);
    check("Age: 10\nAge: 20", NOW, 10);
    for broken in ["-1", "a", "1.5", "", "a, 20"] {
        check(&format!("Age: {broken}"), NOW, 0);
    }
    check("Age: 99999999999", NOW, SECONDS_MAX);
    check("Date: nonsense", NOW, 0);
    assert_eq!(current_age(10, 5), 15);
    assert_eq!(current_age(SECONDS_MAX, 5), SECONDS_MAX);
}
