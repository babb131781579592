//! What browsers are told, and what they are not.

use super::*;
use crate::exchange::testing::TestRequest;
use crate::http::Headers;
use crate::middleware::tests::{build, problems};

const LISTED: &str = "allow_origins = ['https://a.com', 'https://*.b.com']\n\
                      allow_origin_regex = ['https://pr-[0-9]+\\.c\\.dev']\n\
                      expose_headers = ['X-Request-ID', 'ETag']\nallow_credentials = true";

/// The fields of CORS and Vary, one a line.
fn shown(headers: &Headers) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            let name = name.replace("Access-Control-", "");
            format!("{name}: {}", String::from_utf8_lossy(value))
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn get(origins: &[&str]) -> TestRequest {
    origins
        .iter()
        .fold(TestRequest::get("/"), |request, origin| {
            request.header("Origin", origin)
        })
}

/// What stands in the response to a plain request.
#[track_caller]
fn check(settings: &str, origins: &[&str], expected: &[&str]) {
    let cors = build(&KIND, settings);
    let mut request = get(origins);
    let mut x = request.exchange();
    assert!(matches!(cors.on_request(&mut x), Flow::Continue));
    let mut response = Response::new(StatusCode::OK);
    cors.on_response(&mut x, &mut response);
    assert_eq!(shown(&response.headers), expected.join("\n"));
}

#[test]
fn every_origin_by_default() {
    check("", &[], &["Allow-Origin: *"]);
    check("", &["https://a.com"], &["Allow-Origin: *"]);
}

#[test]
fn listed_origins() {
    let allowed = |origin: &str| {
        [
            "Allow-Credentials: true".to_owned(),
            format!("Allow-Origin: {origin}"),
            "Expose-Headers: X-Request-ID, ETag".to_owned(),
            "Vary: Origin".to_owned(),
        ]
    };
    for origin in ["https://a.com", "https://x.y.b.com", "https://pr-12.c.dev"] {
        let expected = allowed(origin);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(LISTED, &[origin], &expected);
    }
    for origin in [
        "http://a.com",
        "https://b.com",
        "https://pr-12.c.dev.evil.com",
        "https://evil.com/https://pr-12.c.dev",
        "null",
        "",
    ] {
        check(LISTED, &[origin], &["Vary: Origin"]);
    }
    check(LISTED, &[], &["Vary: Origin"]);
    check(
        LISTED,
        &["https://a.com", "https://a.com"],
        &["Vary: Origin"],
    );
}

#[test]
fn what_stands_behind_does_not_decide() {
    let cors = build(&KIND, LISTED);
    let mut request = get(&["https://evil.com"]);
    let mut x = request.exchange();
    let mut response = Response::new(StatusCode::OK)
        .with(&name::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .with(&name::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")
        .with(&name::VARY, "Accept");
    cors.on_response(&mut x, &mut response);
    assert_eq!(shown(&response.headers), "Vary: Accept, Origin");
}

/// What a preflight is answered with; nothing if it is passed on.
fn preflight(settings: &str, request: TestRequest) -> Option<String> {
    let mut request = request;
    request.head.method = Method::Options;
    let flow = build(&KIND, settings).on_request(&mut request.exchange());
    match flow {
        Flow::Respond(response) => {
            assert_eq!(response.status, StatusCode::NO_CONTENT);
            Some(shown(&response.headers))
        }
        Flow::Continue => None,
        Flow::Wait(_) => panic!("it waits for nobody"),
    }
}

#[track_caller]
fn check_preflight(settings: &str, origin: &str, asked: [&str; 2], expected: &[&str]) {
    let mut request = get(&[origin]).header("Access-Control-Request-Method", asked[0]);
    if !asked[1].is_empty() {
        request = request.header("Access-Control-Request-Headers", asked[1]);
    }
    let found = preflight(settings, request);
    assert_eq!(found.as_deref(), Some(expected.join("\n").as_str()));
}

#[test]
fn preflights() {
    check_preflight(
        "",
        "https://a.com",
        ["PUT", "x-own"],
        &[
            "Allow-Headers: Content-Type, Authorization, X-Requested-With",
            "Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE",
            "Allow-Origin: *",
            "Max-Age: 86400",
            "Vary: Origin",
        ],
    );
    check_preflight(
        &format!("{LISTED}\nallow_methods = ['GET']\nallow_headers = []\nmax_age = '10m'"),
        "https://a.com",
        ["PUT", "x-own"],
        &[
            "Allow-Credentials: true",
            "Allow-Methods: GET",
            "Allow-Origin: https://a.com",
            "Max-Age: 600",
            "Vary: Origin",
        ],
    );
    check_preflight(LISTED, "https://evil.com", ["GET", ""], &["Vary: Origin"]);
}

#[test]
fn asterisks_grant_what_is_asked_for() {
    let settings = "allow_methods = ['*']\nallow_headers = ['*']";
    let vary = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    check_preflight(
        settings,
        "https://a.com",
        ["PURGE", "x-a, b d,x-c"],
        &[
            "Allow-Headers: x-a, x-c",
            "Allow-Methods: PURGE",
            "Allow-Origin: *",
            "Max-Age: 86400",
            vary,
        ],
    );
    check_preflight(
        settings,
        "https://a.com",
        ["PURGE", ""],
        &[
            "Allow-Methods: PURGE",
            "Allow-Origin: *",
            "Max-Age: 86400",
            vary,
        ],
    );
}

#[test]
fn other_options_are_passed_on() {
    assert_eq!(preflight("", TestRequest::get("/")), None);
    assert_eq!(preflight("", get(&["https://a.com"])), None);
    let no_origin = TestRequest::get("/").header("Access-Control-Request-Method", "GET");
    assert_eq!(preflight("", no_origin), None);
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| {
        let found = problems(&KIND, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    check(
        "allow_credentials = true",
        "every origin is allowed, and with credentials",
    );
    check(
        "allow_origins = ['https://a.com', '*']\nallow_credentials = true",
        "every origin is allowed, and with credentials",
    );
    check("allow_origins = ['a.com']", "`a.com` is not an origin");
    check("allow_origin_regex = ['(']", "is not a regular expression");
    check("allow_methods = ['get']", "methods are written in capitals");
    check("allow_methods = ['G T']", "`G T` is not a method");
    check(
        "allow_headers = ['a b']",
        "`a b` is not the name of a field",
    );
}
