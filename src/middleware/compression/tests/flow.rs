//! How content flows through: in chunks, in turns, from files, and with what breaks off.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::exchange::{BodyError, BodyStream, FileSlice, Why};
use crate::http::Headers;

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
    assert_eq!(unzip(&chunk), b"first second");
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
