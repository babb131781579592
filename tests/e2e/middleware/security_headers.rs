//! `security_headers`: the preset on every response, errors too, and its parts.

use crate::support::daemon::Daemon;

const CONFIG: &str = r#"
[server]
trusted_proxies = ["127.0.0.1"]

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.strict]
type = "security_headers"
hsts = "max-age=63072000; includeSubDomains"
frame_options = "DENY"
content_security_policy = "default-src 'none'"
permissions_policy = false
overwrite = true

[[route]]
path = "/*"
middleware = "security_headers"
respond = { text = "hello", headers = { Referrer-Policy = "no-referrer" } }

[[route]]
path = "/strict/*"
middleware = ["cors", "strict", "headers"]
static = { root = "site", strip_prefix = "/strict" }
"#;

fn start() -> Daemon {
    Daemon::setup()
        .config(CONFIG)
        .file("site/a.txt", "a")
        .start()
}

#[test]
fn the_preset_stands_on_a_response_and_hsts_on_https_alone() {
    let daemon = start();
    let plain = daemon.get("web", "/");
    assert_eq!(plain.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(plain.field("X-Frame-Options"), Some("SAMEORIGIN"));
    assert_eq!(plain.field("Referrer-Policy"), Some("no-referrer"));
    let policy = plain.field("Content-Security-Policy").unwrap();
    assert!(policy.contains("object-src 'none'"), "{policy}");
    assert!(plain.field("Permissions-Policy").is_some());
    assert_eq!(plain.field("Strict-Transport-Security"), None);
    let mut wire = daemon.connect("web");
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
    let secure = wire.read_response();
    let hsts = secure.field("Strict-Transport-Security");
    assert_eq!(hsts, Some("max-age=31536000"));
}

#[test]
fn its_parts_hold_in_a_chain_and_on_errors() {
    let daemon = start();
    for (target, status) in [("/strict/a.txt", 200), ("/strict/none", 404)] {
        let response = daemon.get("web", target);
        assert_eq!(response.status(), status);
        assert_eq!(response.field("X-Frame-Options"), Some("DENY"));
        let policy = response.field("Content-Security-Policy");
        assert_eq!(policy, Some("default-src 'none'"));
        assert_eq!(response.field("Permissions-Policy"), None);
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
    }
}
