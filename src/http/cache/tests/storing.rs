//! What may be kept.

use super::{NOW, headers};
use crate::http::cache::freshness::{Policy, lifetime};
use crate::http::cache::storing::{Asked, may_store};
use crate::http::cache::{Refusal, RequestDirectives, ResponseDirectives};
use crate::http::{Method, StatusCode};

fn store(method: &Method, request: &str, status: u16, response: &str) -> Result<(), Refusal> {
    let (request, response) = (headers(request), headers(response));
    let directives = ResponseDirectives::read(&response);
    let status = StatusCode::new(status).unwrap();
    let lifetime = lifetime(status, &response, &directives, NOW, Policy::default());
    let asked = Asked {
        method,
        authorized: request.contains(&crate::http::name::AUTHORIZATION),
        directives: &RequestDirectives::read(&request),
    };
    may_store(&asked, status, &response, &directives, lifetime)
}

#[track_caller]
fn kept(request: &str, status: u16, response: &str) {
    let found = store(&Method::Get, request, status, response);
    assert_eq!(found, Ok(()), "{request} → {status} {response}");
}

#[track_caller]
fn refused(request: &str, status: u16, response: &str, why: Refusal) {
    let found = store(&Method::Get, request, status, response);
    assert_eq!(found, Err(why), "{request} → {status} {response}");
}

const FRESH: &str = "Cache-Control: max-age=60";

#[test]
fn methods_and_statuses() {
    kept("", 200, FRESH);
    for method in [
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Options,
    ] {
        assert_eq!(store(&method, "", 200, FRESH), Err(Refusal::Method));
    }
    let own = Method::Extension("BREW".into());
    assert_eq!(store(&own, "", 200, FRESH), Err(Refusal::Method));
    // Whatever says how long it is fresh.
    for status in [
        201, 202, 203, 204, 299, 301, 302, 307, 399, 400, 404, 418, 500, 503, 599,
    ] {
        kept("", status, FRESH);
    }
    for status in [100, 103, 206, 304] {
        refused("", status, FRESH, Refusal::Status);
    }
    let validated = "ETag: \"a\"";
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        kept("", status, validated);
    }
    for status in [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599] {
        refused("", status, validated, Refusal::Useless);
    }
    kept("", 302, "ETag: \"a\"\nCache-Control: public");
    kept("", 302, "Expires: Tue, 24 Nov 2026 12:10:00 GMT");
}

#[test]
fn what_responses_forbid() {
    refused(
        "",
        200,
        "Cache-Control: no-store, max-age=60",
        Refusal::NoStore,
    );
    refused(
        "",
        200,
        "Cache-Control: NO-STORE\nCache-Control: max-age=60",
        Refusal::NoStore,
    );
    refused(
        "",
        200,
        "Cache-Control: private, max-age=60",
        Refusal::Private,
    );
    refused(
        "",
        200,
        "Cache-Control: private=\"x\", max-age=60",
        Refusal::Private,
    );
    refused(
        "",
        200,
        "Cache-Control: private, public, s-maxage=60",
        Refusal::Private,
    );
    refused(
        "",
        200,
        "Vary: *\nCache-Control: max-age=60",
        Refusal::VaryAny,
    );
    refused(
        "",
        200,
        "Vary: a, *\nCache-Control: max-age=60",
        Refusal::VaryAny,
    );
    refused(
        "",
        200,
        "Vary: a\nVary: *\nCache-Control: max-age=60",
        Refusal::VaryAny,
    );
    kept("", 200, "Vary: a\nCache-Control: max-age=60");
}

#[test]
fn what_could_never_be_used() {
    refused("", 200, "", Refusal::Useless);
    refused("", 200, "Cache-Control: max-age=0", Refusal::Useless);
    refused("", 200, "Expires: 0", Refusal::Useless);
    refused(
        "",
        200,
        "Cache-Control: no-cache, max-age=60",
        Refusal::Useless,
    );
    kept("", 200, "Cache-Control: max-age=0\nETag: \"a\"");
    kept(
        "",
        200,
        "Cache-Control: max-age=0, stale-while-revalidate=5",
    );
    kept("", 200, "Cache-Control: max-age=0, stale-if-error=5");
    kept(
        "",
        200,
        "Cache-Control: no-cache\nLast-Modified: Mon, 01 Jan 1990 00:00:00 GMT",
    );
    kept("", 200, "Cache-Control: no-cache=\"x\"\nETag: \"a\"");
}

#[test]
fn what_requests_forbid() {
    refused(
        "Cache-Control: no-store",
        200,
        FRESH,
        Refusal::RequestNoStore,
    );
    kept("Cache-Control: no-cache", 200, FRESH);
    kept("Cookie: a=b", 200, FRESH);
    let authorized = "Authorization: Basic x";
    refused(authorized, 200, FRESH, Refusal::Authorization);
    refused(authorized, 200, "ETag: \"a\"", Refusal::Authorization);
    kept(authorized, 200, "Cache-Control: max-age=60, public");
    kept(authorized, 200, "Cache-Control: s-maxage=60");
    kept(
        authorized,
        200,
        "Cache-Control: max-age=60, must-revalidate",
    );
    refused(
        authorized,
        200,
        "Cache-Control: max-age=60, proxy-revalidate",
        Refusal::Authorization,
    );
}

#[test]
fn cookies_are_kept_only_where_said_to_be_for_all() {
    refused(
        "",
        200,
        "Set-Cookie: a=b\nCache-Control: max-age=60",
        Refusal::SetCookie,
    );
    kept(
        "",
        200,
        "Set-Cookie: a=b\nCache-Control: max-age=60, public",
    );
    kept("", 200, "Set-Cookie: a=b\nCache-Control: s-maxage=60");
}

#[test]
fn statuses_that_must_be_understood() {
    let must = "Cache-Control: must-understand, no-store, max-age=60";
    kept("", 200, must);
    kept("", 404, must);
    refused("", 299, must, Refusal::Status);
    refused("", 418, must, Refusal::Status);
    refused(
        "",
        599,
        "Cache-Control: must-understand, max-age=60",
        Refusal::Status,
    );
}
