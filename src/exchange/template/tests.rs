//! Templates read and written, and every variable's value.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::*;
use crate::exchange::testing::TestRequest;
use crate::exchange::variable::{KNOWN, millis};
use crate::exchange::{FailedTry, UpstreamTrail, Why};
use crate::http::StatusCode;

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = text.parse::<Template>().unwrap_err().to_string();
    assert_eq!(error, expected);
}

#[test]
fn mistakes_name_the_way_out() {
    check_error(
        "{client.pi}",
        "there is no variable `{client.pi}`\ndid you mean `{client.ip}`?",
    );
    check_error(
        "{path}",
        "there is no variable `{path}`\na name follows the dot: `{path.name}`",
    );
    check_error(
        "{header.a b}",
        "there is no variable `{header.a b}`\n`a b` cannot be the name of a field",
    );
    check_error(
        "a{b",
        "a `{` opens a variable that is never closed\n\
         close it with `}`, or write `{{` for a brace",
    );
    check_error("a}b", "a `}` closes no variable\nwrite `}}` for a brace");
    check_error(
        "{response.status}",
        "`{response.status}` is not known before there is a response\n\
         only what is made for the response can name it",
    );
    check_error(
        "{response.bytes}",
        "`{response.bytes}` is not known before the exchange is over\n\
         only the format of `access_log` can name it",
    );
    let of_response = "{response.status}{upstream.name}".parse::<ResponseTemplate>();
    assert!(of_response.is_ok());
    assert!("{response.bytes}".parse::<ResponseTemplate>().is_err());
    let error = "{zzz}".parse::<Template>().unwrap_err().to_string();
    assert!(error.contains("a brace itself is written twice"), "{error}");
    let long = "a".repeat(TEXT_BYTES_MAX + 1);
    assert!(long.parse::<Template>().is_err());
}

#[test]
fn known_variables_are_sorted_and_found_by_their_names() {
    assert!(KNOWN.is_sorted_by_key(|(name, ..)| *name));
    for (name, variable, about) in KNOWN {
        assert_eq!(Variable::parse(name).as_ref(), Ok(variable));
        assert!(!about.is_empty());
    }
}

#[track_caller]
fn check(template: &str, escape: Escape, expected: &str) {
    let template: Template = template.parse().unwrap();
    let mut request = TestRequest::get("/a%20b/c?x=1%202&y=%3Cz%3E")
        .header("Host", "Example.com:81")
        .header("X-Own", "o\"wn")
        .header("Cookie", "a=1; session=s=2;b=3");
    let mut x = request.exchange();
    x.route = "here";
    x.params.push("rest", b"a b/../c");
    x.request_id = Some("id-7".into());
    let mut out = Vec::new();
    template.render(&x, escape, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn values_of_a_request() {
    let plain = Escape::Plain;
    check("", plain, "");
    check("a{{b}}c", plain, "a{b}c");
    check("{{{client.ip}}}", plain, "{192.0.2.1}");
    check("{client.ip}:{client.port}", plain, "192.0.2.1:50000");
    check("{connection.peer} {connection.id}", plain, "192.0.2.1 1");
    check("{path.rest}|{path.none}", plain, "a b/../c|");
    check("{query.x}|{query.y}|{query.z}", plain, "1 2|<z>|");
    check("{header.x-own}|{header.none}", plain, "o\"wn|");
    check("{cookie.session}|{cookie.sess}", plain, "s=2|");
    check(
        "{request.method} {request.uri}",
        plain,
        "GET /a%20b/c?x=1%202&y=%3Cz%3E",
    );
    check(
        "{request.path}|{request.query}",
        plain,
        "/a b/c|x=1%202&y=%3Cz%3E",
    );
    check("{request.host}|{request.scheme}", plain, "Example.com|http");
    check("{request.version}|{request.id}", plain, "HTTP/1.1|id-7");
    check("{route.name}|{listener.name}", plain, "here|test");
    check("{server.generation}", plain, "1");
    check("{query.y}", Escape::Html, "&lt;z&gt;");
    check("<b>{query.y}</b>", Escape::Html, "<b>&lt;z&gt;</b>");
    check("\"{header.x-own}\"", Escape::Json, "\"o\\\"wn\"");
}

#[test]
fn times() {
    let template: Template = "{time.rfc3339}|{time.clf}|{time.unix}".parse().unwrap();
    let mut request = TestRequest::get("/");
    let mut out = Vec::new();
    template.render(&request.exchange(), Escape::Plain, &mut out);
    let out = String::from_utf8(out).unwrap();
    let parts: Vec<&str> = out.split('|').collect();
    assert_eq!(parts[0].len(), 24);
    assert!(parts[0].ends_with('Z'));
    assert!(parts[1].ends_with(" +0000"));
    assert!(parts[2].parse::<u64>().unwrap() > 1_700_000_000);
}

#[track_caller]
fn check_uri(template: &str, expected: &str) {
    let template: Template = template.parse().unwrap();
    let mut request = TestRequest::get("/a%20b?x=1%202&y=/z");
    let mut x = request.exchange();
    x.params.push("rest", b"a b/?#\r\nc");
    let mut out = Vec::new();
    template.render_uri(&x, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn uris() {
    check_uri("/new/{path.rest}", "/new/a%20b/%3F%23%0D%0Ac");
    check_uri(
        "/new?r={path.rest}&y={query.y}",
        "/new?r=a%20b%2F%3F%23%0D%0Ac&y=%2Fz",
    );
    check_uri("/new?{request.query}", "/new?x=1%202&y=/z");
    check_uri("https://h{request.uri}", "https://h/a%20b?x=1%202&y=/z");
}

#[test]
fn what_a_template_tells_of_itself() {
    let template: Template = "/a/{path.b}/{path.c}{client.ip}".parse().unwrap();
    assert_eq!(template.leading_text(), b"/a/");
    assert_eq!(template.as_text(), None);
    assert_eq!(template.captures(), ["b", "c"]);
    assert_eq!(template.variables().count(), 3);
    let text: Template = "a{{".parse().unwrap();
    assert_eq!(text.as_text(), Some(&b"a{"[..]));
    assert_eq!(Template::default().as_text(), Some(&b""[..]));
    assert_eq!(Template::default().leading_text(), b"");
    let mut both = Template::text(b"[");
    both.push("<{client.ip}>".parse().unwrap(), Escape::Html);
    both.push_text(b"]");
    let mut out = Vec::new();
    both.render(&TestRequest::get("/").exchange(), Escape::Html, &mut out);
    assert_eq!(out, b"[&lt;192.0.2.1&gt;]");
}

fn write(_: &Variable, value: Option<&[u8]>, out: &mut Vec<u8>) {
    Escape::Log.write(value.unwrap_or(b"-"), out);
}

fn failed(endpoint: &str, why: Why, status: Option<u16>) -> FailedTry {
    FailedTry {
        endpoint: endpoint.into(),
        why,
        status,
        duration: Duration::from_micros(71),
    }
}

#[track_caller]
fn check_log(template: &str, expected: &str) {
    let template: LogTemplate = template.parse().unwrap();
    let mut request = TestRequest::get("/").header("User-Agent", "a\"b\n");
    let mut x = request.exchange();
    x.upstream = Some(Box::new(UpstreamTrail {
        upstream: "backend".into(),
        endpoint: Some("127.0.0.1:9".into()),
        tries: 2,
        connected: None,
        first_byte: Some(Duration::from_micros(1_500)),
        status: Some(502),
        failures: vec![
            failed("127.0.0.1:8", Why::ConnectRefused, None),
            failed("127.0.0.1:9", Why::RetriedStatus, Some(503)),
        ],
    }));
    let outcome = Outcome {
        status: Some(StatusCode::BAD_GATEWAY),
        body_sent: 7,
        body_received: 3,
        duration: Duration::from_micros(12_071),
        why: Some(Why::UpstreamReset),
    };
    let mut out = Vec::new();
    template.render(&x, &outcome, &mut out, write);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn values_of_an_outcome() {
    check_log("{response.status} {response.bytes}", "502 7");
    check_log("{request.bytes} {response.why}", "3 upstream_reset");
    check_log(
        "{response.duration_ms} {response.duration_us}",
        "12.071 12071",
    );
    check_log("{upstream.name} {upstream.endpoint}", "backend 127.0.0.1:9");
    check_log(
        "{upstream.tries} {upstream.status} {upstream.first_byte_ms}",
        "2 502 1.500",
    );
    check_log(
        "{upstream.failed_tries}",
        "127.0.0.1:8=connect_refused/0.071,127.0.0.1:9=503/0.071",
    );
    check_log("\"{header.user-agent}\"", "\"a\\x22b \"");
    check_log("{request.id} {cookie.x}", "- -");
}

#[test]
fn values_that_are_not_there_are_dashes_in_a_log() {
    let template: LogTemplate = "{response.status} {upstream.name} {upstream.tries} \
                                 {upstream.status} {upstream.first_byte_ms} {response.why} \
                                 {upstream.failed_tries}"
        .parse()
        .unwrap();
    let outcome = Outcome {
        status: None,
        body_sent: 0,
        body_received: 0,
        duration: Duration::ZERO,
        why: None,
    };
    let mut out = Vec::new();
    template.render(&TestRequest::get("/").exchange(), &outcome, &mut out, write);
    assert_eq!(out, b"- - - - - - -");
}

#[test]
fn addresses_and_durations() {
    let shown = |ip: IpAddr| {
        let mut text = Vec::new();
        crate::exchange::variable::ip(ip, |bytes| text.extend_from_slice(bytes));
        assert_eq!(String::from_utf8(text).unwrap(), ip.to_string());
    };
    shown(IpAddr::from([0, 0, 0, 0]));
    shown(IpAddr::from([255, 255, 255, 255]));
    shown(IpAddr::from(Ipv6Addr::LOCALHOST));
    for (duration, expected) in [
        (Duration::ZERO, "0.000"),
        (Duration::from_nanos(71_999), "0.071"),
        (Duration::from_secs(61), "61000.000"),
        (Duration::MAX, "18446744073709551615999.999"),
    ] {
        let mut text = Vec::new();
        millis(duration, |bytes| text.extend_from_slice(bytes));
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
