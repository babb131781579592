//! What patterns accept, refuse and capture.

use super::*;

#[track_caller]
fn check_error(pattern: &str, message: &str) {
    let error = PathPattern::parse(pattern).unwrap_err();
    assert!(error.message.contains(message), "{error}");
    assert!(!error.hint.is_empty());
    assert_eq!(
        error.to_string(),
        format!("{}\n{}", error.message, error.hint)
    );
}

#[track_caller]
fn check_captures(pattern: &PathPattern, path: &str, expected: &[(&str, &str)]) {
    let mut params = Params::default();
    pattern.capture(path.as_bytes(), &mut params);
    let found: Vec<_> = params
        .iter()
        .map(|(name, value)| (name, std::str::from_utf8(value).unwrap()))
        .collect();
    assert_eq!(found, expected, "{pattern} on {path}");
}

#[test]
fn captures_of_segments() {
    let pattern = |text| PathPattern::parse(text).unwrap();
    check_captures(&pattern("/about"), "/about", &[]);
    check_captures(&pattern("/users/:id"), "/users/7", &[("id", "7")]);
    check_captures(&pattern("/users/:id"), "/users/7/", &[("id", "7")]);
    check_captures(
        &pattern("/:a/x/:b/*rest"),
        "/1/x/2/3/4/",
        &[("a", "1"), ("b", "2"), ("rest", "3/4/")],
    );
    check_captures(&pattern("/files/*path"), "/files", &[("path", "")]);
    check_captures(&pattern("/files/*path"), "/files/", &[("path", "")]);
    check_captures(&pattern("/*all"), "/", &[("all", "")]);
    check_captures(&pattern("/files/*"), "/files/a", &[]);
}

#[test]
fn captures_of_expressions() {
    let pattern = PathPattern::regex("^/v(?<version>[0-9]+)/(?<rest>.*)$").unwrap();
    check_captures(&pattern, "/v2/a/b", &[("version", "2"), ("rest", "a/b")]);
    assert_eq!(pattern.names(), ["version", "rest"]);
    assert!(pattern.is_regex());
    let unnamed = PathPattern::regex("^/([0-9]+)").unwrap();
    check_captures(&unnamed, "/7", &[]);
}

#[test]
fn names_and_text() {
    let pattern = PathPattern::parse("/a/:b/*c").unwrap();
    assert_eq!(pattern.names(), ["b", "c"]);
    assert_eq!(pattern.as_str(), "/a/:b/*c");
    assert_eq!(pattern.to_string(), "/a/:b/*c");
    assert!(!pattern.is_regex());
}

#[test]
fn unusual_but_right() {
    for text in [
        "/",
        "/a/",
        "/caf\u{e9} b",
        "/v1/users:batch",
        "/100%",
        "/a%2Fb",
        "/%zz",
        "/%é",
    ] {
        assert!(PathPattern::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn mistakes() {
    check_error("", "does not start with `/`");
    check_error("about", "does not start with `/`");
    check_error("*", "does not start with `/`");
    check_error("/a//b", "empty segment");
    check_error("//", "empty segment");
    check_error("/a/../b", "segment `..`");
    check_error("/a*", "`*` within a segment");
    check_error("/*.php", "`.php` in `/*.php` is not a name");
    check_error("/*a/b", "not the last segment");
    check_error("/*/", "not the last segment");
    check_error("/:", "`` in `/:` is not a name");
    check_error("/:1a", "is not a name");
    check_error("/:a-b", "is not a name");
    check_error("/:a/:a", "captures `a` twice");
    check_error("/:a/*a", "captures `a` twice");
    check_error("/a?b=c", "has a `?`");
    check_error("/a#b", "has a `#`");
    check_error("/caf%C3%A9", "is percent-encoded");
    check_error("/a%2fb", "is percent-encoded");
    check_error("/{id}", "has a brace");
    check_error("/{*rest}", "has a brace");
    check_error("/*.php", "is not a name");
    check_error("^/a", "does not start with `/`");
    check_error("/a\tb", "control character");
    check_error(&"/a".repeat(65), "more than 64 segments");
    check_error(&"/abcdefgh".repeat(250), "longer than 2048 bytes");
    let error = PathPattern::regex("^/(").unwrap_err();
    assert!(error.message.contains("unclosed group"), "{error}");
    assert!(error.hint.contains("docs.rs/regex"), "{error}");
    assert!(PathPattern::regex(&"a".repeat(3000)).is_err());
}

#[track_caller]
fn check_prefix(expression: &str, prefix: &str, depth: usize) {
    let pattern = PathPattern::regex(expression).unwrap();
    let Shape::Regex(regex) = &pattern.shape else {
        panic!("{expression} is an expression");
    };
    assert_eq!(regex.prefix.as_ref(), prefix.as_bytes(), "{expression}");
    assert_eq!(regex.depth, depth, "{expression}");
}

#[test]
fn literal_prefixes_of_expressions() {
    check_prefix("^/users/[0-9]+$", "/users/", 1);
    check_prefix("^/v(?<version>[0-9]+)/", "/v", 0);
    check_prefix("^/a/b/c$", "/a/b/c", 3);
    check_prefix("^/a/b/c", "/a/b/c", 2);
    check_prefix("^/a/$", "/a/", 1);
    check_prefix("^/$", "/", 0);
    check_prefix("^/", "/", 0);
    check_prefix("^", "", 0);
    check_prefix("/a/", "", 0);
    check_prefix("^/a/x?b", "/a/", 1);
    check_prefix("^/a/x{2}", "/a/", 1);
    check_prefix("^/a/b|^/c/", "", 0);
    check_prefix("^/a(/|$)", "", 0);
    check_prefix("^(?i)/a/", "", 0);
    check_prefix(r"^/a\.b/c", "/a.b/c", 1);
    check_prefix(r"^/a\d/c", "/a", 0);
    check_prefix(r"^/a\</c", "/a", 0);
    check_prefix(r"^/a$b", "/a", 0);
    check_prefix("^/é/.", "/é/", 1);
}
