//! Request heads, right and wrong, whole and in pieces.

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    request_line: 40,
    headers: 60,
    header_count: 3,
};

/// What comes of the bytes at once, which must be what comes of them one by one.
fn parse(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>, ParseError> {
    let (mut parser, mut head) = (RequestParser::default(), RequestHead::default());
    let whole = parser.parse(bytes, &LIMITS, &mut head);
    let (mut parser, mut slow) = (RequestParser::default(), RequestHead::default());
    let single = (0..=bytes.len())
        .map(|end| parser.parse(&bytes[..end], &LIMITS, &mut slow))
        .find(|outcome| !matches!(outcome, Ok(None)))
        .unwrap_or(Ok(None));
    let shown = String::from_utf8_lossy(bytes);
    assert_eq!(whole, single, "{shown}");
    if let Ok(Some(_)) = whole {
        assert!(head.headers.iter().eq(slow.headers.iter()), "{shown}");
    }
    whole.map(|length| length.map(|length| (length, head)))
}

#[test]
fn heads_are_read() {
    let check = |bytes: &str, method, target, version, fields: &[(&str, &str)]| {
        let (length, head) = parse(format!("{bytes}rest").as_bytes()).unwrap().unwrap();
        assert_eq!(length, bytes.len(), "{bytes}");
        assert_eq!(head.method.as_str(), method);
        assert_eq!(head.target.raw(), target);
        assert_eq!(head.version, version);
        let read = head.headers.iter();
        assert!(
            read.eq(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))),
            "{bytes}"
        );
    };
    let v11 = Version::Http11;
    check(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET",
        "/",
        v11,
        &[("Host", "a")],
    );
    check(
        "GET / HTTP/1.7\r\nhost:\r\n\r\n",
        "GET",
        "/",
        v11,
        &[("host", "")],
    );
    check(
        "\r\n\r\n\r\n\r\nX / HTTP/1.0\r\n\r\n",
        "X",
        "/",
        Version::Http10,
        &[],
    );
    check(
        "POST /a HTTP/1.1\r\nHost:a\r\nA: \t b\tc \t\r\nB:\u{e4}: \r\n\r\n",
        "POST",
        "/a",
        v11,
        &[("Host", "a"), ("A", "b\tc"), ("B", "\u{e4}:")],
    );
    check(
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS",
        "*",
        v11,
        &[("Host", "a")],
    );
    check(
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT",
        "a:1",
        v11,
        &[("Host", "a")],
    );
}

#[test]
fn what_is_not_whole_waits() {
    for bytes in [
        "",
        "\r",
        "\r\n",
        "GET",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "X / HT",
    ] {
        assert!(matches!(parse(bytes.as_bytes()), Ok(None)), "{bytes}");
    }
}

#[test]
fn first_lines_are_refused() {
    use ParseError::{LineEnd, Method, StartLine, Target, TargetTooLong, Version};
    let check = |line: &str, error| {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(parse(bytes.as_bytes()).err(), Some(error), "{line}");
    };
    for line in [
        "GET /",
        "GET",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "GET / http/1.1",
    ] {
        check(line, StartLine);
    }
    check("GET / HTTP/1.10", StartLine);
    check("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", StartLine);
    for line in [
        "\x16\x03\x01",
        " GET / HTTP/1.1",
        "G\t / HTTP/1.1",
        "G(T / HTTP/1.1",
    ] {
        check(line, Method);
    }
    for line in [
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:1 HTTP/1.1",
        "CONNECT / HTTP/1.1",
    ] {
        check(line, Target);
    }
    check("PRI * HTTP/2.0", Version);
    check("GET /a\rb HTTP/1.1", LineEnd);
    check("GET / HTTP/1.1\n", LineEnd);
    check(&format!("GET /{} HTTP/1.1", "a".repeat(27)), TargetTooLong);
    check(
        &format!("GET /{}\n HTTP/1.1", "a".repeat(40)),
        TargetTooLong,
    );
}

#[test]
fn fields_are_refused() {
    use ParseError::{
        FieldName, FieldValue, FieldsTooLarge, Fold, HostInvalid, HostMissing, HostRepeated,
        LineEnd, NoColon, TooManyFields,
    };
    let check = |fields: &str, error| {
        let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        assert_eq!(parse(bytes.as_bytes()).err(), Some(error), "{fields}");
    };
    check(" a: b", Fold);
    check("Host: a\r\n\tb", Fold);
    check("a", NoColon);
    for name in ["a b", "a : b", ": b", "a b: c", "\u{e4}: b", "a\0: b"] {
        check(name, FieldName);
    }
    check("a: b\x7f", FieldValue);
    check("a: b\0c", FieldValue);
    for line in ["a: b\nc: d", "a: b\rc: d", "a: b\r\r"] {
        check(line, LineEnd);
    }
    check("a: b", HostMissing);
    check("Host: a\r\nhost: a", HostRepeated);
    check("Host: a b", HostInvalid);
    check("Host: a\r\na:\r\na:\r\na:", TooManyFields);
    check(&format!("Host: a\r\na: {}", "b".repeat(60)), FieldsTooLarge);
}

#[test]
fn limits_are_exact() {
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(26));
    assert!(matches!(parse(line.as_bytes()), Ok(Some(_))));
    let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(52));
    assert!(matches!(parse(fields.as_bytes()), Ok(Some(_))));
    let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(53));
    assert_eq!(
        parse(fields.as_bytes()).err(),
        Some(ParseError::FieldsTooLarge)
    );
}
