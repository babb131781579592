//! What is found, what makes way, what is dropped.

use std::sync::Arc;

use super::{request, stored};
use crate::clock;
use crate::http::RequestHead;
use crate::middleware::cache::content::Content;
use crate::middleware::cache::key;
use crate::middleware::cache::store::{Begun, Found, Store};

const FRESH: &str = "Cache-Control: max-age=60";

fn store(size: u64) -> Arc<Store> {
    Arc::new(Store::new(size, size / 64))
}

/// What is found for a GET with these fields: the content, or a word.
fn found(store: &Store, url: &str, fields: &str) -> String {
    let request = request(fields);
    match store.find(url.as_bytes(), &request.head, "test", clock::now()) {
        Found::Stored(stored) => match &stored.content {
            Content::Memory(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Content::File(..) => "on disk".into(),
        },
        Found::Others => "others".into(),
        Found::Refused => "refused".into(),
        Found::Nothing => "nothing".into(),
    }
}

fn keep(store: &Arc<Store>, url: &str, fields: &str, asked: &str, content: &str) -> u64 {
    let stored = stored(fields, asked, content.to_owned());
    store.alone(url.as_bytes()).keep(stored).evicted
}

#[test]
fn variants_stand_side_by_side_and_replace_their_like() {
    let store = store(1 << 20);
    let vary = "Cache-Control: max-age=60\nVary: X-Own";
    keep(&store, "a", vary, "X-Own: 1", "one");
    keep(&store, "a", vary, "X-Own: 2", "two");
    assert_eq!(found(&store, "a", "X-Own: 1"), "one");
    assert_eq!(found(&store, "a", "X-Own: 2"), "two");
    assert_eq!(found(&store, "a", ""), "others");
    assert_eq!(found(&store, "b", ""), "nothing");
    keep(&store, "a", vary, "X-Own: 1", "other");
    assert_eq!(found(&store, "a", "X-Own: 1"), "other");
    assert_eq!(found(&store, "a", "X-Own: 2"), "two");
    // The newest that fits.
    keep(&store, "a", FRESH, "X-Own: 3", "all");
    assert_eq!(found(&store, "a", "X-Own: 1"), "all");
}

#[test]
fn variants_are_few() {
    let store = store(1 << 20);
    for n in 0..100 {
        let asked = format!("X-Own: {n}");
        keep(
            &store,
            "a",
            "Cache-Control: max-age=60\nVary: X-Own",
            &asked,
            "x",
        );
    }
    assert_eq!(found(&store, "a", "X-Own: 99"), "x");
    assert_eq!(found(&store, "a", "X-Own: 84"), "x");
    assert_eq!(found(&store, "a", "X-Own: 83"), "others");
}

#[test]
fn a_route_is_not_answered_with_what_another_made() {
    let store = store(1 << 20);
    keep(&store, "a", FRESH, "", "x");
    let head = RequestHead::default();
    let other = store.find(b"a", &head, "other", clock::now());
    assert!(matches!(other, Found::Others), "{other:?}");
}

#[test]
fn what_is_refused_is_remembered_until_something_is_kept() {
    let store = store(1 << 20);
    keep(&store, "a", FRESH, "", "x");
    store.alone(b"a").refuse(clock::now());
    assert_eq!(found(&store, "a", ""), "refused");
    let later = clock::now() + std::time::Duration::from_mins(1);
    let found_later = store.find(b"a", &RequestHead::default(), "test", later);
    assert!(matches!(found_later, Found::Nothing), "{found_later:?}");
    keep(&store, "a", FRESH, "", "y");
    assert_eq!(found(&store, "a", ""), "y");
}

#[test]
fn it_stays_within_its_bytes_and_counts_what_had_to_go() {
    let store = store(1 << 20);
    let content = "x".repeat(10_000);
    let evicted: u64 = (0..1_000)
        .map(|n| keep(&store, &n.to_string(), FRESH, "", &content))
        .sum();
    assert!(store.bytes() <= 1 << 20, "{}", store.bytes());
    assert!(store.bytes() > 1 << 19, "{}", store.bytes());
    let kept = (0..1_000_u64).filter(|n| found(&store, &n.to_string(), "") != "nothing");
    assert_eq!(evicted + kept.count() as u64, 1_000);
    store.fit(1, 1 << 17);
    assert!(store.bytes() <= 1 << 17, "{}", store.bytes());
    store.fit(0, 1 << 20);
    keep(&store, "a", FRESH, "", &content);
    assert!(
        store.bytes() <= 1 << 17,
        "an older configuration changes nothing"
    );
}

#[test]
fn a_scan_does_not_push_out_what_is_asked_for_often() {
    let store = store(4 << 20);
    let content = "x".repeat(10_000);
    let often: Vec<String> = (0..50).map(|n| format!("often {n}")).collect();
    for url in &often {
        keep(&store, url, FRESH, "", &content);
    }
    for scanned in 0..5_000 {
        if scanned % 100 == 0 {
            for url in &often {
                found(&store, url, "");
            }
        }
        keep(&store, &format!("once {scanned}"), FRESH, "", &content);
    }
    let kept = often
        .iter()
        .filter(|url| found(&store, url, "") != "nothing");
    let kept = kept.count();
    assert!(kept >= 45, "{kept} of 50 are left");
}

#[test]
fn what_is_dropped_is_gone() {
    let store = store(1 << 20);
    let tagged = |tags: &str| format!("{FRESH}\n{tags}");
    keep(&store, "a/1", &tagged("Cache-Tag: x, y"), "", "1");
    keep(&store, "a/2", &tagged("Surrogate-Key: y z"), "", "2");
    keep(&store, "b/3", FRESH, "", "3");
    assert!(store.drop_url(b"b/3") && !store.drop_url(b"b/3"));
    assert_eq!(store.drop_tagged(&[b"z".to_vec(), b"q".to_vec()]), 1);
    assert_eq!(found(&store, "a/2", ""), "nothing");
    assert_eq!(store.drop_prefix(b"a/"), 1);
    assert_eq!((store.drop_prefix(b""), store.bytes()), (0, 0));
    assert!(store.grown() < 0);
    assert_eq!(store.grown(), 0);
}

#[test]
fn one_fetches_and_others_join_until_it_is_over() {
    let store = store(1 << 20);
    let Begun::Lead(filler) = store.begin(b"a") else {
        panic!("nobody fetches it");
    };
    assert!(matches!(store.begin(b"a"), Begun::Join(_)));
    assert!(matches!(store.begin(b"b"), Begun::Lead(_)));
    drop(filler);
    assert!(matches!(store.begin(b"a"), Begun::Lead(_)));
}

#[test]
fn what_is_dropped_while_it_comes_is_not_kept() {
    #[track_caller]
    fn check(drop: impl FnOnce(&Store), is_kept: bool) {
        let store = store(1 << 20);
        let Begun::Lead(old) = store.begin(b"a/1") else {
            panic!("nobody fetches it");
        };
        let coming = stored("Cache-Control: max-age=60\nCache-Tag: x", "", "old");
        old.fill().coming(&coming.head, None);
        drop(&store);
        let new = store.begin(b"a/1");
        assert_eq!(matches!(new, Begun::Join(_)), is_kept);
        old.keep(coming);
        let expected = if is_kept { "old" } else { "nothing" };
        assert_eq!(found(&store, "a/1", ""), expected);
        // The one that began after it is still there to be joined.
        assert_eq!(matches!(store.begin(b"a/1"), Begun::Join(_)), !is_kept);
    }
    check(|store| assert!(!store.drop_url(b"a/1")), false);
    check(|store| assert!(!store.drop_url(b"a/2")), true);
    check(|store| assert_eq!(store.drop_prefix(b"a/"), 0), false);
    check(|store| assert_eq!(store.drop_prefix(b"b"), 0), true);
    check(
        |store| assert_eq!(store.drop_tagged(&[b"x".to_vec()]), 0),
        false,
    );
    check(
        |store| assert_eq!(store.drop_tagged(&[b"y".to_vec()]), 0),
        true,
    );
}

#[test]
fn urls_that_are_one_have_one_key() {
    #[track_caller]
    fn check(target: &str, host: &str, expected: &str) {
        let request = crate::exchange::testing::TestRequest::get(target).header("Host", host);
        let key = key::of(&request.head, "http");
        assert_eq!(String::from_utf8_lossy(&key), expected);
    }
    check("/a?b=c", "Site", "http://site/a?b=c");
    check("/a", "site:80", "http://site/a");
    check("/a", "site:443", "http://site:443/a");
    check("/a//b/../c", "site", "http://site/a/c");
    check("/%61%2Fb", "site", "http://site/%61%2Fb");
    check("/a?", "site", "http://site/a?");
    check("http://Other:80/a", "site", "http://other/a");
    let request = crate::exchange::testing::TestRequest::get("/a").header("Host", "A");
    assert_eq!(
        &*key::beside(&request.head, "https", "/b?c"),
        b"https://a/b?c"
    );
}
