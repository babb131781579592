//! Who gets in, who does not, and what those further in see.

use super::*;
use crate::exchange::testing::{TestRequest, block_on};
use crate::exchange::{Response, Why};
use crate::middleware::tests::{build, problems};

const USERS: &str =
    "users = { alice = '$2y$04$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e' }";

/// Alice's password is `secret`, bob's `pässwörd`.
fn users() -> String {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    format!(
        "users = {{ alice = '{}', bob = '{}' }}\n",
        hash("secret"),
        hash("pässwörd")
    )
}

fn pair(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What comes of a request with this field; 200 stands for going on.
fn run(
    link: &dyn Middleware,
    request: &mut TestRequest,
    value: &str,
) -> (Response, Option<String>) {
    request.head.headers.set(&name::AUTHORIZATION, value);
    request.run(async |x| {
        let mut flow = link.on_request(x);
        let response = loop {
            match flow {
                Flow::Continue => break Response::new(StatusCode::OK),
                Flow::Respond(response) => break response,
                Flow::Wait(wait) => flow = wait.await(x),
            }
        };
        let facts = x.facts.as_ref();
        (
            response,
            facts.and_then(|facts| facts.user.as_deref().map(str::to_owned)),
        )
    })
}

#[track_caller]
fn check(link: &dyn Middleware, value: &str, status: u16, why: Option<Why>) -> Response {
    let (response, user) = run(link, &mut TestRequest::get("/"), value);
    assert_eq!(response.status.code(), status, "{value}");
    assert_eq!(response.why, why, "{value}");
    assert_eq!(user.is_some(), status == 200);
    response
}

#[test]
fn users_get_in_and_others_are_asked() {
    let link = build(&KIND, &users());
    let wrong = Some(Why::CredentialsRefused);
    check(&*link, &pair("alice", "secret"), 200, None);
    check(&*link, &pair("bob", "pässwörd"), 200, None);
    check(&*link, &pair("alice", "pässwörd"), 401, wrong);
    check(&*link, &pair("alice", ""), 401, wrong);
    check(&*link, &pair("carol", "secret"), 401, wrong);
    check(&*link, &pair("Alice", "secret"), 401, wrong);
    check(&*link, "basic !!!", 401, wrong);
    check(
        &*link,
        &format!("Basic {}", STANDARD.encode("alice")),
        401,
        wrong,
    );
    check(&*link, &pair("alice", "a\0b"), 401, wrong);
    check(&*link, &pair("alice", &"x".repeat(513)), 401, wrong);
    let missing = Some(Why::CredentialsMissing);
    check(&*link, "Bearer x", 401, missing);
    check(&*link, "Basic", 401, missing);
    let refused = check(&*link, "", 401, missing);
    assert_eq!(
        refused.headers.get_str(&name::WWW_AUTHENTICATE),
        Some("Basic realm=\"restricted\", charset=\"UTF-8\"")
    );
}

#[test]
fn two_fields_are_none() {
    let link = build(&KIND, &users());
    let mut request = TestRequest::get("/").header("Authorization", pair("alice", "secret"));
    let value = pair("bob", "x");
    request.head.headers.append(&name::AUTHORIZATION, value);
    let flow = link.on_request(&mut request.exchange());
    assert!(matches!(flow, Flow::Respond(response) if response.status == StatusCode::UNAUTHORIZED));
}

#[test]
fn a_password_that_was_right_is_not_compared_again() {
    let link = build(&KIND, &users());
    let mut request = TestRequest::get("/");
    assert_eq!(
        run(&*link, &mut request, &pair("alice", "secret"))
            .1
            .as_deref(),
        Some("alice")
    );
    {
        let mut x = request.exchange();
        assert!(matches!(link.on_request(&mut x), Flow::Continue));
        assert_eq!(x.facts.unwrap().user.as_deref(), Some("alice"));
    }
    // A wrong one is compared, also of a user who was right before.
    let mut request = request
        .again("/")
        .header("Authorization", pair("alice", "no"));
    assert!(matches!(
        link.on_request(&mut request.exchange()),
        Flow::Wait(_)
    ));
}

#[test]
fn what_those_further_in_see() {
    let text = format!("{}strip = true\nuser_header = 'X-User'", users());
    let link = build(&KIND, &text);
    let mut request = TestRequest::get("/").header("X-User", "root");
    run(&*link, &mut request, &pair("bob", "pässwörd"));
    let headers = &request.head.headers;
    let user = HeaderName::from_bytes(b"x-user").unwrap();
    assert!(!headers.contains(&name::AUTHORIZATION));
    assert_eq!(headers.get_all(&user).collect::<Vec<_>>(), [b"bob"]);
    // Also where nobody gets in.
    let mut request = TestRequest::get("/").header("X-User", "root");
    run(&*link, &mut request, "");
    assert!(!request.head.headers.contains(&user));
}

#[test]
fn who_is_wrong_too_often_waits_and_whose_password_is_known_does_not() {
    let link = build(&KIND, &format!("{}failures = '3/h'", users()));
    let mut request = TestRequest::get("/");
    // Being right costs nothing.
    for _ in 0..5 {
        let (response, _) = run(&*link, &mut request, &pair("alice", "secret"));
        assert_eq!(response.status, StatusCode::OK);
    }
    for _ in 0..3 {
        let (response, _) = run(&*link, &mut request, &pair("alice", "guess"));
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    }
    let (response, _) = run(&*link, &mut request, &pair("bob", "pässwörd"));
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.why, Some(Why::TooManyFailures));
    let wait = response.headers.get_str(&name::RETRY_AFTER).unwrap();
    assert!((1..=1201).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    let (response, _) = run(&*link, &mut request, &pair("alice", "secret"));
    assert_eq!(response.status, StatusCode::OK);
}

#[test]
fn a_pool_that_is_full_or_gone_lets_nobody_in() {
    let link = build(&KIND, &users());
    let mut request = TestRequest::get("/").header("Authorization", pair("alice", "secret"));
    let (gone, jobs) = BlockingPool::new(1);
    drop(jobs);
    request.locals.blocking = gone;
    let (response, user) = run(&*link, &mut request, &pair("alice", "secret"));
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((response.why, user), (Some(Why::AuthUnavailable), None));
    assert!(response.headers.contains(&name::RETRY_AFTER));
}

#[test]
fn no_more_wait_than_may() {
    let gate = Arc::new(Gate::default());
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| Waiting::at(&gate)).collect();
    assert!(waiting.iter().all(Option::is_some));
    assert!(Waiting::at(&gate).is_none());
    drop(waiting);
    assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    assert!(block_on(gate.open.acquire()).is_ok());
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| assert_eq!(problems(&KIND, text), [expected]);
    check("", "this table needs `users` or `users_file`");
    check(
        "users = { alice = 'secret' }",
        "user `alice`: a password that is not hashed is refused",
    );
    check(
        "users = { alice = '$apr1$a$b' }",
        "user `alice`: a hash of MD5 (apr1) is refused: it is guessed a billion times a second",
    );
    check(
        "users = { 'a:b' = '$2y$' }",
        "user `a:b`: a user without a name, or with one that no client could send",
    );
    check(
        &format!("{USERS}\nrealm = \"ä\""),
        "`\\u{e4}` cannot be the name of a realm",
    );
    check(
        &format!("{USERS}\nfailures = '0/m'"),
        "`failures`: `0/m` would let nothing pass",
    );
}
