//! What the service is asked, and what becomes of its answers.

use std::sync::Mutex;

use super::*;
use crate::build::{BuildContext, CarryOver, ParseContext, Section};
use crate::exchange::testing::TestRequest;
use crate::exchange::{Fetch, LocalBoxFuture, WorkerLocals};
use crate::middleware::tests::problems;

/// A status, fields and content.
type Answer = (u16, Vec<(&'static str, &'static str)>, &'static str);

/// A service that answers as it is told, and keeps what it was asked.
#[derive(Debug, Default)]
struct Service {
    answer: Option<Answer>,
    asked: Mutex<Vec<String>>,
}

impl Fetch for Service {
    fn fetch(
        &self,
        _: &WorkerLocals,
        request: RequestHead,
        _: Bytes,
        _: Duration,
    ) -> LocalBoxFuture<'static, Result<Response, Why>> {
        let mut text = format!("{} {}\n", request.method.as_str(), request.target.raw());
        for (name, value) in request.headers.iter() {
            for part in [name, b": ", value, b"\n"] {
                text.push_str(std::str::from_utf8(part).unwrap());
            }
        }
        self.asked.lock().unwrap().push(text);
        let answer = self.answer.as_ref().ok_or(Why::ConnectRefused);
        let answer = answer.map(|(status, fields, content)| {
            let mut response = Response::new(StatusCode::new(*status).unwrap());
            for (name, value) in fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                response.headers.append(&name, value);
            }
            response.body = Body::from(Bytes::from_static(content.as_bytes()));
            response
        });
        Box::pin(async move { answer })
    }
}

/// The answer to a request, 200 standing for going on, and the service.
fn run(
    settings: &str,
    request: &mut TestRequest,
    answer: Option<Answer>,
) -> (Response, Option<String>, String) {
    let service = Arc::new(Service {
        answer,
        ..Service::default()
    });
    let mut carry_over = CarryOver::default();
    let mut build = BuildContext::new(&mut carry_over, "/".into());
    let fetcher = Fetcher::new(Arc::<Service>::clone(&service) as Arc<dyn Fetch>);
    build.provide("auth", Arc::new(fetcher));
    let text = format!("upstream = 'auth'\npath = '/verify?x'\n{settings}");
    let section = Section::from_text(&text).unwrap();
    let names = [Arc::from("auth")];
    let mut cx = ParseContext {
        upstreams: &names,
        ..ParseContext::default()
    };
    let settings = (KIND.parse)(&section, &mut cx).unwrap();
    let link = settings.build(&mut build).unwrap();
    let (response, user) = request.run(async |x| {
        let mut flow = link.on_request(x);
        let mut response = loop {
            match flow {
                Flow::Continue => break Response::new(StatusCode::OK),
                Flow::Respond(response) => break response,
                Flow::Wait(wait) => flow = wait.await(x),
            }
        };
        link.on_response(x, &mut response);
        let facts = x.facts.as_ref();
        (
            response,
            facts.and_then(|facts| facts.user.as_deref().map(str::to_owned)),
        )
    });
    let asked = service.asked.lock().unwrap().concat();
    (response, user, asked)
}

#[test]
fn the_service_sees_what_was_asked_for() {
    let mut request = TestRequest::new(crate::http::Method::Post, "/a/../b?c=%2F")
        .header("Host", "shop.example:8080")
        .header("Cookie", "s=1")
        .header("Content-Length", "3")
        .header("X-Forwarded-For", "10.9.9.9")
        .header("X-Forwarded-Uri", "/forged")
        .header("Forwarded", "for=10.9.9.9");
    let (_, _, asked) = run("", &mut request, Some((200, vec![], "")));
    assert_eq!(
        asked,
        "GET /verify?x\nCookie: s=1\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Uri: /b?c=%2F\n\
         X-Forwarded-Method: POST\nX-Forwarded-Proto: http\n\
         X-Forwarded-Host: shop.example:8080\n"
    );
    let some = "request_headers = ['authorization', 'Content-Length']\nhost = 'auth.example'";
    let (_, _, asked) = run(some, &mut request, Some((200, vec![], "")));
    assert!(asked.starts_with("GET /verify?x\nHost: auth.example\nX-Forwarded-Method: POST\n"));
    assert!(
        !asked.contains("Cookie") && !asked.contains("Content-Length"),
        "{asked}"
    );
}

#[test]
fn who_passes_is_known_further_in() {
    let settings = "response_headers = ['X-User', 'X-Roles']\nuser_header = 'x-user'";
    let mut request = TestRequest::get("/")
        .header("X-User", "root")
        .header("x-roles", "admin");
    let fields = vec![
        ("X-User", "alice"),
        ("X-Other", "1"),
        ("Set-Cookie", "s=2"),
        ("Set-Cookie", "t=3"),
    ];
    let (response, user, asked) = run(settings, &mut request, Some((204, fields, "")));
    assert_eq!(
        (response.status, user.as_deref()),
        (StatusCode::OK, Some("alice"))
    );
    let headers: Vec<_> = request.head.headers.iter().collect();
    assert_eq!(headers, [(&b"X-User"[..], &b"alice"[..])]);
    let cookies: Vec<_> = response.headers.get_all(&name::SET_COOKIE).collect();
    assert_eq!(cookies, [b"s=2", b"t=3"]);
    // The service itself is asked with what the client sent.
    assert!(asked.contains("X-User: root"), "{asked}");
}

#[test]
fn what_the_service_refuses_goes_to_the_client() {
    for (status, fields, content) in [
        (
            302,
            vec![("Location", "/login"), ("Connection", "close")],
            "",
        ),
        (401, vec![("WWW-Authenticate", "Basic realm=\"x\"")], "who?"),
        (
            403,
            vec![("Content-Type", "text/html"), ("Content-Length", "9")],
            "no",
        ),
        (429, vec![], ""),
    ] {
        let mut request = TestRequest::get("/");
        let (response, user, _) = run("", &mut request, Some((status, fields.clone(), content)));
        assert_eq!((response.status.code(), user), (status, None));
        assert_eq!(response.why, Some(Why::CredentialsRefused));
        assert_eq!(response.body.length(), Some(content.len() as u64));
        let (name, value) = fields.first().copied().unwrap_or(("x", ""));
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        assert_eq!(response.headers.get_str(&name).unwrap_or_default(), value);
        assert!(!response.headers.contains(&name::CONNECTION));
        assert!(!response.headers.contains(&name::CONTENT_LENGTH));
    }
}

#[test]
fn nobody_passes_while_nobody_can_be_asked_unless_it_is_said() {
    for answer in [None, Some((500, vec![], "")), Some((503, vec![], ""))] {
        let mut request = TestRequest::get("/").header("X-User", "root");
        let (response, _, _) = run("", &mut request, answer.clone());
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.why, Some(Why::AuthUnavailable));
        let allow = "on_error = 'allow'\nresponse_headers = ['X-User']";
        let (response, user, _) = run(allow, &mut request, answer);
        assert_eq!((response.status, user), (StatusCode::OK, None));
        assert!(request.head.headers.is_empty(), "a forged field is gone");
    }
}

#[test]
fn mistakes() {
    let check = |text: &str, expected: &str| {
        let found = problems(&KIND, text);
        assert!(found.iter().any(|found| found == expected), "{found:?}");
    };
    check(
        "path = '/x'\nupstream = 'none'",
        "there is no upstream `none`",
    );
    check("path = 'x'\nupstream = 'none'", "`x` is not a path");
    check(
        "path = '/x'\nupstream = 'none'\nrequest_headers = ['a b']",
        "`a b` cannot be the name of a field",
    );
}
