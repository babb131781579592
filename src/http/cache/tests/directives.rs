//! `Cache-Control` as it is read.

use super::headers;
use crate::http::cache::{
    RequestDirectives as Request, ResponseDirectives as Response, SECONDS_MAX,
};

#[track_caller]
fn response(fields: &str, expected: Response) {
    assert_eq!(Response::read(&headers(fields)), expected, "{fields}");
}

#[track_caller]
fn request(fields: &str, expected: Request) {
    assert_eq!(Request::read(&headers(fields)), expected, "{fields}");
}

fn max_age(seconds: u64) -> Response {
    Response {
        max_age: Some(seconds),
        ..Response::default()
    }
}

#[test]
fn responses_say() {
    let none = Response::default();
    response("", none);
    response("Cache-Control: nonsense, x=y, =, ,\"", none);
    response("Cache-Control: max-age=60", max_age(60));
    response("Cache-Control: MAX-AGE=60", max_age(60));
    response("Cache-Control: max-age=\"60\"", max_age(60));
    response("Cache-Control: max-age=060", max_age(60));
    response("Cache-Control: a=\"max-age=1\", max-age=60", max_age(60));
    response("Cache-Control: a=\"b, max-age=1\", max-age=60", max_age(60));
    response("Cache-Control: foo,\tmax-age=60 ,bar", max_age(60));
    response("Cache-Control: x\nCache-Control: max-age=60", max_age(60));
    response("Cache-Control: max-age=4294967296", max_age(SECONDS_MAX));
    response(
        "Cache-Control: max-age=99999999999999999999999",
        max_age(SECONDS_MAX),
    );
    // What is broken is stale.
    for broken in [
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=1.5",
        "max-age=a",
        "max-age= 60",
    ] {
        response(&format!("Cache-Control: {broken}"), max_age(0));
    }
    response("Cache-Control: max-age=60, max-age=10", max_age(10));
    response(
        "Cache-Control: max-age=10\nCache-Control: max-age=60",
        max_age(10),
    );
    response("Cache-Control: xmax-age=60", none);
    response(
        "Cache-Control: public, no-store, no-cache, must-revalidate, proxy-revalidate",
        Response {
            public: true,
            no_store: true,
            no_cache: true,
            must_revalidate: true,
            proxy_revalidate: true,
            ..none
        },
    );
    response(
        "Cache-Control: private=\"set-cookie\", no-cache=\"a, b\", no-transform",
        Response {
            private: true,
            no_cache: true,
            no_transform: true,
            ..none
        },
    );
    response(
        "Cache-Control: immutable, must-understand, s-maxage=5, stale-while-revalidate=6, \
         stale-if-error=7",
        Response {
            immutable: true,
            must_understand: true,
            s_maxage: Some(5),
            stale_while_revalidate: Some(6),
            stale_if_error: Some(7),
            ..none
        },
    );
    response("Pragma: no-cache", none);
}

#[test]
fn requests_ask() {
    let none = Request::default();
    request("", none);
    let no_cache = Request {
        no_cache: true,
        ..none
    };
    request("Cache-Control: no-cache", no_cache);
    request("Pragma: no-cache", no_cache);
    request("Pragma: x, No-Cache", no_cache);
    // `Pragma` counts only where nothing newer is said.
    request("Pragma: no-cache\nCache-Control: x", none);
    request(
        "Cache-Control: no-store, only-if-cached, max-age=1, min-fresh=2, stale-if-error=3",
        Request {
            no_store: true,
            only_if_cached: true,
            max_age: Some(1),
            min_fresh: Some(2),
            stale_if_error: Some(3),
            ..none
        },
    );
    let stale = |seconds| Request {
        max_stale: Some(seconds),
        ..none
    };
    request("Cache-Control: max-stale", stale(SECONDS_MAX));
    request("Cache-Control: max-stale=5", stale(5));
    request("Cache-Control: max-stale, max-stale=5", stale(5));
    request("Cache-Control: max-stale=5, max-stale", stale(5));
    request("Cache-Control: max-stale=x", stale(0));
    request("Cache-Control: min-fresh=x", none);
}
