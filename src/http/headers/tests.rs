//! What a list of fields keeps, finds and sends.

use super::*;
use crate::http::name::{CONNECTION, CONTENT_TYPE, ETAG, HOST, SET_COOKIE, VARY};

fn custom() -> HeaderName {
    HeaderName::from_bytes(b"X-Own").unwrap()
}

#[test]
fn order_and_spelling_are_kept() {
    let mut headers = Headers::new();
    headers.append_parsed(b"hOsT", b"a");
    headers.append(&custom(), "1");
    headers.append_parsed(b"x-OWN", b"2");
    let all: Vec<_> = headers.iter().collect();
    assert_eq!(
        all,
        [
            (&b"hOsT"[..], &b"a"[..]),
            (b"X-Own", b"1"),
            (b"x-OWN", b"2")
        ]
    );
    assert_eq!(headers.get(&HOST), Some(&b"a"[..]));
    assert_eq!(headers.get_all(&custom()).collect::<Vec<_>>(), [b"1", b"2"]);
}

#[test]
fn set_replaces_all_in_place_of_the_first() {
    let mut headers = Headers::new();
    headers.append(&VARY, "a");
    headers.append(&HOST, "h");
    headers.append(&VARY, "b");
    headers.set(&VARY, "c");
    let all: Vec<_> = headers.iter().map(|(_, value)| value).collect();
    assert_eq!(all, [b"c", b"h"]);
    assert!(headers.remove(&VARY));
    assert!(!headers.remove(&VARY));
    assert_eq!(headers.len(), 1);
}

#[test]
fn a_member_is_added_once_and_lines_are_joined() {
    let mut headers = Headers::new();
    headers.add_member(&VARY, "Origin");
    assert_eq!(headers.get(&VARY), Some(&b"Origin"[..]));
    headers.append(&VARY, "a,, b");
    headers.add_member(&VARY, "origin");
    assert_eq!(headers.get_all(&VARY).count(), 2);
    headers.add_member(&VARY, "c");
    let all: Vec<_> = headers.get_all(&VARY).collect();
    assert_eq!(all, [b"Origin, a, b, c"]);
    headers.set(&VARY, "*");
    headers.add_member(&VARY, "d");
    assert_eq!(headers.get(&VARY), Some(&b"*"[..]));
}

#[test]
fn the_buffer_is_the_lines_until_it_is_edited() {
    const NAMES: NameSet = NameSet::of(&[&HOST, &VARY]);
    let mut headers = Headers::with_capacity(2, 0);
    headers.append(&ETAG, "a\n");
    headers.append_parsed(b"x-OWN", b"");
    let lines = &b"ETag: a \r\nx-OWN: \r\n"[..];
    assert_eq!(headers.lines_without(NAMES), Some(lines));
    let mut named = headers.clone();
    named.append_parsed(b"vARY", b"*");
    assert_eq!(named.lines_without(NAMES), None);
    let mut edited = headers.clone();
    edited.set(&ETAG, "b");
    assert_eq!(edited.lines_without(NAMES), None);
    assert!(edited.remove(&custom()));
    assert_eq!(edited.lines_without(NAMES), None);
    assert_eq!(edited.get(&ETAG), Some(&b"b"[..]));
    edited.clear();
    assert_eq!(edited.lines_without(NAMES), Some(&b""[..]));
    headers.retain(|_, _| true);
    assert!(!headers.remove(&HOST));
    assert_eq!(headers.lines_without(NAMES), Some(lines));
}

#[track_caller]
fn check_lines(headers: &Headers, without: NameSet, lines: &str) {
    assert_eq!(headers.lines_without(without), Some(lines.as_bytes()));
    let mut written = Vec::new();
    for (name, value) in headers.iter() {
        written.extend([name, b": ", value, b"\r\n"].concat());
    }
    assert_eq!(String::from_utf8_lossy(&written), lines);
}

#[test]
fn the_buffer_stays_the_lines_when_some_go() {
    const NAMES: NameSet = NameSet::of(&[&HOST, &VARY]);
    let mut headers = Headers::new();
    for (name, value) in [
        ("Vary", "v"),
        ("a", "1"),
        ("HOST", ""),
        ("b", "2"),
        ("a", "3"),
    ] {
        headers.append_parsed(name.as_bytes(), value.as_bytes());
    }
    assert_eq!(headers.lines_without(NAMES), None);
    headers.remove_all(NAMES);
    check_lines(&headers, NAMES, "a: 1\r\nb: 2\r\na: 3\r\n");
    assert!(!headers.contains(&HOST));
    headers.append(&ETAG, "e");
    headers.retain(|name, value| name != b"a" || value == b"3");
    check_lines(&headers, NAMES, "b: 2\r\na: 3\r\nETag: e\r\n");
    assert!(headers.remove(&HeaderName::from_bytes(b"B").unwrap()));
    check_lines(&headers, NAMES, "a: 3\r\nETag: e\r\n");
    assert_eq!(headers.get(&ETAG), Some(&b"e"[..]));
    headers.retain(|_, _| false);
    check_lines(&headers, NAMES, "");
}

#[test]
fn a_value_cannot_end_its_line() {
    let mut headers = Headers::new();
    headers.append(&ETAG, "a\r\nSet-Cookie: x\0");
    assert_eq!(headers.get(&ETAG), Some(&b"a  Set-Cookie: x "[..]));
    assert!(!headers.contains(&SET_COOKIE));
}

#[test]
fn a_list_goes_on_over_the_lines_of_its_field() {
    let mut headers = Headers::new();
    headers.append(&CONNECTION, " keep-alive ,, Upgrade");
    headers.append(&CONNECTION, "c");
    let members: Vec<_> = headers.list(&CONNECTION).collect();
    assert_eq!(members, [&b"keep-alive"[..], b"Upgrade", b"c"]);
    assert!(headers.has_token(&CONNECTION, "upgrade"));
    assert!(!headers.has_token(&CONNECTION, "keep"));
    assert!(!headers.contains(&CONTENT_TYPE));
}

#[test]
fn to_move_them_is_to_move_a_cache_line() {
    assert_eq!(size_of::<Headers>(), 64);
}
