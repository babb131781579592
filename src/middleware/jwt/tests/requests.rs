//! What becomes of those who bring tokens, and settings that cannot be.

use super::*;
use crate::exchange::testing::TestRequest;
use crate::exchange::{Response, Why};
use crate::middleware::tests::{build, problems};

const SETTINGS: &str = "algorithms = ['HS256']\nsecret = '0123456789abcdef0123456789abcdef'\n";

/// What becomes of a request; 200 stands for going on.
#[track_caller]
fn run(settings: &str, request: &mut TestRequest) -> (Response, Option<String>) {
    let link = build(&KIND, &format!("{SETTINGS}{settings}"));
    let mut x = request.exchange();
    let response = match link.on_request(&mut x) {
        Flow::Continue => Response::new(StatusCode::OK),
        Flow::Respond(response) => response,
        Flow::Wait(_) => panic!("nothing to wait for"),
    };
    let facts = x.facts.as_ref();
    (
        response,
        facts.and_then(|facts| facts.user.as_deref().map(str::to_owned)),
    )
}

fn bearer(claims: Value) -> TestRequest {
    let key = EncodingKey::from_secret(SECRET);
    let token = token(Algorithm::HS256, &key, None, claims);
    TestRequest::get("/").header("Authorization", format!("bearer {token}"))
}

#[track_caller]
fn check_refused(settings: &str, mut request: TestRequest, status: u16, why: Why, expected: &str) {
    let (response, user) = run(settings, &mut request);
    assert_eq!((response.status.code(), response.why), (status, Some(why)));
    assert_eq!(user, None);
    let challenge = response.headers.get_str(&name::WWW_AUTHENTICATE).unwrap();
    assert_eq!(challenge, format!("Bearer realm=\"restricted\"{expected}"));
}

#[test]
fn who_is_refused_is_told_why() {
    let refused = Why::CredentialsRefused;
    let none = TestRequest::get("/");
    check_refused("", none, 401, Why::CredentialsMissing, "");
    let invalid = |why: &str| format!(", error=\"invalid_token\", error_description=\"{why}\"");
    let expired = bearer(json!({"exp": 1}));
    check_refused("", expired, 401, refused, &invalid("the token has expired"));
    let garbage = TestRequest::get("/").header("Authorization", "Bearer x");
    check_refused(
        "",
        garbage,
        401,
        refused,
        &invalid("the token is malformed"),
    );
    let issuer = invalid("the token comes from another issuer");
    check_refused(
        "issuer = ['a']",
        bearer(json!({"iss": "b"})),
        401,
        refused,
        &issuer,
    );
    check_refused(
        "require = { scope = ['read'] }",
        bearer(json!({"scope": "write"})),
        403,
        refused,
        ", error=\"insufficient_scope\", error_description=\"the token does not allow this\", \
         scope=\"read\"",
    );
}

#[test]
fn who_gets_in_is_known_further_in() {
    let settings = "claim_headers = { X-User = 'sub', X-Roles = 'realm.roles', X-None = 'none' }\n\
                    strip = true";
    let claims = json!({"sub": "alice", "realm": {"roles": ["a", "b"]}});
    let mut request = bearer(claims)
        .header("X-User", "root")
        .header("x-none", "root");
    let (response, user) = run(settings, &mut request);
    assert_eq!(
        (response.status, user.as_deref()),
        (StatusCode::OK, Some("alice"))
    );
    let mut headers: Vec<_> = request.head.headers.iter().collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [(&b"X-Roles"[..], &b"a,b"[..]), (b"X-User", b"alice")]
    );
}

#[test]
fn other_places_for_tokens() {
    let key = EncodingKey::from_secret(SECRET);
    let token = token(Algorithm::HS256, &key, None, json!({"sub": "a"}));
    let places = "cookie = 't'\nquery = 'access_token'";
    let mut query = TestRequest::get(&format!("/?access_token={token}"));
    assert_eq!(run(places, &mut query).1.as_deref(), Some("a"));
    assert_eq!(run("", &mut query).0.status, StatusCode::UNAUTHORIZED);
    let mut cookie = TestRequest::get("/").header("Cookie", format!("t={token}"));
    assert_eq!(run(places, &mut cookie).1.as_deref(), Some("a"));
    // What is wrong in one place is not made good in another.
    let mut both = cookie.header("Authorization", "Bearer x");
    assert_eq!(run(places, &mut both).0.status, StatusCode::UNAUTHORIZED);
    let mut twice = both.header("Authorization", "Basic x");
    assert_eq!(run(places, &mut twice).0.status, StatusCode::UNAUTHORIZED);
    // The log is told that the parameter is a secret.
    let link = build(&KIND, &format!("{SETTINGS}{places}"));
    let mut request = TestRequest::get("/");
    let mut x = request.exchange();
    drop(link.on_request(&mut x));
    assert_eq!(*x.facts.unwrap().secret_parameters[0], *"access_token");
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| assert_eq!(problems(&KIND, text), [expected]);
    check("algorithms = ['HS256']", "this table needs keys");
    check(
        "algorithms = ['none']\nsecret = '0123456789abcdef0123456789abcdef'",
        "`none` would take any token, from anyone",
    );
    check(
        "algorithms = ['HS255']\nsecret = '0123456789abcdef0123456789abcdef'",
        "there is no algorithm `HS255`",
    );
    check(
        "algorithms = []\nsecret = '0123456789abcdef0123456789abcdef'",
        "without an algorithm no token could be taken",
    );
    check(
        "algorithms = ['HS256']\nsecret = 'short'",
        "a secret of 5 bytes is too short: it can be found by trying",
    );
    check(
        "algorithms = ['RS256']\nsecret = '0123456789abcdef0123456789abcdef'",
        "the key is for none of the algorithms",
    );
    check(
        &format!("{SETTINGS}jwks_file = 'x'"),
        "keys come from secret and jwks_file",
    );
    check(
        &format!("{SETTINGS}claim_headers = {{ 'a b' = 'sub' }}"),
        "`a b` cannot be the name of a field",
    );
    check(
        "algorithms = ['RS256']\nkey = 'x'",
        "this is no public key of RSA, P-256, P-384 or Ed25519 in PEM form",
    );
    check(
        "algorithms = ['RS256']\njwks = { upstream = 'none', path = '/x' }",
        "there is no upstream `none`",
    );
}
