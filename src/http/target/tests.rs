//! What targets are read as, and which are refused.

use super::*;

fn parsed(raw: &str) -> Result<Target, TargetError> {
    let mut target = Target::default();
    target.parse(raw.as_bytes()).map(|()| target)
}

#[test]
fn paths_are_decoded_and_normalised() {
    let check = |raw: &str, path: &str, upstream: &str, separator: bool| {
        let target = parsed(raw).unwrap();
        assert_eq!(String::from_utf8_lossy(target.path()), path, "{raw}");
        assert_eq!(target.upstream_path(), upstream, "{raw}");
        assert_eq!(target.has_encoded_separator(), separator, "{raw}");
        assert_eq!(
            target.was_normalised(),
            target.raw_path() != upstream,
            "{raw}"
        );
    };
    check("/", "/", "/", false);
    check("/a/b.c", "/a/b.c", "/a/b.c", false);
    check("/a%20b/%C3%A4", "/a b/\u{e4}", "/a%20b/%C3%A4", false);
    check("/a/./b/../c", "/a/c", "/a/c", false);
    check("/a/%2e%2E/c%20", "/c ", "/c%20", false);
    check("/a/.%2e", "/", "/", false);
    check("/a/b/..", "/a/", "/a/", false);
    check("/a/.", "/a/", "/a/", false);
    check("//evil//x/", "/evil/x/", "/evil/x/", false);
    check("/a/...", "/a/...", "/a/...", false);
    check("/.well-known", "/.well-known", "/.well-known", false);
    check("/a%2F..%5cb", "/a%2F..%5Cb", "/a%2F..%5cb", true);
    check("/a%00%0a%7f", "/a%00%0A%7F", "/a%00%0a%7f", true);
    check("/%252F/./x", "/%2F/x", "/%252F/x", false);
    check("/[x]?a", "/[x]", "/[x]", false);
}

#[test]
fn the_four_forms_are_told_apart() {
    let check = |raw: &str, form, authority: Option<&str>, path: &str, query: Option<&str>| {
        let target = parsed(raw).unwrap();
        assert_eq!(target.form(), form, "{raw}");
        assert_eq!(target.authority(), authority, "{raw}");
        assert_eq!(target.path(), path.as_bytes(), "{raw}");
        assert_eq!(target.query(), query, "{raw}");
        assert_eq!(target.raw(), raw);
    };
    check("/a?b=/?c", Form::Origin, None, "/a", Some("b=/?c"));
    check("/a?", Form::Origin, None, "/a", Some(""));
    check(
        "/a?{\"x\"|<\\`^>}%",
        Form::Origin,
        None,
        "/a",
        Some("{\"x\"|<\\`^>}%"),
    );
    check("/x://y", Form::Origin, None, "/x:/y", None);
    check(
        "HTTP://h:80/a/../b?q",
        Form::Absolute,
        Some("h:80"),
        "/b",
        Some("q"),
    );
    check("https://[::1]", Form::Absolute, Some("[::1]"), "/", None);
    check("http://h?q", Form::Absolute, Some("h"), "/", Some("q"));
    check("h:443", Form::Authority, Some("h:443"), "", None);
    check("[::1]:443", Form::Authority, Some("[::1]:443"), "", None);
    check("*", Form::Asterisk, None, "", None);
    assert_eq!(parsed("http://h").unwrap().upstream_path(), "/");
    assert_eq!(parsed("HTTPS://h").unwrap().scheme(), Some("HTTPS"));
}

#[test]
fn what_is_no_target_is_refused() {
    let check = |raw: &str, error| assert_eq!(parsed(raw).err(), Some(error), "{raw}");
    for raw in [
        "", "a", "a/b", "ftp://h/", "h:", "h:x", "h:99999", "u@h:1", ":80", "**",
    ] {
        check(raw, TargetError::Form);
    }
    for raw in [
        "http://",
        "http:///a",
        "http://:80/",
        "http://u@h/",
        "http://[::g]/",
    ] {
        check(raw, TargetError::Authority);
    }
    for raw in [
        "/a b", "/a#b", "/?a#b", "/<", "/\\", "/`", "/{", "/|", "/^", "/\u{e4}", "/\x7f",
    ] {
        check(raw, TargetError::Byte);
    }
    for raw in ["/%", "/%2", "/%zz", "/a/%+1"] {
        check(raw, TargetError::PercentEncoding);
    }
    for raw in ["/..", "/../a", "/a/../..", "/%2e%2e/", "/a//../.."] {
        check(raw, TargetError::AboveRoot);
    }
}

#[test]
fn a_rewrite_keeps_the_authority_and_fails_whole() {
    let mut target = parsed("http://h/a?b").unwrap();
    target.rewrite("/c/../d?e=1").unwrap();
    assert_eq!(target.authority(), Some("h"));
    assert_eq!(target.path(), b"/d");
    assert_eq!(target.raw(), "http://h/a?b");
    assert_eq!(target.query_value("e").as_deref(), Some("1"));
    assert_eq!(target.query_value("b"), None);
    assert_eq!(target.rewrite("/.."), Err(TargetError::AboveRoot));
    assert_eq!(target.rewrite("x"), Err(TargetError::Form));
    assert_eq!(target.path(), b"/d");
    target.rewrite("/f").unwrap();
    assert_eq!((target.raw(), target.raw_path()), ("http://h/a?b", "/f"));
    target.parse(b"/g").unwrap();
    assert_eq!(target.raw(), "/g");
}

#[test]
fn a_used_target_forgets_the_one_before() {
    let mut target = parsed("http://h/%2F//?q").unwrap();
    target.parse(b"/x").unwrap();
    assert_eq!((target.raw(), target.path()), ("/x", &b"/x"[..]));
    assert_eq!((target.query(), target.authority()), (None, None));
    assert!(!target.was_normalised() && !target.has_encoded_separator());
}
