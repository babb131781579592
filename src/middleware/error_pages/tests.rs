//! Which responses get a page, which page, and what stays.

use std::path::Path;

use super::*;
use crate::build::{BuildContext, CarryOver};
use crate::exchange::testing::TestRequest;
use crate::exchange::{Body, UpstreamTrail, Why};
use crate::http::StatusCode;
use crate::middleware::tests::{build_in, problems};

const SETTINGS: &str = r#"
[pages]
404 = "404.html"
5xx = { json = '{{"e":"{response.reason}","p":"{request.path}"}}', text = "sorry\n" }
503 = { html = "<p>{request.path}</p>", text_file = "503.txt" }
"#;

fn pages(settings: &str) -> Box<dyn Middleware> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("404.html", "<h1>{nothing} here</h1>");
    write("503.txt", "later");
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, Path::new(folder.path()).to_path_buf());
    build_in(&KIND, settings, &mut cx)
}

/// The type and the content that a response goes out with.
fn sent(pages: &dyn Middleware, accept: &str, response: &mut Response) -> (String, String) {
    let mut request = TestRequest::get("/a%22%3Cb").header("Accept", accept);
    let mut x = request.exchange();
    x.request_id = Some("id-1".into());
    pages.on_response(&mut x, response);
    shown(response)
}

fn shown(response: &Response) -> (String, String) {
    let media_type = response.headers.get_str(&name::CONTENT_TYPE);
    let content = match &response.body {
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => String::new(),
    };
    (media_type.unwrap_or_default().to_owned(), content)
}

fn error(code: u16) -> Response {
    Response::error(StatusCode::new(code).unwrap(), Why::FileNone)
}

#[track_caller]
fn check(settings: &str, code: u16, accept: &str, expected: (&str, &str)) {
    let (media_type, content) = sent(&*pages(settings), accept, &mut error(code));
    assert_eq!((media_type.as_str(), content.as_str()), expected, "{code}");
}

#[test]
fn the_closest_page_in_the_form_that_is_wanted() {
    let html = "text/html; charset=utf-8";
    let text = "text/plain; charset=utf-8";
    check(
        SETTINGS,
        404,
        "text/html",
        (html, "<h1>{nothing} here</h1>"),
    );
    check(SETTINGS, 503, "text/html", (html, "<p>/a&quot;&lt;b</p>"));
    check(SETTINGS, 503, "text/plain", (text, "later"));
    check(
        SETTINGS,
        500,
        "*/*",
        (
            "application/json",
            r#"{"e":"Internal Server Error","p":"/a\"<b"}"#,
        ),
    );
    check(SETTINGS, 500, "text/plain", (text, "sorry\n"));
    // Who wants none of them gets what there was.
    let as_it_was = ("application/json", r#"{"error":"Not Found"}"#);
    check(SETTINGS, 404, "application/json", as_it_was);
    check("built_in = false", 404, "text/html", as_it_was);
}

#[test]
fn built_in_pages() {
    check(
        "",
        404,
        "*/*",
        (
            "application/json",
            r#"{"error":"Not Found","status":404,"request_id":"id-1"}"#,
        ),
    );
    check(
        "",
        502,
        "text/plain",
        ("text/plain; charset=utf-8", "502 Bad Gateway\n"),
    );
    let (media_type, content) = sent(&*pages(""), "text/html", &mut error(404));
    assert_eq!(media_type, "text/html; charset=utf-8");
    assert!(content.contains("<h1>404 Not Found</h1>"), "{content}");
    assert!(
        content.contains("<p>id-1</p>") && !content.contains("{{"),
        "{content}"
    );
}

#[test]
fn what_is_not_of_the_content_stays() {
    let mut response = error(405)
        .with(&name::ALLOW, "GET")
        .with(&name::RETRY_AFTER, "9")
        .with(&name::WWW_AUTHENTICATE, "Basic")
        .with(&name::ETAG, "\"x\"")
        .with(&name::CONTENT_ENCODING, "gzip");
    response.head_length = Some(7);
    let (_, content) = sent(&*pages(""), "text/plain", &mut response);
    assert_eq!(content, "405 Method Not Allowed\n");
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    let headers = &response.headers;
    for (name, expected) in [
        (&name::ALLOW, Some("GET")),
        (&name::RETRY_AFTER, Some("9")),
        (&name::WWW_AUTHENTICATE, Some("Basic")),
        (&name::VARY, Some("Accept")),
        (&name::ETAG, None),
        (&name::CONTENT_ENCODING, None),
    ] {
        assert_eq!(headers.get_str(name), expected);
    }
    assert_eq!(response.head_length, None);
}

#[test]
fn what_was_meant_is_kept() {
    let as_it_is = |response: &mut Response| {
        let before = shown(response);
        assert_eq!(sent(&*pages(SETTINGS), "*/*", response), before);
    };
    as_it_is(&mut Response::text(StatusCode::OK, "fine"));
    as_it_is(&mut Response::text(StatusCode::NOT_FOUND, "from a handler"));
    let (_, content) = sent(
        &*pages(SETTINGS),
        "text/html",
        &mut Response::new(StatusCode::NOT_FOUND),
    );
    assert!(content.contains("here"), "an empty one was not: {content}");
}

#[test]
fn upstreams_are_replaced_if_that_is_asked_for() {
    for (intercept, status, replaced) in [
        (false, Some(500), false),
        (true, Some(500), true),
        (true, None, true),
        (false, None, false),
    ] {
        let pages = pages(&format!("intercept = {intercept}\n{SETTINGS}"));
        let mut request = TestRequest::get("/").header("Accept", "text/plain");
        let mut x = request.exchange();
        x.upstream = Some(Box::new(UpstreamTrail {
            status,
            ..UpstreamTrail::default()
        }));
        let mut response = Response::text(StatusCode::INTERNAL_SERVER_ERROR, "theirs");
        if status.is_none() && intercept {
            // Nothing came: the error is ours.
            response.why = Some(Why::ConnectRefused);
        }
        pages.on_response(&mut x, &mut response);
        let expected = if replaced { "sorry\n" } else { "theirs" };
        assert_eq!(shown(&response).1, expected);
    }
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| {
        let found = problems(&KIND, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    check("pages.200 = 'x.html'", "200 is not an error");
    check(
        "pages.6xx = 'x.html'",
        "`6xx` is neither a status nor several",
    );
    check("pages.404 = {}", "the page for 404 has no content");
    check(
        "pages.404 = { text = 'a', text_file = 'b' }",
        "`text` and `text_file` are the same page twice",
    );
    check(
        "pages.404 = { text = '{nope}' }",
        "there is no variable `{nope}`",
    );
    check(
        "pages.404 = { text = '{response.bytes}' }",
        "is not known before",
    );
    check("pages.404 = { htm = 'x' }", "unknown key `htm`");
}
