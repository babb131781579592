//! Whose answers are whose: what one client was answered and another must not get.

use crate::exchange::testing::TestRequest;
use crate::exchange::{Body, Exchange, Flow, Middleware, Response};
use crate::http::{StatusCode, name};
use crate::middleware::cache::KIND;
use crate::middleware::tests::build;

/// What a request is answered with: the page of whoever asks first, or one that is there.
fn answer(cache: &dyn Middleware, x: &mut Exchange<'_>, control: &str, page: &str) -> String {
    let mut response = match cache.on_request(x) {
        Flow::Respond(response) => response,
        Flow::Continue => {
            let response = Response::text(StatusCode::OK, page.to_owned());
            let mut response = response.with(&name::CACHE_CONTROL, control);
            cache.on_response(x, &mut response);
            response
        }
        Flow::Wait(_) => panic!("nobody else asks"),
    };
    match std::mem::take(&mut response.body) {
        Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_answered_to_who_proved_something_is_for_nobody_else() {
    #[track_caller]
    fn check(control: &str, expected: &str) {
        let cache = build(&KIND, "");
        // The credentials themselves have been taken off further out.
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        x.facts_mut().authorized = true;
        assert_eq!(answer(&*cache, &mut x, control, "of alice"), "of alice");
        let mut request = TestRequest::get("/");
        let found = answer(&*cache, &mut request.exchange(), control, "of all");
        assert_eq!(found, expected, "{control}");
    }
    check("max-age=60", "of all");
    check("max-age=60, public", "of alice");
    check("s-maxage=60", "of alice");
    check("max-age=60, must-revalidate", "of alice");
}

#[test]
fn http_is_not_answered_with_what_https_was_also_before_a_trusted_proxy() {
    let cache = build(&KIND, "");
    let by = |scheme: &str, page: &str| {
        let mut request = TestRequest::get("/").header("X-Forwarded-Proto", scheme);
        let mut x = request.exchange();
        x.trusted_peer = true;
        answer(&*cache, &mut x, "max-age=60", page)
    };
    assert_eq!(by("http", "go to https"), "go to https");
    assert_eq!(by("https", "welcome"), "welcome");
    assert_eq!(by("http", "again"), "go to https");
    assert_eq!(by("https", "again"), "welcome");
}
