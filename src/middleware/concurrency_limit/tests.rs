//! What a chain sees of the limit.

use super::*;
use crate::exchange::testing::{TestRequest, block_on};
use crate::middleware::tests::{build, problems};

/// The status of what was refused; 200 for what passed.
fn status(flow: &Flow) -> u16 {
    match flow {
        Flow::Continue => 200,
        Flow::Respond(refusal) => refusal.status.code(),
        Flow::Wait(_) => 0,
    }
}

#[test]
fn a_slot_is_free_when_its_exchange_is_dropped() {
    let limit = build(&KIND, "max = 1");
    let mut first = TestRequest::get("/");
    let mut second = TestRequest::get("/");
    let mut x = first.exchange();
    assert_eq!(status(&limit.on_request(&mut x)), 200);
    let mut y = second.exchange();
    let Flow::Respond(refusal) = limit.on_request(&mut y) else {
        panic!("it passed");
    };
    assert_eq!(refusal.status.code(), 503);
    assert_eq!(refusal.why, Some(Why::QueueFull));
    assert_eq!(refusal.headers.get_str(&name::RETRY_AFTER), Some("1"));
    drop(x);
    assert_eq!(status(&limit.on_request(&mut y)), 200);
}

#[test]
fn who_waits_comes_in_or_is_refused_in_time() {
    let limit = build(
        &KIND,
        "max = 1\nqueue = 1\nqueue_timeout = '1us'\nstatus = 429",
    );
    let mut requests = [(); 3].map(|()| TestRequest::get("/"));
    let [first, second, third] = &mut requests;
    let mut x = first.exchange();
    limit.on_request(&mut x);
    let mut y = second.exchange();
    let Flow::Wait(waiting) = limit.on_request(&mut y) else {
        panic!("nobody waits");
    };
    let mut z = third.exchange();
    assert_eq!(status(&limit.on_request(&mut z)), 429);
    clock::invalidate();
    let Flow::Respond(refusal) = block_on(waiting)(&mut y) else {
        panic!("it passed");
    };
    assert_eq!(refusal.why, Some(Why::QueueTimeout));

    let limit = build(&KIND, "max = 1\nqueue = 1\nqueue_timeout = '1m'");
    assert_eq!(status(&limit.on_request(&mut x)), 200);
    let Flow::Wait(waiting) = limit.on_request(&mut y) else {
        panic!("nobody waits");
    };
    drop(x);
    assert_eq!(status(&block_on(waiting)(&mut y)), 200);
    assert_eq!(
        status(&limit.on_request(&mut z)),
        0,
        "one is in flight again"
    );
}

#[test]
fn each_key_has_the_limit_for_itself() {
    let limit = build(&KIND, "max = 1\nkey = 'header.x'\nmissing = 'skip'");
    let mut requests = ["a", "b", "a"].map(|x| TestRequest::get("/").header("x", x));
    let [first, second, third] = &mut requests;
    let (mut x, mut y, mut z) = (first.exchange(), second.exchange(), third.exchange());
    let statuses = [&mut x, &mut y, &mut z].map(|x| status(&limit.on_request(x)));
    assert_eq!(statuses, [200, 200, 503]);
    let mut without = TestRequest::get("/");
    assert_eq!(status(&limit.on_request(&mut without.exchange())), 200);
}

#[test]
fn who_only_watches_lets_all_in() {
    let limit = build(&KIND, "max = 1\nqueue = 1\nenforce = false");
    let mut requests = [(); 2].map(|()| TestRequest::get("/"));
    let [first, second] = &mut requests;
    let (mut x, mut y) = (first.exchange(), second.exchange());
    let statuses = [&mut x, &mut y].map(|x| status(&limit.on_request(x)));
    assert_eq!(statuses, [200, 200]);
    assert!(x.facts_mut().would_refuse.is_empty());
    assert_eq!(y.facts_mut().would_refuse.len(), 1);
}

#[test]
fn mistakes_are_told() {
    for (settings, expected) in [
        ("max = 0", "`max` must be between 1 and 10000000"),
        (
            "max = 1\nadaptive = {}",
            "`max` is given, so that nothing has to be found",
        ),
        ("key = 'client_ip'", "what is found is one limit for all"),
        (
            "adaptive = { min = 9, max = 8 }",
            "`min` is 9 and `max` 8: nothing lies between",
        ),
        (
            "max = 1\nstatus = 500",
            "500 does not tell a client to come back later",
        ),
        ("max = 1\nkey = 'ip'", "`ip` is no part of a key"),
    ] {
        assert_eq!(problems(&KIND, settings), [expected], "{settings}");
    }
}
