//! Keys of programs on the wire: alone, in a chain, and when their file changes.

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::wire::Wire;

#[track_caller]
fn get(wire: &mut Wire, key: &str) -> Response {
    wire.send(format!(
        "GET /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ));
    wire.read_response()
}

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[middleware.programs]
type = "api_key"
keys = { ci = "${CI_KEY}" }
keys_file = "keys"
query = "key"
[[route]]
path = "/metrics"
metrics = {}
[[route]]
path = "/*"
middleware = ["cors", "programs", "compression"]
respond = { text = "hello {user}" }
"#;

#[test]
fn keys_open_and_a_changed_file_counts_at_once() {
    // What `sha256sum` says of `abc`.
    let abc = "abc:sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    let daemon = Daemon::setup()
        .env("CI_KEY", "0123456789abcdef")
        .file("keys", abc)
        .config(CONFIG)
        .start();
    let mut wire = daemon.connect("web");
    assert_eq!(get(&mut wire, "0123456789abcdef").body, b"hello ci");
    assert_eq!(get(&mut wire, "abc").body, b"hello abc");
    assert_eq!(wire.get("/a?key=abc").body, b"hello abc");
    let refused = get(&mut wire, "wrong");
    assert_eq!(refused.head.status, 401);
    assert!(
        refused
            .head
            .text
            .contains("WWW-Authenticate: ApiKey realm=\"restricted\"\r\n")
    );
    let log = lines(&daemon, 4);
    assert_eq!(
        (&log[0]["user"], &log[2]["user"]),
        (&"ci".into(), &"abc".into())
    );
    assert_eq!(log[2]["uri"], "/a?key=REDACTED");
    assert_eq!(
        (&log[3]["policy"], &log[3]["why"]),
        (&"programs".into(), &"credentials_refused".into())
    );
    daemon.write_file("keys", "# none\n");
    daemon.wait_log("read again what changed");
    assert_eq!(get(&mut wire, "abc").head.status, 401);
    assert_eq!(get(&mut wire, "0123456789abcdef").head.status, 200);
    let page = String::from_utf8(wire.get("/metrics").body).unwrap();
    for (result, count) in [("accepted", 4), ("wrong", 2)] {
        let line = format!(
            "httpserverd_auth_requests_total{{kind=\"api_key\",name=\"programs\",\
             result=\"{result}\"}} {count}"
        );
        assert!(page.contains(&line), "{line}\n{page}");
    }
}

#[test]
fn a_policy_that_only_watches_lets_everyone_through_and_says_so() {
    let config = CONFIG.replace("query = \"key\"", "enforce = false");
    let daemon = Daemon::setup()
        .env("CI_KEY", "0123456789abcdef")
        .file("keys", "")
        .config(&config)
        .start();
    assert_eq!(daemon.get("web", "/a").body, b"hello ");
    let log = lines(&daemon, 1);
    assert_eq!(log[0]["would_refuse"], serde_json::json!(["programs"]));
    assert!(log[0]["policy"].is_null());
}

#[test]
fn no_diagnostic_shows_a_key() {
    let refused = Daemon::setup()
        .env("CI_KEY", "too-short-s3")
        .file("keys", "")
        .config(CONFIG)
        .run();
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("too short"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("s3"), "{}", refused.stderr);
}
