//! `redirect_https`, `redirect_host`, `trailing_slash`: one address for each thing.

use crate::support::daemon::Daemon;
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
trusted_proxies = ["127.0.0.1"]

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.host]
type = "redirect_host"
to = "www.example.com"
from = ["example.com", "*.example.org"]

[middleware.slash]
type = "trailing_slash"
policy = "add"

[[route]]
path = "/https/*"
middleware = "redirect_https"
respond = { text = "secure" }

[[route]]
path = "/host/*"
middleware = "host"
respond = { text = "right host" }

[[route]]
path = "/slash/*"
middleware = "slash"
respond = { text = "right path" }

[[route]]
path = "/*"
middleware = ["redirect_https", "host", "slash"]
respond = { text = "all right" }
"#;

/// Status, and where to.
#[track_caller]
fn sent(wire: &mut Wire, host: &str, target: &str, fields: &str) -> (u16, String) {
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    ));
    let response = wire.read_response();
    let location = response.field("Location").unwrap_or_default();
    (response.status(), location.to_owned())
}

const HTTPS: &str = "X-Forwarded-Proto: https\r\n";

#[test]
fn each_alone() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    let mut check = |host: &str, target: &str, fields: &str, expected: (u16, &str)| {
        let (status, location) = sent(&mut wire, host, target, fields);
        assert_eq!((status, location.as_str()), expected, "{host} {target}");
    };
    check(
        "a.com:80",
        "/https/x?y=z",
        "",
        (308, "https://a.com/https/x?y=z"),
    );
    check("a.com", "/https/x", HTTPS, (200, ""));
    check(
        "a.b.example.org",
        "/host/x?y",
        "",
        (308, "http://www.example.com/host/x?y"),
    );
    check("other.net", "/host/x", "", (200, ""));
    check("a", "/slash/x?y", "", (308, "/slash/x/?y"));
    check("a", "/slash/x/", "", (200, ""));
    check("a", "/slash/x.css", "", (200, ""));
}

#[test]
fn a_chain_of_them_leads_to_the_right_address_and_ends_there() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    let steps = [
        ("example.com", "/a", "", "https://example.com/a"),
        ("example.com", "/a", HTTPS, "https://www.example.com/a"),
        ("www.example.com", "/a", HTTPS, "/a/"),
        ("www.example.com", "/a/", HTTPS, ""),
    ];
    for (host, target, fields, expected) in steps {
        let (_, location) = sent(&mut wire, host, target, fields);
        assert_eq!(location, expected);
    }
}

#[test]
fn no_redirect_leads_to_a_host_of_the_clients_choice() {
    let daemon = Daemon::start(CONFIG);
    let mut wire = daemon.connect("web");
    for target in [
        "//evil.example",
        "///slash/..//evil.example",
        "/%2Fevil.example",
    ] {
        let (_, location) = sent(&mut wire, "www.example.com", target, HTTPS);
        assert!(!location.starts_with("//"), "{target}: {location}");
    }
}
