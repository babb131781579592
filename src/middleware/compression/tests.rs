//! What is compressed, what is not, and how it flows.

use std::collections::VecDeque;
use std::io::Read as _;
use std::io::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::exchange::testing::{TestRequest, block_on};
use crate::exchange::{BodyError, BodyStream, FileSlice, Why};
use crate::http::Headers;
use crate::middleware::tests::{build, problems};

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut content)
        .unwrap();
    content
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
        (Some("gzip"), Some("Accept-Encoding")) => "gzip",
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
    check("", accepting("br, GZIP;q=0.1"), html(2000), "gzip");
    check("", accepting("*"), html(2000), "gzip");
    check("", accepting("gzip;q=0"), html(2000), "vary");
    check("", accepting("identity, gzip;q=0.5"), html(2000), "vary");
    check("", accepting("br"), html(2000), "vary");
    check("", TestRequest::get("/"), html(2000), "vary");
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
fn large_bodies_come_in_chunks() {
    let content = text(300_000);
    let response = Response::text(StatusCode::OK, content.clone());
    let response = apply("level = 1", &mut accepting("gzip"), response);
    let chunks = chunks(response.body);
    assert!(chunks.len() > 5);
    assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
    assert_eq!(unzip(&chunks.concat()), content);
}

#[test]
fn others_have_their_turn_between_slices() {
    let response = Response::text(StatusCode::OK, text(100_000));
    let response = apply("", &mut accepting("gzip"), response);
    let Body::Stream(mut stream) = response.body else {
        panic!("it is long");
    };
    let mut cx = Context::from_waker(Waker::noop());
    let mut turns = 0;
    loop {
        match stream.poll_chunk(&mut cx) {
            Poll::Pending => turns += 1,
            Poll::Ready(Some(chunk)) => assert!(!chunk.unwrap().is_empty()),
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(turns, 100_000 / (16 << 10));
}

fn file(content: &[u8]) -> Arc<std::fs::File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Arc::new(file)
}

#[test]
fn files_are_read_and_compressed() {
    let content = text(200_000);
    let mut response = html(0);
    response.body = Body::File(FileSlice {
        file: file(&content),
        offset: 1000,
        length: 150_000,
    });
    let mut request = accepting("gzip");
    let response = apply("", &mut request, response);
    assert_eq!(
        unzip(&chunks(response.body).concat()),
        &content[1000..151_000]
    );
}

#[test]
fn a_file_that_became_shorter_breaks_off() {
    let mut response = html(0);
    response.body = Body::File(FileSlice {
        file: file(b"short"),
        offset: 0,
        length: 5000,
    });
    let mut request = accepting("gzip");
    let response = apply("", &mut request, response);
    let Body::Stream(mut stream) = response.body else {
        panic!("files are streamed");
    };
    let error = block_on(async {
        loop {
            match stream.chunk().await {
                Some(Ok(_)) => {}
                other => break other,
            }
        }
    });
    assert_eq!(error, Some(Err(BodyError(Why::FileTruncated))));
}

/// Gives what it was told to, one thing a poll.
#[derive(Debug)]
struct Script(VecDeque<Poll<Option<Result<Bytes, BodyError>>>>);

impl BodyStream for Script {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.0.pop_front().unwrap_or(Poll::Pending)
    }

    fn trailers(&mut self) -> Option<Headers> {
        let mut trailers = Headers::new();
        trailers.append(&name::ETAG, "\"t\"");
        Some(trailers)
    }
}

fn scripted(
    script: impl IntoIterator<Item = Poll<Option<Result<Bytes, BodyError>>>>,
) -> Box<dyn BodyStream> {
    let mut response = html(0);
    response.body = Body::Stream(Box::new(Script(script.into_iter().collect())));
    match apply("", &mut accepting("gzip"), response).body {
        Body::Stream(stream) => stream,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streams_are_flushed_when_nothing_more_is_at_hand() {
    let piece = |text: &'static str| Poll::Ready(Some(Ok(Bytes::from_static(text.as_bytes()))));
    let mut stream = scripted([
        piece("first "),
        piece("second"),
        Poll::Pending,
        Poll::Pending,
        piece("third"),
        Poll::Ready(None),
    ]);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(chunk))) = stream.poll_chunk(&mut cx) else {
        panic!("it has something to give");
    };
    let mut read = [0; 12];
    flate2::read::GzDecoder::new(&chunk[..])
        .read_exact(&mut read)
        .unwrap();
    assert_eq!(&read, b"first second");
    assert!(
        stream.poll_chunk(&mut cx).is_pending(),
        "nothing is flushed twice"
    );
    let Poll::Ready(Some(Ok(rest))) = stream.poll_chunk(&mut cx) else {
        panic!("it has something to give");
    };
    assert_eq!(unzip(&[chunk, rest].concat()), b"first secondthird");
    assert!(matches!(stream.poll_chunk(&mut cx), Poll::Ready(None)));
    assert!(stream.trailers().is_some());
}

#[test]
fn an_error_passes_through() {
    let error = BodyError(Why::UpstreamReset);
    let mut stream = scripted([Poll::Ready(Some(Err(error)))]);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(stream.poll_chunk(&mut cx), Poll::Ready(Some(Err(error))));
}

#[test]
fn mistakes() {
    assert_eq!(problems(&KIND, "level = 10"), ["there is no level 10"]);
    assert_eq!(problems(&KIND, "level = 0"), ["there is no level 0"]);
    assert_eq!(problems(&KIND, "level = -1"), ["there is no level -1"]);
    for text in ["html", "text/*", "text/html; charset=utf-8", "/"] {
        let found = problems(&KIND, &format!("types = ['{text}']"));
        assert_eq!(found, [format!("`{text}` is not a media type")]);
    }
}
