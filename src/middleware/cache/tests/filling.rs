//! Responses that are coming: who waits, who reads, what memory is held.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::stored;
use crate::exchange::{BlockingPool, BodyStream, Why};
use crate::middleware::cache::fill::reader::FillReader;
use crate::middleware::cache::fill::{Fill, Stage};
use crate::middleware::cache::filler::Filler;
use crate::middleware::cache::store::{Begun, Store};

fn filler() -> (Arc<Store>, Filler) {
    let store = Arc::new(Store::new(1 << 20, 1 << 14));
    let Begun::Lead(filler) = store.begin(b"a") else {
        panic!("nobody fetches it");
    };
    let head = stored("Cache-Control: max-age=60", "", "").head;
    filler.fill().coming(&head, Some(6));
    (store, filler)
}

/// Nobody waits for it here.
fn pool() -> BlockingPool {
    BlockingPool::new(1).0
}

fn reader(fill: &Arc<Fill>) -> FillReader {
    fill.watch().read(&pool()).expect("it is all there")
}

/// What comes next: the piece, or a word.
fn next(reader: &mut FillReader) -> String {
    let mut cx = Context::from_waker(Waker::noop());
    match reader.poll_chunk(&mut cx) {
        Poll::Pending => "pending".into(),
        Poll::Ready(None) => "end".into(),
        Poll::Ready(Some(Err(error))) => error.to_string(),
        Poll::Ready(Some(Ok(piece))) => String::from_utf8_lossy(&piece).into_owned(),
    }
}

#[test]
fn each_reads_all_of_it_whenever_it_came() {
    let (_store, filler) = filler();
    let fill = filler.fill();
    let mut early = reader(fill);
    assert_eq!(early.length(), Some(6));
    assert_eq!(next(&mut early), "pending");
    assert!(fill.push("one".into(), |_, _| true));
    let mut late = reader(fill);
    assert_eq!(next(&mut early), "one");
    assert_eq!(early.length(), Some(3));
    assert!(fill.push("two".into(), |_, _| true));
    assert_eq!(fill.end(Ok(())), Some(vec!["one".into(), "two".into()]));
    assert_eq!([next(&mut early), next(&mut early)], ["two", "end"]);
    assert_eq!(
        [next(&mut late), next(&mut late), next(&mut late)],
        ["one", "two", "end"]
    );
}

#[test]
fn what_cannot_be_kept_waits_for_the_slowest_and_no_longer() {
    let (_store, filler) = filler();
    let fill = filler.fill();
    let (mut fast, mut slow) = (reader(fill), reader(fill));
    let piece = Bytes::from(vec![b'x'; 200 << 10]);
    let room = || {
        let cx = Context::from_waker(Waker::noop());
        fill.poll_room(&cx)
    };
    assert!(fill.push(piece.clone(), |_, _| true));
    assert!(!fill.push(piece.clone(), |_, _| false));
    // Once it was too much it stays so.
    assert!(!fill.push(piece.clone(), |_, _| true));
    assert_eq!(room(), Poll::Pending);
    for _ in 0..3 {
        assert_eq!(next(&mut fast).len(), piece.len());
    }
    assert_eq!(room(), Poll::Pending, "one has read nothing yet");
    assert!(fill.watch().read(&pool()).is_some());
    for _ in 0..2 {
        assert_eq!(next(&mut slow).len(), piece.len());
    }
    assert_eq!(room(), Poll::Ready(true));
    assert!(fill.watch().read(&pool()).is_none(), "its start is gone");
    drop((fast, slow));
    assert_eq!(room(), Poll::Ready(false), "nobody wants the rest");
    assert_eq!(fill.end(Ok(())), None, "it is not whole any more");
}

#[test]
fn what_is_coming_is_counted_until_nobody_holds_it() {
    let (store, filler) = filler();
    let fill = Arc::clone(filler.fill());
    let mut totals = Vec::new();
    for _ in 0..2 {
        fill.push(Bytes::from_static(b"12345"), |charge, more| {
            totals.push((charge.bytes(), charge.total(), more));
            true
        });
    }
    assert_eq!(totals, [(0, 0, 5), (5, 5, 5)]);
    drop((filler, fill));
    let Begun::Lead(other) = store.begin(b"b") else {
        panic!("nobody fetches it");
    };
    other.fill().push(Bytes::new(), |charge, _| {
        assert_eq!(charge.total(), 0);
        true
    });
}

#[test]
fn who_fetches_and_goes_away_has_failed() {
    let (_store, filler) = filler();
    let fill = Arc::clone(filler.fill());
    let mut reading = reader(&fill);
    let watch = fill.watch();
    fill.push("one".into(), |_, _| true);
    drop(filler);
    let cx = Context::from_waker(Waker::noop());
    assert!(matches!(watch.poll_stage(&cx), Poll::Ready(Stage::Failed)));
    assert_eq!(next(&mut reading), "one");
    assert_eq!(next(&mut reading), Why::BodyTruncated.as_str());
}

#[test]
fn what_was_decided_stays() {
    let (_store, filler) = filler();
    let fill = Arc::clone(filler.fill());
    filler.refuse_this();
    let cx = Context::from_waker(Waker::noop());
    let stage = fill.watch().poll_stage(&cx);
    assert!(matches!(stage, Poll::Ready(Stage::Refused)), "{stage:?}");
}

#[test]
fn what_is_on_disk_is_read_there_by_who_comes_late_or_is_slow() {
    let mut request = crate::exchange::testing::TestRequest::get("/");
    request.run(async |x| {
        let blocking = &x.locals.blocking;
        let (_store, filler) = filler();
        let fill = filler.fill();
        let mut slow = fill.watch().read(blocking).unwrap();
        assert!(fill.push("one ".into(), |_, _| true));
        let on_disk = Arc::new(tempfile::tempfile().unwrap());
        assert_eq!(fill.spill(&on_disk), Some(vec!["one ".into()]));
        assert!(fill.push("two ".into(), |_, _| true));
        on_disk.write_all_at(b"one two ", 0).unwrap();
        fill.written(2);
        let mut late = fill.watch().read(blocking).unwrap();
        assert!(fill.push("three".into(), |_, _| true));
        assert_eq!(fill.end(Ok(())), Some(vec!["three".into()]));
        for reader in [&mut slow, &mut late] {
            let mut read = Vec::new();
            while let Some(piece) = (reader as &mut dyn BodyStream).chunk().await {
                read.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(read, b"one two three");
        }
    });
}

#[test]
fn what_cannot_be_written_goes_on_for_who_reads_it() {
    let (_store, filler) = filler();
    let fill = filler.fill();
    let mut early = reader(fill);
    assert!(fill.push("one".into(), |_, _| true));
    let on_disk = Arc::new(tempfile::tempfile().unwrap());
    fill.spill(&on_disk).unwrap();
    fill.spoil();
    assert!(!fill.push("two".into(), |_, _| true));
    assert_eq!([next(&mut early), next(&mut early)], ["one", "two"]);
    assert!(fill.watch().read(&pool()).is_none(), "its start is gone");
    assert_eq!(fill.end(Ok(())), None);
    assert_eq!(next(&mut early), "end");
}
