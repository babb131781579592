//! Responses as they are written and as they come out.

use std::sync::Arc;

use super::*;
use crate::build::{BuildContext, CarryOver, ParseContext, Section};
use crate::exchange::testing::TestRequest;
use crate::handlers::Handler;
use crate::http::name::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};

#[track_caller]
fn build(text: &str) -> Respond {
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext::default();
    let settings = (KIND.parse)(&section, &mut cx);
    let settings = settings.unwrap_or_else(|| panic!("{:#?}", cx.problems));
    let mut carry_over = CarryOver::default();
    let base = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut cx = BuildContext::new(&mut carry_over, base);
    match settings.build(&mut cx).unwrap() {
        Handler::Respond(respond) => *respond,
        other => panic!("{other:?}"),
    }
}

fn answer(text: &str) -> (Response, String) {
    let respond = build(text);
    let mut request = TestRequest::get("/a?name=%3Cb%3E%22%0A%FF&tag=%3Cb%3E");
    let mut x = request.exchange();
    x.params.push("id", b"7");
    let response = respond.handle(&x);
    let body = match &response.body {
        Body::Empty => String::new(),
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    (response, body)
}

#[track_caller]
fn check(text: &str, content_type: Option<&str>, body: &str) {
    let (response, found) = answer(text);
    assert_eq!(found, body);
    assert_eq!(response.headers.get_str(&CONTENT_TYPE), content_type);
}

#[test]
fn contents_and_their_types() {
    check("", None, "");
    check("status = 204", None, "");
    check("text = 'hi'", Some("text/plain; charset=utf-8"), "hi");
    check(
        "text = '{path.id} {query.tag}'",
        Some("text/plain; charset=utf-8"),
        "7 <b>",
    );
}

#[test]
fn html_escapes_values_only() {
    check(
        "html = '<p>{query.tag}</p>'",
        Some("text/html; charset=utf-8"),
        "<p>&lt;b&gt;</p>",
    );
}

#[test]
fn json_stays_json() {
    check(
        "json = { now = 1, ok = true, list = [1.5, \"a\\\"{path.id}\"], \"k\\\"\" = { a = {} } }",
        Some("application/json"),
        "{\"k\\\"\":{\"a\":{}},\"list\":[1.5,\"a\\\"7\"],\"now\":1,\"ok\":true}",
    );
    let (_, body) = answer("json = { name = '{query.name}', at = 1979-05-27, x = inf }");
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["name"], "<b>\"\n\u{FFFD}");
    assert_eq!(value["at"], "1979-05-27");
    assert!(value["x"].is_null());
    check("json = []", Some("application/json"), "[]");
    check("json = 7", Some("application/json"), "7");
    check("json = 'a{{b'", Some("application/json"), "\"a{b\"");
    check(
        "json = {}\ncontent_type = 'application/problem+json'",
        Some("application/problem+json"),
        "{}",
    );
}

#[test]
fn files_are_read_once() {
    let (response, body) = answer("file = 'Cargo.toml'\nstatus = 404");
    assert!(body.starts_with("[package]"));
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert!(response.headers.contains(&CONTENT_TYPE));
}

#[test]
fn fields_fixed_and_made() {
    let (response, _) = answer(
        "headers = { Cache-Control = 'no-store', Set-Cookie = ['a=1', 'b={path.id}'], \
         X-Name = '{query.name}' }",
    );
    assert_eq!(response.headers.get_str(&CACHE_CONTROL), Some("no-store"));
    let cookies: Vec<_> = response.headers.get_all(&SET_COOKIE).collect();
    assert_eq!(cookies, [b"a=1", b"b=7"]);
    let name = HeaderName::from_bytes(b"x-name").unwrap();
    assert_eq!(response.headers.get(&name), Some(&b"<b>\" \xFF"[..]));
}

#[test]
fn small_content_is_copied_and_large_is_shared() {
    let small = build("text = 'small'");
    let large = build(&format!("text = '{}'", "x".repeat(2000)));
    let content = |respond: &Respond| match &respond.content {
        Content::Fixed(bytes) => bytes.clone(),
        Content::Template(..) => panic!("it has no variables"),
    };
    let sent = |respond: &Respond| match respond.handle(&TestRequest::get("/").exchange()).body {
        Body::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert_ne!(sent(&small).as_ptr(), content(&small).as_ptr());
    assert_eq!(sent(&small), content(&small));
    assert_eq!(sent(&large).as_ptr(), content(&large).as_ptr());
}

#[track_caller]
fn check_problems(text: &str, expected: &[&str]) {
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext {
        captures: Some(vec![Arc::from("id")]),
        ..ParseContext::default()
    };
    assert!((KIND.parse)(&section, &mut cx).is_none());
    let found: Vec<_> = cx
        .problems
        .iter()
        .map(|problem| &*problem.message)
        .collect();
    assert_eq!(found, expected);
    assert!(cx.problems.iter().all(|problem| problem.hint.is_some()));
}

#[test]
fn mistakes() {
    check_problems(
        "status = 101",
        &["101 is not the status of a final response"],
    );
    check_problems(
        "status = 204\ntext = 'x'",
        &["a response with the status 204 has no content"],
    );
    check_problems(
        "status = 205\ntext = 'x'",
        &["a response with the status 205 has no content"],
    );
    check_problems("text = 'x'\nhtml = 'y'", &["a response has one content"]);
    check_problems(
        "headers = { 'a b' = '1', Date = 'x', Content-Type = 'y', X-A = 7, X-B = \"a\\nb\" }",
        &[
            "the type of the content has a key of its own",
            "`Date` is written by the server itself",
            "must be a string or a list of strings",
            "the value of a field cannot hold the byte 0x0a",
            "`a b` is not the name of a field",
        ],
    );
    check_problems(
        "text = '{nope}'",
        &["`text`: there is no variable `{nope}`"],
    );
    check_problems(
        "json = { a = ['{client.pi}'], b = '{' }",
        &[
            "there is no variable `{client.pi}`",
            "a `{` opens a variable that is never closed",
        ],
    );
    check_problems(
        "text = '{path.idd}'\nheaders = { X-A = '{path.other}' }",
        &[
            "the path of the route captures no `other`",
            "the path of the route captures no `idd`",
        ],
    );
    check_problems(
        "content_type = \"a\\nb\"\ntext = ''",
        &["the value of a field cannot hold the byte 0x0a"],
    );
    let deep = format!("json = {}{}", "[".repeat(40), "]".repeat(40));
    check_problems(&deep, &["the JSON is nested more than 32 deep"]);
}

#[test]
fn files_that_cannot_be_read_are_problems() {
    let check = |path: &str, expected: &str| {
        let text = format!("file = '{path}'");
        let section = Section::from_text(&text).unwrap();
        let settings = (KIND.parse)(&section, &mut ParseContext::default()).unwrap();
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, "/".into());
        let problem = settings.build(&mut cx).unwrap_err();
        assert!(problem.message.starts_with(expected), "{problem:?}");
    };
    check("none/of/this", "cannot read /none/of/this: ");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(16 << 20).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    check(path.to_str().unwrap(), path.to_str().unwrap());
}
