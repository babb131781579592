//! What is compressed, and what is not.

mod flow;

use std::task::{Context, Waker};

use bytes::Bytes;

use super::*;
use crate::exchange::testing::{TestRequest, block_on};
use crate::middleware::tests::{build, problems};

fn unzip(bytes: &[u8]) -> Vec<u8> {
    decoded("gzip", bytes)
}

fn accepting(value: &str) -> TestRequest {
    TestRequest::get("/").header("Accept-Encoding", value)
}

fn html(length: usize) -> Response {
    Response::typed(
        StatusCode::OK,
        "text/html; charset=utf-8",
        "x".repeat(length),
    )
    .with(&name::ETAG, "\"tag\"")
    .with(&name::ACCEPT_RANGES, "bytes")
}

fn apply(settings: &str, request: &mut TestRequest, mut response: Response) -> Response {
    build(&KIND, settings).on_response(&mut request.exchange(), &mut response);
    response
}

fn field<'r>(response: &'r Response, name: &crate::http::HeaderName) -> Option<&'r str> {
    response.headers.get_str(name)
}

/// Compressed and marked, left alone but with `Vary`, or not touched at all.
#[track_caller]
fn check(settings: &str, mut request: TestRequest, response: Response, expected: &str) {
    let response = apply(settings, &mut request, response);
    let vary = field(&response, &name::VARY);
    let found = match (field(&response, &name::CONTENT_ENCODING), vary) {
        (Some(coding), Some("Accept-Encoding")) => coding,
        (None, Some("Accept-Encoding")) => "vary",
        (_, None) => "untouched",
        other => panic!("{other:?}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn small_bodies_are_compressed_at_once() {
    let response = apply("", &mut accepting("gzip"), html(2000));
    let Body::Bytes(bytes) = &response.body else {
        panic!("{response:?}");
    };
    assert_eq!(unzip(bytes), "x".repeat(2000).as_bytes());
    assert_eq!(field(&response, &name::CONTENT_ENCODING), Some("gzip"));
    assert_eq!(field(&response, &name::VARY), Some("Accept-Encoding"));
    assert_eq!(field(&response, &name::ETAG), Some("W/\"tag\""));
    assert_eq!(field(&response, &name::ACCEPT_RANGES), None);
}

#[test]
fn as_the_client_weighs_it() {
    check("", accepting("gzip"), html(2000), "gzip");
    check("", accepting("x-own, GZIP;q=0.1"), html(2000), "gzip");
    check("", accepting("*"), html(2000), "zstd");
    check("", accepting("gzip;q=0"), html(2000), "vary");
    check("", accepting("identity, gzip;q=0.5"), html(2000), "vary");
    check("", accepting("x-own"), html(2000), "vary");
    check("", TestRequest::get("/"), html(2000), "vary");
}

#[test]
fn of_what_is_wanted_equally_what_stands_first_is_used() {
    let all = || accepting("gzip, deflate, br, zstd");
    check("", all(), html(2000), "zstd");
    check("codings = ['gzip', 'br']", all(), html(2000), "gzip");
    check("codings = ['br', 'gzip']", all(), html(2000), "br");
    check("codings = ['deflate']", all(), html(2000), "deflate");
    check("codings = ['br']", accepting("gzip"), html(2000), "vary");
    check(
        "",
        accepting("gzip, br;q=0.9, zstd;q=0.8"),
        html(2000),
        "gzip",
    );
    check(
        "",
        accepting("zstd;q=0, br;q=0, *;q=0.1"),
        html(2000),
        "gzip",
    );
    check("", accepting("deflate"), html(2000), "deflate");
}

/// All of a body, however it comes.
fn whole(body: Body) -> Vec<u8> {
    match body {
        Body::Bytes(bytes) => bytes.to_vec(),
        body => chunks(body).concat(),
    }
}

#[test]
fn each_coding_carries_all_of_it() {
    for coding in ["zstd", "br", "gzip", "deflate"] {
        for length in [1_500, 40_000, 300_000] {
            let content = text(length);
            let response = Response::text(StatusCode::OK, content.clone());
            let mut request = accepting(coding);
            let response = apply("", &mut request, response);
            assert_eq!(field(&response, &name::CONTENT_ENCODING), Some(coding));
            let body = whole(response.body);
            assert!(body.len() < length, "{coding} {length}");
            assert_eq!(decoded(coding, &body), content, "{coding} {length}");
        }
    }
}

#[test]
fn results_of_what_has_a_strong_tag_are_kept() {
    let compression = build(&KIND, "");
    let content = text(100_000);
    let mut request = accepting("br");
    let mut apply = |target: &str, tag: &str| {
        request = std::mem::replace(&mut request, TestRequest::get("/")).again(target);
        request.head.headers.append(&name::ACCEPT_ENCODING, "br");
        let mut response = Response::text(StatusCode::OK, content.clone());
        response.headers.append(&name::ETAG, tag);
        compression.on_response(&mut request.exchange(), &mut response);
        let length = response.body.length();
        assert_eq!(decoded("br", &whole(response.body)), content);
        length.is_some()
    };
    assert!(!apply("/a", "\"1\""), "it is made");
    assert!(apply("/a", "\"1\""), "it was made before");
    assert!(!apply("/a", "\"2\""), "it is something else");
    assert!(!apply("/a?b", "\"1\""), "it is somewhere else");
    assert!(!apply("/b", "W/\"1\""));
    assert!(!apply("/b", "W/\"1\""), "it may be something else");
}

#[test]
fn what_was_kept_is_told_to_head() {
    let compression = build(&KIND, "");
    let ask = |method| {
        let mut request = TestRequest::new(method, "/").header("Accept-Encoding", "gzip");
        let mut response = Response::text(StatusCode::OK, text(100_000));
        response.headers.append(&name::ETAG, "\"a\"");
        compression.on_response(&mut request.exchange(), &mut response);
        response.body
    };
    assert_eq!(ask(Method::Head).length(), None);
    let made = whole(ask(Method::Get)).len() as u64;
    assert_eq!(ask(Method::Head).length(), Some(made));
}

#[test]
fn what_became_no_shorter_is_not_tried_again() {
    let compression = build(&KIND, "");
    let noise: Vec<u8> = (0..500_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for _ in 0..2 {
        let response = Response::text(StatusCode::OK, noise.clone());
        let mut response = response.with(&name::ETAG, "\"a\"");
        compression.on_response(&mut accepting("gzip").exchange(), &mut response);
        assert_eq!(field(&response, &name::CONTENT_ENCODING), None);
        assert_eq!(field(&response, &name::ETAG), Some("\"a\""));
        assert!(matches!(response.body, Body::Bytes(bytes) if bytes == noise));
    }
}

#[test]
fn nothing_is_kept_where_that_is_said() {
    let compression = build(&KIND, "keep = '0B'");
    for _ in 0..2 {
        let response = Response::text(StatusCode::OK, text(100_000));
        let mut response = response.with(&name::ETAG, "\"a\"");
        compression.on_response(&mut accepting("gzip").exchange(), &mut response);
        assert_eq!(response.body.length(), None);
    }
}

#[test]
fn slow_codings_are_made_elsewhere() {
    let response = Response::text(StatusCode::OK, text(10_000));
    let mut request = accepting("br");
    let response = apply("", &mut request, response);
    let Body::Stream(mut stream) = response.body else {
        panic!("even what is short");
    };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stream.poll_chunk(&mut cx).is_pending());
    let rest = chunks(Body::Stream(stream)).concat();
    assert_eq!(decoded("br", &rest), text(10_000));
}

#[test]
fn only_what_is_worth_it() {
    let gzip = || accepting("gzip");
    check("", gzip(), html(1024), "gzip");
    check("", gzip(), html(1023), "untouched");
    check("min_size = '100B'", gzip(), html(100), "gzip");
    check("types = ['Text/HTML']", gzip(), html(2000), "gzip");
    check("types = ['text/css']", gzip(), html(2000), "untouched");
    check("", gzip(), Response::new(StatusCode::OK), "untouched");
    check("min_size = '0B'", gzip(), html(0), "untouched");
    let with = |name, value| html(2000).with(name, value);
    check(
        "",
        gzip(),
        with(&name::CONTENT_TYPE, "image/png"),
        "untouched",
    );
    check("", gzip(), with(&name::CONTENT_ENCODING, "br"), "untouched");
    check(
        "",
        gzip(),
        with(&name::CONTENT_RANGE, "bytes 0-1/2"),
        "untouched",
    );
    check(
        "",
        gzip(),
        with(&name::CACHE_CONTROL, "max-age=1, no-transform"),
        "untouched",
    );
    check(
        "",
        gzip().header("Cache-Control", "no-transform"),
        html(2000),
        "untouched",
    );
    let mut partial = html(2000);
    partial.status = StatusCode::PARTIAL_CONTENT;
    check("", gzip(), partial, "untouched");
    let mut missing = html(2000);
    missing.status = StatusCode::NOT_FOUND;
    check("", gzip(), missing, "gzip");
    check("", gzip(), Response::new(StatusCode::NOT_MODIFIED), "vary");
    let mut parts = html(0);
    parts.body = Body::Parts(vec![crate::exchange::Part::Bytes("x".repeat(2000).into())]);
    check("", gzip(), parts, "untouched");
}

#[test]
fn what_would_become_no_shorter_stays() {
    let noise: Vec<u8> = (0..500_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let response = Response::text(StatusCode::OK, noise.clone());
    let response = apply("", &mut accepting("gzip"), response);
    assert_eq!(field(&response, &name::CONTENT_ENCODING), None);
    assert_eq!(field(&response, &name::VARY), Some("Accept-Encoding"));
    assert!(matches!(response.body, Body::Bytes(bytes) if bytes == noise));
}

#[test]
fn weak_and_broken_tags_stay() {
    for tag in ["W/\"a\"", "broken"] {
        let response = html(2000).with(&name::ETAG, tag);
        let response = apply("", &mut accepting("gzip"), response);
        assert_eq!(field(&response, &name::ETAG), Some(tag));
    }
}

#[test]
fn head_is_told_what_get_would_be_but_for_the_length() {
    let mut request = accepting("gzip");
    request.head.method = Method::Head;
    let mut response = html(0);
    response.body = Body::Empty;
    response.head_length = Some(5000);
    let response = apply("", &mut request, response);
    assert_eq!(field(&response, &name::CONTENT_ENCODING), Some("gzip"));
    assert_eq!((response.head_length, response.body.length()), (None, None));
    let Body::Stream(mut body) = response.body else {
        panic!("it has no known length");
    };
    assert!(block_on(body.chunk()).is_none());
}

/// All chunks of a body.
fn chunks(body: Body) -> Vec<Bytes> {
    let Body::Stream(mut stream) = body else {
        panic!("{body:?}");
    };
    assert_eq!(stream.length(), None);
    block_on(async {
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.chunk().await {
            chunks.push(chunk.unwrap());
        }
        assert!(stream.chunk().await.is_none());
        chunks
    })
}

/// Text that does not compress to nothing.
fn text(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_761)).into_bytes())
        .take(length)
        .collect()
}

#[test]
fn mistakes() {
    assert_eq!(problems(&KIND, "level = 10"), ["there is no level 10"]);
    assert_eq!(problems(&KIND, "level = 0"), ["there is no level 0"]);
    assert_eq!(problems(&KIND, "level = -1"), ["there is no level -1"]);
    assert_eq!(problems(&KIND, "brotli_level = 7"), ["there is no level 7"]);
    assert_eq!(problems(&KIND, "zstd_level = 22"), ["there is no level 22"]);
    assert_eq!(
        problems(&KIND, "codings = ['gzip', 'lzma', 'gzip']"),
        ["there is no coding `lzma`", "`gzip` is listed twice"]
    );
    assert_eq!(
        problems(&KIND, "codings = []"),
        ["nothing is compressed without a coding"]
    );
    for text in ["html", "text/*", "text/html; charset=utf-8", "/"] {
        let found = problems(&KIND, &format!("types = ['{text}']"));
        assert_eq!(found, [format!("`{text}` is not a media type")]);
    }
}
