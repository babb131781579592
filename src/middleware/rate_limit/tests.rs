//! Limits as a chain sees them, and as two workers do at the same time.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::buckets::Taken;
use super::*;
use crate::build::{BuildContext, CarryOver};
use crate::exchange::testing::TestRequest;
use crate::http::name;
use crate::middleware::tests::{build, build_in, problems};

/// The status of a request: 200 if it passed.
fn ask(limit: &dyn Middleware, request: &mut TestRequest) -> u16 {
    ask_as(limit, request, "a")
}

fn ask_as(limit: &dyn Middleware, request: &mut TestRequest, route: &'static str) -> u16 {
    let mut x = request.exchange();
    x.route = route;
    match limit.on_request(&mut x) {
        Flow::Continue => {
            let mut response = Response::new(StatusCode::OK);
            limit.on_response(&mut x, &mut response);
            200
        }
        Flow::Respond(refusal) => {
            assert_eq!(refusal.why, Some(Why::RateLimited));
            assert!(refusal.headers.contains(&name::RETRY_AFTER));
            refusal.status.code()
        }
        Flow::Wait(_) => panic!("nobody is asked"),
    }
}

#[test]
fn a_burst_passes_and_more_is_refused() {
    let limit = build(&KIND, "rate = '1/h'\nburst = 2");
    let mut request = TestRequest::get("/");
    let statuses = [(); 3].map(|()| ask(&*limit, &mut request));
    assert_eq!(statuses, [200, 200, 429]);
    let limit = build(&KIND, "rate = '1/h'\ncost = 1\nstatus = 503");
    let statuses = [(); 2].map(|()| ask(&*limit, &mut request));
    assert_eq!(statuses, [200, 503]);
}

#[test]
fn routes_share_a_bucket_or_have_their_own() {
    let mut request = TestRequest::get("/");
    for (scope, expected) in [("policy", [200, 429]), ("route", [200, 200])] {
        let limit = build(&KIND, &format!("rate = '1/h'\nscope = '{scope}'"));
        let statuses = ["a", "b"].map(|route| ask_as(&*limit, &mut request, route));
        assert_eq!(statuses, expected, "{scope}");
    }
}

#[test]
fn who_is_exempt_or_has_no_key_is_not_counted() {
    let limit = build(&KIND, "rate = '1/h'\nexempt = ['192.0.2.0/24']");
    let mut request = TestRequest::get("/");
    assert_eq!([(); 3].map(|()| ask(&*limit, &mut request)), [200; 3]);
    let limit = build(&KIND, "rate = '1/h'\nkey = 'header.x'\nmissing = 'skip'");
    assert_eq!([(); 3].map(|()| ask(&*limit, &mut request)), [200; 3]);
    let mut request = request.header("x", "y");
    assert_eq!([(); 2].map(|()| ask(&*limit, &mut request)), [200, 429]);
}

#[test]
fn clients_are_told_what_is_left() {
    let limit = build(&KIND, "rate = '60/m'\nburst = 5");
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    assert!(matches!(limit.on_request(&mut x), Flow::Continue));
    let mut response = Response::new(StatusCode::OK);
    limit.on_response(&mut x, &mut response);
    let told = response.headers.get_str(&name::X_RATELIMIT_REMAINING);
    assert_eq!(told, Some("4"));
    for silent in ["headers = false", "enforce = false"] {
        let limit = build(&KIND, &format!("rate = '60/m'\n{silent}"));
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        assert!(matches!(limit.on_request(&mut x), Flow::Continue));
        let mut response = Response::new(StatusCode::OK);
        limit.on_response(&mut x, &mut response);
        assert!(response.headers.is_empty(), "{silent}");
    }
}

#[test]
fn a_changed_rate_applies_to_the_buckets_there_are() {
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, PathBuf::from("/"));
    cx.name = Arc::from("api");
    let first = build_in(&KIND, "rate = '1/h'\nburst = 3", &mut cx);
    let mut request = TestRequest::get("/");
    assert_eq!([(); 2].map(|()| ask(&*first, &mut request)), [200, 200]);
    let second = build_in(&KIND, "rate = '2/h'\nburst = 5", &mut cx);
    drop(first);
    // Two hours are owed, of which the new bucket holds two and a half.
    assert_eq!([(); 2].map(|()| ask(&*second, &mut request)), [200, 429]);
    let other = build_in(&KIND, "rate = '1/h'\nkey = 'host'", &mut cx);
    assert_eq!(
        ask(&*other, &mut request),
        200,
        "another key is another bucket"
    );
}

#[test]
fn mistakes_are_told() {
    for (settings, expected) in [
        (
            "rate = '1/s'\nburst = 0",
            "a bucket that holds nothing lets nothing pass",
        ),
        (
            "rate = '1/s'\ncost = 0",
            "a request cannot cost 0 of a bucket of 1",
        ),
        (
            "rate = '2/s'\ncost = 3",
            "a request cannot cost 3 of a bucket of 2",
        ),
        (
            "rate = '1/3650d'\nburst = 2",
            "a bucket of 2 would take more than ten years to fill",
        ),
        ("rate = '1/s'\nkey = []", "a key has 1 to 8 parts"),
        ("rate = '1/s'\nkey = 'claim'", "`claim` is no part of a key"),
        (
            "rate = '1/s'\nkey = ['route', 'route.name']",
            "`route.name` is in the key already",
        ),
        (
            "rate = '1/s'\nstatus = 404",
            "404 does not tell a client to come back later",
        ),
        (
            "rate = '1/s'\nmax_keys = 0",
            "`max_keys` must be between 1 and 100000000",
        ),
    ] {
        assert_eq!(problems(&KIND, settings), [expected], "{settings}");
    }
}

const SECOND: u64 = 1_000_000_000;

/// Buckets, and time as the test wants it.
struct Timed {
    buckets: Buckets,
    start: Instant,
}

impl Timed {
    fn new() -> Self {
        let start = clock::precise_now();
        Self {
            buckets: Buckets::new(start),
            start,
        }
    }

    /// Asks for a key so many nanoseconds after the start.
    fn take(&self, key: u64, quota: &Quota, now: u64, keys_max: usize) -> Taken {
        let key = request_key::hash(&key.to_le_bytes(), self.buckets.hasher());
        let now = self.start + Duration::from_nanos(now);
        self.buckets.take(key, quota, keys_max, || now)
    }
}

#[test]
fn buckets_are_bounded_and_the_fullest_go_first() {
    let timed = Timed::new();
    let quota = Quota::new("1/h".parse().unwrap(), 10, 1).unwrap();
    let mut kept = 0;
    let mut evicted = 0;
    for key in 0..20_000_u64 {
        let taken = timed.take(key, &quota, SECOND, 2_560);
        kept += taken.kept;
        evicted += taken.evicted;
    }
    assert!(
        timed.buckets.len() <= 2_560,
        "{} are kept",
        timed.buckets.len()
    );
    assert_eq!(usize::try_from(kept).unwrap(), timed.buckets.len());
    assert_eq!(evicted, 20_000 - timed.buckets.len() as u64);
    // Two hundred that have used all they had are kept while others come and go.
    let timed = Timed::new();
    for key in 0..200 {
        for _ in 0..10 {
            timed.take(key, &quota, SECOND, 2_560);
        }
    }
    for key in 1_000..10_000_u64 {
        timed.take(key, &quota, SECOND, 2_560);
    }
    let refused = (0..200).filter(|key| !timed.take(*key, &quota, SECOND, 2_560).verdict.passes());
    assert!(refused.count() >= 190);
}

#[test]
fn buckets_that_are_full_again_go_by_themselves() {
    let timed = Timed::new();
    let quota = Quota::new("10/s".parse().unwrap(), 10, 1).unwrap();
    let mut now = SECOND;
    for key in 0..200_000_u64 {
        let taken = timed.take(key, &quota, now, 1_000_000);
        assert_eq!(taken.evicted, 0);
        now += SECOND / 10_000;
    }
    // A key is of use for a tenth of a second, in which a thousand come.
    assert!(
        timed.buckets.len() < 5_000,
        "{} are kept",
        timed.buckets.len()
    );
}

/// What one worker does: at which time it asks, in steps since its last.
fn schedule() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0..3_u8, 0..SECOND / 2), 1..80)
}

proptest! {
    /// Two workers ask for a few keys, in any interleaving, at any times. In no stretch of time
    /// does more pass than the rate gives in it, and a burst.
    #[test]
    fn no_more_passes_than_rate_times_time_and_a_burst(
        schedules in [schedule(), schedule()],
        order in prop::collection::vec(prop::bool::ANY, 160),
        count in 1..20_u32,
        burst in 1..8_u32,
        cost in 1..3_u32,
    ) {
        let rate = crate::build::Rate { count, per: Duration::from_secs(1) };
        let burst = burst.max(cost);
        let quota = Quota::new(rate, burst, cost).unwrap();
        let timed = Timed::new();
        let mut next = [0, 0];
        let mut now = SECOND;
        let mut passed: Vec<Vec<u64>> = vec![Vec::new(); 3];
        for second in order {
            let worker = usize::from(second);
            let Some((key, step)) = schedules[worker].get(next[worker]) else { continue };
            next[worker] += 1;
            now += step;
            if timed.take((*key).into(), &quota, now, 1_000).verdict.passes() {
                passed[usize::from(*key)].push(now);
            }
        }
        for times in &passed {
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let tokens = u64::from(cost) * (last - first + 1) as u64;
                    let allowed = u128::from(burst) * u128::from(SECOND)
                        + u128::from(to - from) * u128::from(count);
                    prop_assert!(
                        u128::from(tokens) * u128::from(SECOND) <= allowed,
                        "{tokens} in {} ns", to - from
                    );
                }
            }
        }
    }
}

#[test]
fn threads_together_get_no_more_than_one_would() {
    let timed = Timed::new();
    let quota = Quota::new("1/h".parse().unwrap(), 1_000, 1).unwrap();
    let passed = thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let ask =
                        |step: u64| timed.take(step % 4, &quota, SECOND, 1_000).verdict.passes();
                    (0..8_000).filter(|step| ask(*step)).count()
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum::<usize>()
    });
    assert_eq!(passed, 4 * 1_000);
}
