//! What a chain sees of pacing, with time that stands still.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::exchange::testing::{TestRequest, block_on};
use crate::exchange::{FileSlice, Part};
use crate::http::{Method, StatusCode};
use crate::middleware::tests::{build, problems};

/// The response that these settings make of this body.
fn respond(limit: &dyn Middleware, request: &mut TestRequest, body: Body) -> Body {
    let mut x = request.exchange();
    assert!(matches!(limit.on_request(&mut x), Flow::Continue));
    let mut response = Response::new(StatusCode::OK);
    response.body = body;
    limit.on_response(&mut x, &mut response);
    response.body
}

/// What can be read of a stream without waiting, and whether it ended then.
fn read_now(stream: &mut dyn BodyStream) -> (usize, bool) {
    let mut read = 0;
    loop {
        match stream.poll_chunk(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(piece)) => read += piece.unwrap().len(),
            Poll::Ready(None) => return (read, true),
            Poll::Pending => return (read, false),
        }
    }
}

fn bytes(count: usize) -> Body {
    Body::Bytes(Bytes::from(vec![b'x'; count]))
}

#[test]
fn what_a_burst_holds_goes_as_it_is_and_what_is_more_waits() {
    let limit = build(&KIND, "download = '1000B/s'\ndownload_burst = '500B'");
    let mut request = TestRequest::get("/");
    let short = respond(&*limit, &mut request, bytes(500));
    assert!(matches!(short, Body::Bytes(_)), "{short:?}");
    // Each exchange has the rate for itself.
    let Body::Stream(mut long) = respond(&*limit, &mut request, bytes(700)) else {
        panic!("it is not paced");
    };
    assert_eq!(long.length(), Some(700));
    assert_eq!(read_now(&mut *long), (500, false));
    assert_eq!(long.length(), Some(200));
}

#[test]
fn who_shares_a_key_shares_the_rate() {
    let limit = build(&KIND, "download = '1000B/s'\nkey = 'client_ip'");
    let mut request = TestRequest::get("/");
    let first = respond(&*limit, &mut request, bytes(800));
    assert!(matches!(first, Body::Bytes(_)));
    let Body::Stream(mut second) = respond(&*limit, &mut request, bytes(800)) else {
        panic!("it is not paced");
    };
    assert_eq!(read_now(&mut *second), (200, false));
    let limit = build(
        &KIND,
        "download = '1000B/s'\nkey = 'header.x'\nmissing = 'skip'",
    );
    let skipped = respond(&*limit, &mut request, bytes(10_000));
    assert!(matches!(skipped, Body::Bytes(_)));
}

#[test]
fn what_is_not_sent_is_not_counted() {
    let limit = build(&KIND, "download = '1000B/s'\nkey = 'client_ip'");
    let mut request = TestRequest::new(Method::Head, "/");
    let head = respond(&*limit, &mut request, bytes(10_000));
    assert!(matches!(head, Body::Bytes(_)));
    let mut request = TestRequest::get("/");
    let after = respond(&*limit, &mut request, bytes(1000));
    assert!(matches!(after, Body::Bytes(_)));
}

#[test]
fn content_of_requests_is_asked_for_no_faster() {
    let limit = build(&KIND, "upload = '1000B/s'\nupload_burst = '300B'");
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    x.body = Some(Box::new(Bytes::from(vec![b'x'; 1000])));
    assert!(matches!(limit.on_request(&mut x), Flow::Continue));
    let body = x.body.as_mut().unwrap();
    assert_eq!(body.length(), Some(1000));
    assert_eq!(read_now(&mut **body), (300, false));
    body.discard_received();
    assert_eq!(read_now(&mut **body), (0, true));
}

#[test]
fn parts_and_files_flow_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    let file = Arc::new(std::fs::File::open(&path).unwrap());
    let slice = |offset, length| FileSlice {
        file: Arc::clone(&file),
        offset,
        length,
    };
    let parts = vec![
        Part::Bytes(Bytes::from_static(b"a")),
        Part::File(slice(2, 3)),
        Part::Bytes(Bytes::from_static(b"b")),
        Part::File(slice(9, 1)),
    ];
    let limit = build(&KIND, "download = '10B/s'\ndownload_burst = '3B'");
    for (body, expected) in [
        (Body::Parts(parts), "a234b9"),
        (Body::File(slice(1, 5)), "12345"),
    ] {
        let mut request = TestRequest::get("/");
        let Body::Stream(mut stream) = respond(&*limit, &mut request, body) else {
            panic!("it is not paced");
        };
        assert_eq!(stream.length(), Some(expected.len() as u64));
        let first = block_on(stream.chunk());
        let first = first.unwrap().unwrap();
        assert!(expected.as_bytes().starts_with(&first), "{first:?}");
    }
}

#[test]
fn mistakes_are_told() {
    for (settings, expected) in [
        ("", "neither `download` nor `upload` is limited"),
        ("upload = '0B/s'", "at this rate nothing would ever end"),
        (
            "upload = '1KiB/s'\ndownload_burst = '1KiB'",
            "there is no rate that this could be the burst of",
        ),
        (
            "upload = '1KiB/s'\nupload_burst = '255B'",
            "a burst of 1KiB/s is a quarter of a second's at least",
        ),
        (
            "upload = '1KiB/s'\nmissing = 'skip'",
            "there is no `key` of which anything could be missing",
        ),
    ] {
        assert_eq!(problems(&KIND, settings), [expected], "{settings}");
    }
}
