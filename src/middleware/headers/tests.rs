//! What is changed, in which order, and what is refused.

use super::*;
use crate::exchange::testing::TestRequest;
use crate::http::{StatusCode, name};
use crate::middleware::tests::{build, problems};

fn shown(headers: &Headers) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            format!("{name}: {}", String::from_utf8_lossy(value))
        })
        .collect();
    lines.join("\n")
}

/// The request's fields as the handler sees them.
#[track_caller]
fn check_request(settings: &str, fields: &[(&str, &str)], expected: &[&str]) {
    let mut request = TestRequest::get("/a?b=c");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    let mut x = request.exchange();
    let flow = build(&KIND, settings).on_request(&mut x);
    assert!(matches!(flow, Flow::Continue));
    assert_eq!(shown(&x.request.headers), expected.join("\n"));
}

#[test]
fn the_request() {
    check_request("", &[("A", "1")], &["A: 1"]);
    check_request(
        "request.remove = ['x-debug-*', 'Cookie']",
        &[
            ("X-Debug-A", "1"),
            ("X-Deb", "2"),
            ("cookie", "3"),
            ("X-DEBUG-", "4"),
        ],
        &["X-Deb: 2"],
    );
    check_request(
        "request.set = { X-Client = '{client.ip}', A = 'new' }",
        &[("x-client", "spoofed"), ("X-Client", "again"), ("B", "1")],
        &["B: 1", "A: new", "X-Client: 192.0.2.1"],
    );
    check_request(
        "request.default = { A = 'given', B = 'given' }",
        &[("b", "own")],
        &["b: own", "A: given"],
    );
    check_request(
        "request.append = { A = ['1', '2'], B = '{query.b}' }",
        &[("A", "0")],
        &["A: 0", "A: 1", "A: 2", "B: c"],
    );
}

#[test]
fn what_comes_out_empty_is_no_field_and_lets_none_pass() {
    let settings = "request.set = { X-User = '{query.none}' }\n\
                    request.append = { A = '{cookie.none}' }";
    check_request(settings, &[("X-User", "spoofed")], &[]);
}

#[test]
fn values_are_made_before_anything_changes() {
    check_request(
        "request.remove = ['A']\nrequest.set = { B = '{header.A}', C = '{header.B}' }",
        &[("A", "a"), ("B", "b")],
        &["B: a", "C: b"],
    );
}

#[test]
fn values_stay_values() {
    let mut request = TestRequest::get("/?v=a%0d%0aSet-Cookie:%20x");
    let mut x = request.exchange();
    build(&KIND, "request.set = { A = '{query.v}' }").on_request(&mut x);
    assert_eq!(shown(&x.request.headers), "A: a  Set-Cookie: x");
}

/// The response's fields as the client sees them.
#[track_caller]
fn check_response(settings: &str, status: u16, expected: &[&str]) {
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    let mut response = Response::new(StatusCode::new(status).unwrap())
        .with(&name::CACHE_CONTROL, "max-age=60")
        .with(&name::SERVER, "app/1.0");
    build(&KIND, settings).on_response(&mut x, &mut response);
    assert_eq!(shown(&response.headers), expected.join("\n"));
}

#[test]
fn the_response() {
    let untouched = ["Cache-Control: max-age=60", "Server: app/1.0"];
    check_response("", 200, &untouched);
    check_response(
        "response.remove = ['server']\nresponse.default = { Cache-Control = 'no-store', A = '1' }",
        200,
        &["Cache-Control: max-age=60", "A: 1"],
    );
    let made = "status = [404, '5xx']\nresponse.set = { Cache-Control = 'no-store' }\n\
                response.append = { X-Status = '{response.status} {response.reason}' }";
    check_response(made, 200, &untouched);
    check_response(made, 499, &untouched);
    for (status, value) in [(404, "404 Not Found"), (502, "502 Bad Gateway")] {
        let value = format!("X-Status: {value}");
        check_response(
            made,
            status,
            &["Server: app/1.0", "Cache-Control: no-store", &value],
        );
    }
}

#[track_caller]
fn check_problem(text: &str, expected: &str) {
    let found = problems(&KIND, text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(expected), "{found:?}");
}

#[test]
fn mistakes() {
    check_problem(
        "request.set = { 'a b' = 'x' }",
        "`a b` is not a header name",
    );
    check_problem(
        "request.set = { Host = 'x' }",
        "`Host` has chosen the route",
    );
    check_problem(
        "response.remove = ['Content-Length']",
        "written by the server itself",
    );
    check_problem("response.remove = ['*']", "not the start of a header name");
    check_problem("response.set = { A = '' }", "an empty value");
    check_problem("response.set = { A = 1 }", "must be a string");
    check_problem(
        "response.set = { A = \"a\\nb\" }",
        "cannot hold the byte 0x0a",
    );
    check_problem(
        "response.set = { A = '{nope}' }",
        "there is no variable `{nope}`",
    );
    check_problem(
        "request.set = { A = '{response.status}' }",
        "`{response.status}` is not known before there is a response",
    );
    check_problem(
        "response.set = { A = '{response.bytes}' }",
        "`{response.bytes}` is not known before the exchange is over",
    );
    check_problem("status = ['6xx']", "`6xx` is neither a status nor several");
    check_problem(
        "response.set = { A = 'x' }\nresponse.default = { a = 'y' }",
        "`a` is set, so that it has no use for a default",
    );
}
