//! Asking, and what answers mean.

use super::headers;
use crate::http::Headers;
use crate::http::cache::validation::{
    ask_about, can_be_asked_about, confirms, freshen, head_agrees,
};

fn text(headers: &Headers) -> String {
    let lines = headers.iter().map(|(name, value)| {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        format!("{name}: {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn conditions() {
    #[track_caller]
    fn check(stored: &str, expected: &str) {
        let stored = headers(stored);
        let mut request = headers("Accept: x");
        ask_about(&stored, &mut request);
        assert_eq!(text(&request), format!("Accept: x{expected}"));
        assert_eq!(can_be_asked_about(&stored), !expected.is_empty());
    }
    check("X: y", "");
    check("ETag: \"a\"", "\nIf-None-Match: \"a\"");
    check("ETag: W/\"a\"", "\nIf-None-Match: W/\"a\"");
    check("Last-Modified: then", "\nIf-Modified-Since: then");
    check(
        "Last-Modified: then\nETag: \"a\"",
        "\nIf-None-Match: \"a\"\nIf-Modified-Since: then",
    );
}

#[test]
fn what_a_304_confirms() {
    #[track_caller]
    fn check(answer: &str, stored: &str, expected: bool) {
        let found = confirms(&headers(answer), &headers(stored));
        assert_eq!(found, expected, "{answer} / {stored}");
    }
    check("", "ETag: \"a\"", true);
    check("ETag: \"a\"", "ETag: \"a\"", true);
    check("ETag: \"b\"", "ETag: \"a\"", false);
    check("ETag: W/\"a\"", "ETag: \"a\"", true);
    check("ETag: \"a\"", "ETag: W/\"a\"", true);
    check("ETag: W/\"b\"", "ETag: W/\"a\"", false);
    check("ETag: \"a\"", "Last-Modified: x", false);
    check("Last-Modified: x", "Last-Modified: x", true);
    check("Last-Modified: y", "Last-Modified: x", false);
    check("Last-Modified: x", "ETag: \"a\"", false);
}

#[test]
fn what_an_answer_to_head_confirms() {
    #[track_caller]
    fn check(head: &str, length: Option<u64>, expected: bool) {
        let stored = headers("ETag: \"a\"\nLast-Modified: x");
        let found = head_agrees(&headers(head), length, &stored, 5);
        assert_eq!(found, expected, "{head} {length:?}");
    }
    check("", None, true);
    check("", Some(5), true);
    check("", Some(6), false);
    check("ETag: \"a\"", Some(5), true);
    check("ETag: \"b\"", Some(5), false);
    check("Last-Modified: y", None, false);
}

#[test]
fn fields_of_a_304_are_taken_over() {
    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let mut stored = headers("ETag: \"a\"\nX: 1\nX: 2\nAge: 9\nContent-Type: t/p");
        freshen(&mut stored, &headers(answer));
        assert_eq!(text(&stored), expected);
    }
    check("", "ETag: \"a\"\nX: 1\nX: 2\nContent-Type: t/p");
    check("X: 3", "ETag: \"a\"\nX: 3\nContent-Type: t/p");
    check("X: 3\nX: 4", "ETag: \"a\"\nX: 3\nContent-Type: t/p\nX: 4");
    check("Y: 5", "ETag: \"a\"\nX: 1\nX: 2\nContent-Type: t/p\nY: 5");
    check(
        "Content-Type: q/r",
        "ETag: \"a\"\nX: 1\nX: 2\nContent-Type: q/r",
    );
    check(
        "Age: 3",
        "ETag: \"a\"\nX: 1\nX: 2\nAge: 3\nContent-Type: t/p",
    );
    // What tells of the stored bytes stays.
    for kept in [
        "ETag: W/\"a\"",
        "Content-Encoding: gzip",
        "Content-Length: 7",
        "Content-MD5: x",
        "Content-Range: bytes 0-1/2",
        "Transfer-Encoding: chunked",
    ] {
        check(kept, "ETag: \"a\"\nX: 1\nX: 2\nContent-Type: t/p");
    }
}
