//! Health routes, from their TOML to their JSON.

use std::net::TcpListener;
use std::sync::Arc;

use super::*;
use crate::build::{BuildContext, CarryOver, ParseContext, Probe, Section};
use crate::exchange::Body;
use crate::exchange::testing::TestRequest;
use crate::handlers::{Handler, UPSTREAM};

type Probes = Vec<Arc<dyn Probe>>;

/// Builds a `health` table beside an upstream `backend` that has one server nobody checks.
fn build(text: &str, kept: &mut CarryOver) -> (Health, Probes) {
    let mut cx = BuildContext::new(kept, std::env::temp_dir());
    let section = Section::from_text("servers = [\"127.0.0.1:9\"]").unwrap();
    let upstream = (UPSTREAM.parse)(&section, &mut ParseContext::default()).unwrap();
    cx.name = Arc::from("backend");
    let upstream = upstream.build(&mut cx).unwrap();
    cx.provide("backend", upstream);
    let names = [Arc::from("backend")];
    let mut parsing = ParseContext {
        upstreams: &names,
        ..ParseContext::default()
    };
    let section = Section::from_text(text).unwrap();
    let settings = (KIND.parse)(&section, &mut parsing);
    assert_eq!(parsing.problems, []);
    let Handler::Health(health) = settings.unwrap().build(&mut cx).unwrap() else {
        panic!("not a health handler");
    };
    (*health, cx.probes)
}

fn answer(response: &Response) -> (u16, String) {
    let body = match &response.body {
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        response.headers.get(&name::CACHE_CONTROL),
        Some(&b"no-store"[..])
    );
    assert_eq!(
        response.headers.get(&name::CONTENT_TYPE),
        Some(&b"application/json"[..])
    );
    (response.status.code(), body)
}

#[track_caller]
fn check(health: &Health, draining: bool, status: u16, expected: &str) {
    let mut request = TestRequest::get("/health");
    let mut x = request.exchange();
    x.draining = draining;
    let found = answer(&health.handle(&x));
    assert_eq!(found, (status, expected.to_owned()));
}

#[test]
fn liveness_and_readiness_have_their_words() {
    let mut kept = CarryOver::default();
    let (health, _) = build("kind = \"liveness\"", &mut kept);
    check(&health, false, 200, r#"{"status":"alive"}"#);
    check(&health, true, 200, r#"{"status":"alive"}"#);
    let (health, _) = build("kind = \"readiness\"", &mut kept);
    check(&health, false, 200, r#"{"status":"ready"}"#);
    let draining = r#"{"status":"not ready","reason":"draining"}"#;
    check(&health, true, 503, draining);
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let (health, _) = build("kind = \"liveness\"", &mut CarryOver::default());
    let mut request = TestRequest::new(Method::Post, "/health");
    let response = health.handle(&request.exchange());
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers.get(&name::ALLOW), Some(&b"GET, HEAD"[..]));
}

#[test]
fn checks_are_unhealthy_until_they_were_run_and_then_as_they_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let text = format!("kind = \"readiness\"\nchecks.db = {{ tcp = \"{address}\" }}");
    let mut kept = CarryOver::default();
    let (health, probes) = build(&text, &mut kept);
    let unknown = r#"{"status":"not ready","reason":"Check 'db' failed: not checked yet"}"#;
    check(&health, false, 503, unknown);
    for probe in &probes {
        probe.run();
    }
    check(&health, false, 200, r#"{"status":"ready"}"#);

    // A reload keeps what was found.
    let (again, _) = build(&text, &mut kept);
    check(&again, false, 200, r#"{"status":"ready"}"#);

    // Port 1 is nobody's: it is not among those that the kernel gives away.
    let text = text.replace(&address.to_string(), "127.0.0.1:1");
    let (moved, probes) = build(&text, &mut kept);
    for probe in &probes {
        probe.run();
    }
    let refused = "{\"status\":\"not ready\",\"reason\":\"Check 'db' failed: 127.0.0.1:1: \
                   Connection refused (os error 111)\"}";
    check(&moved, false, 503, refused);
}

#[test]
fn everything_in_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    let text = format!(
        "kind = \"full\"\nsystem = true\n[checks]\n\
         a = {{ file = \"{shown}\", writable = true }}\n\
         b = {{ file = \"{shown}/none\" }}\n\
         c = {{ disk = \"{shown}\", min_free = \"0%\" }}\n\
         d = {{ disk = \"{shown}\", min_free = \"1000TiB\" }}\n\
         e = {{ upstream = \"backend\" }}\n"
    );
    let (health, probes) = build(&text, &mut CarryOver::default());
    assert_eq!(probes.len(), 4);
    for probe in &probes {
        probe.run();
    }
    let mut request = TestRequest::get("/health");
    let (status, body) = answer(&health.handle(&request.exchange()));
    assert_eq!(status, 503);
    assert!(
        body.starts_with("{\"status\":\"unhealthy\",\"uptime_seconds\":"),
        "{body}"
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let checks = json["checks"].as_object().unwrap();
    let found: Vec<(&str, &str)> = checks
        .iter()
        .map(|(name, check)| (name.as_str(), check["status"].as_str().unwrap()))
        .collect();
    let (up, down) = ("healthy", "unhealthy");
    assert_eq!(
        found,
        [("a", up), ("b", down), ("c", up), ("d", down), ("e", up)]
    );
    assert_eq!(
        checks["b"]["message"],
        format!("{shown}/none: No such file or directory (os error 2)")
    );
    assert_eq!(checks["b"]["age_seconds"], 0);
    assert!(checks["b"]["duration_ms"].is_u64());
    assert_eq!(
        checks["e"]["message"],
        "upstream backend has a healthy server"
    );
    assert_eq!(json["system"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["system"]["hostname"].is_string());
}

#[test]
fn details_and_system_are_told_only_if_asked_for() {
    let text = "kind = \"full\"\ndetails = false\nchecks.e = { upstream = \"backend\" }";
    let (health, _) = build(text, &mut CarryOver::default());
    let mut request = TestRequest::get("/health");
    let (status, body) = answer(&health.handle(&request.exchange()));
    assert_eq!(status, 200);
    let uptime = body.strip_prefix("{\"status\":\"healthy\",\"uptime_seconds\":");
    let digits = uptime.and_then(|rest| rest.strip_suffix('}')).unwrap();
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{body}");
}

#[test]
fn every_mistake_of_a_table_is_told() {
    let text = "kind = \"readiness\"\n[checks]\n\
                a = { tcp = \"a:1\", file = \"/x\" }\n\
                b = {}\n\
                c = { http = \"https://a/\" }\n\
                d = { http = \"http://a b/\" }\n\
                e = { disk = \"/\" }\n\
                f = { disk = \"/\", min_free = \"lots\" }\n\
                g = { tcp = \"a:1\", writable = true, min_free = \"1B\" }\n\
                h = { upstream = \"none\", interval = \"1s\", timeout = \"0s\" }\n";
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext::default();
    assert!((KIND.parse)(&section, &mut cx).is_none());
    let found: Vec<&str> = cx.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "the check `a` must look at one thing",
            "the check `b` must look at one thing",
            "https:// is not supported yet",
            "\"http://a b/\" is not a URL",
            "the check `e` needs `min_free`",
            "\"lots\" is neither a size nor a share",
            "`writable` goes with `file`",
            "`min_free` goes with `disk`",
            "an upstream is not asked here",
            "an upstream is not asked here",
            "no time at all",
            "there is no upstream `none`",
        ]
    );
    let text = "kind = \"liveness\"\nchecks.a = { tcp = \"a:1\" }";
    let mut cx = ParseContext::default();
    assert!((KIND.parse)(&Section::from_text(text).unwrap(), &mut cx).is_none());
    assert_eq!(cx.problems[0].message, "liveness has no checks");
    let mut cx = ParseContext::default();
    let example = Section::from_text(KIND.example).unwrap();
    assert!(
        (KIND.parse)(&example, &mut cx).is_some(),
        "{:?}",
        cx.problems
    );
}
