//! What goes out, byte by byte.

use super::super::forwarded::{ForwardedPolicy, StandardPolicy};
use super::super::host::HostPolicy;
use super::super::outgoing::Outgoing;
use super::super::settings::Answers;
use super::*;
use crate::exchange::testing::TestRequest;

fn rewriting(strip: &str, add: &str) -> Rewriting {
    Rewriting {
        strip_prefix: strip.into(),
        add_prefix: add.into(),
        host: HostPolicy::Preserve,
        forwarded: ForwardedPolicy::Append,
        standard: StandardPolicy::Extend,
        request_fields: Edits::default(),
        answers: Answers::default(),
    }
}

fn head(x: &Exchange<'_>, rewriting: &Rewriting) -> String {
    let outward = Outward {
        rewriting,
        body: body_length(x.request, None),
        upgrade: may_upgrade(x.request, false),
        expects: false,
        keep_alive: true,
    };
    let mut outgoing = Outgoing::new(super::head(Vec::new(), x, &outward), None, outward.body);
    // As it is for the second endpoint that is tried.
    outgoing.address("first.example:80");
    outgoing.address("app:9000");
    let mut via = Vec::new();
    write_request_via(&mut via, Version::Http11);
    let via = String::from_utf8(via).unwrap();
    let head = String::from_utf8(outgoing.take_head()).unwrap();
    // Unlike that of any other process.
    head.replace(&via, &format!("{VIA}\r\n"))
}

#[track_caller]
fn check_target(target: &str, strip: &str, add: &str, expected: &str) {
    let mut request = TestRequest::get(target).header("Host", "h");
    let head = head(&request.exchange(), &rewriting(strip, add));
    let line = format!("GET {expected} HTTP/1.1");
    assert_eq!(head.lines().next(), Some(line.as_str()), "{target}");
}

#[test]
fn prefixes_end_where_segments_do() {
    check_target("/a/b?c=%20", "", "", "/a/b?c=%20");
    check_target("/api/b?c", "/api", "", "/b?c");
    check_target("/api", "/api", "", "/");
    check_target("/api?q", "/api", "", "/?q");
    check_target("/api/", "/api", "", "/");
    check_target("/apix", "/api", "", "/apix");
    check_target("/b", "/api", "/v1", "/v1/b");
    check_target("/api/b", "/api", "/v1", "/v1/b");
    check_target("/api", "/api", "/v1", "/v1");
    check_target("/%61pi/x%2Fy", "/api", "", "/x%2Fy");
    check_target("/api/x", "/%61pi", "", "/x");
    check_target("/a%2Fpi/x", "/a/pi", "", "/a%2Fpi/x");
    check_target("/x/../api//y", "/api", "", "/y");
    check_target("http://other/api/x", "/api", "", "/x");
}

#[track_caller]
fn check(
    fields: &[(&str, &str)],
    change: impl FnOnce(&mut Exchange<'_>),
    policy: ForwardedPolicy,
    expected: &[&str],
) {
    let mut request = TestRequest::get("/").header("Host", "site:81");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    let mut x = request.exchange();
    change(&mut x);
    let head = head(
        &x,
        &Rewriting {
            forwarded: policy,
            standard: match policy {
                ForwardedPolicy::Append => StandardPolicy::Extend,
                ForwardedPolicy::Replace | ForwardedPolicy::Off => StandardPolicy::Off,
            },
            ..rewriting("", "")
        },
    );
    let found: Vec<&str> = head.lines().skip(1).collect();
    assert_eq!(found, expected);
}

const USUAL: [&str; 3] = [
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: site:81",
];
const VIA: &str = "Via: 1.1 httpserverd";

#[test]
fn fields_of_the_connection_end_here() {
    let [xff, proto, host] = USUAL;
    let fields = [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "x"),
        ("TE", "gzip"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "websocket"),
        ("HTTP2-Settings", "x"),
        ("Expect", "100-continue"),
        ("Content-Length", "0"),
        ("accept", "a"),
        ("X-Request-ID", "r"),
        ("Via", "1.0 edge"),
    ];
    let expected = [
        "Host: site:81",
        "accept: a",
        "X-Request-ID: r",
        "Via: 1.0 edge",
        xff,
        proto,
        host,
        VIA,
        "",
    ];
    check(&fields, |_| {}, ForwardedPolicy::Append, &expected);
}

#[test]
fn what_an_application_takes_for_another_field_is_that_field() {
    let [xff, proto, host] = USUAL;
    let fields = [
        ("Content_Length", "5"),
        ("Transfer-encodinG", "chunked"),
        ("Transfer_Encoding", "chunked"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("X-Forwarded_Proto", "https"),
        ("X_User", "root"),
        ("X-User", "anna"),
        ("api_key", "k"),
    ];
    let expected = [
        "Host: site:81",
        "X-User: anna",
        "api_key: k",
        xff,
        proto,
        host,
        VIA,
        "",
    ];
    check(&fields, |_| {}, ForwardedPolicy::Append, &expected);
}

#[test]
fn only_a_trusted_peer_is_believed() {
    let [xff, proto, host] = USUAL;
    let fields = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("x-forwarded-for", "10.0.0.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public"),
        ("Forwarded", "for=203.0.113.7"),
    ];
    let replaced = ["Host: site:81", xff, proto, host, VIA, ""];
    check(&fields, |_| {}, ForwardedPolicy::Append, &replaced);
    let trusted = |x: &mut Exchange<'_>| x.trusted_peer = true;
    check(&fields, trusted, ForwardedPolicy::Replace, &replaced);
    let none = ["Host: site:81", VIA, ""];
    check(&fields, trusted, ForwardedPolicy::Off, &none);
    let appended = [
        "Host: site:81",
        "X-Forwarded-For: 203.0.113.7, 10.0.0.9, 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: public",
        "Forwarded: for=203.0.113.7, for=192.0.2.1;proto=http;host=\"site:81\"",
        VIA,
        "",
    ];
    check(&fields, trusted, ForwardedPolicy::Append, &appended);
}

#[test]
fn peers_of_other_families() {
    let forwarded = |peer: &str, trusted| {
        let mut request = TestRequest::get("/").header("Forwarded", "for=a");
        request.connection.peer = peer.parse().unwrap();
        let mut x = request.exchange();
        x.trusted_peer = trusted;
        head(&x, &rewriting("", ""))
    };
    assert!(forwarded("[2001:db8::1]:5", false).contains("X-Forwarded-For: 2001:db8::1\r\n"));
    assert!(forwarded("[::ffff:192.0.2.7]:5", false).contains("X-Forwarded-For: 192.0.2.7\r\n"));
    assert!(!forwarded("0.0.0.0:0", false).contains("X-Forwarded-For"));
    let element = "Forwarded: for=a, for=\"[2001:db8::1]\";proto=http\r\n";
    assert!(forwarded("[2001:db8::1]:5", true).contains(element));
    assert!(forwarded("0.0.0.0:0", true).contains("Forwarded: for=a, for=unknown;proto=http\r\n"));
}

#[test]
fn the_host_is_the_sites_or_the_servers() {
    let line = |target: &str, policy| {
        let mut request = TestRequest::get(target).header("Host", "site");
        let rewriting = Rewriting {
            host: policy,
            ..rewriting("", "")
        };
        let head = head(&request.exchange(), &rewriting);
        head.lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(line("/", HostPolicy::Preserve), "Host: site");
    assert_eq!(line("/", HostPolicy::Upstream), "Host: app:9000");
    assert_eq!(line("/", HostPolicy::Fixed("a:1".into())), "Host: a:1");
    assert_eq!(
        line("http://other:81/", HostPolicy::Preserve),
        "Host: other:81"
    );
    let mut bare = TestRequest::get("/");
    let head = head(&bare.exchange(), &rewriting("", ""));
    assert_eq!(head.lines().nth(1), Some("Host: app:9000"));
}

#[test]
fn an_upgrade_goes_on_unless_it_leads_past_the_rules() {
    let lines = |fields: &[(&str, &str)]| -> Vec<String> {
        let mut request = TestRequest::get("/").header("Host", "h");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let head = head(&request.exchange(), &rewriting("", ""));
        let own = head.lines().skip_while(|line| *line != VIA).skip(1);
        own.map(str::to_owned).collect()
    };
    let asked = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
    ];
    assert_eq!(
        lines(&asked),
        ["Upgrade: websocket", "Connection: Upgrade", ""]
    );
    let h2c = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
    ];
    assert_eq!(lines(&h2c), [""]);
    assert_eq!(lines(&[("Upgrade", "websocket")]), [""]);
    assert_eq!(
        lines(&[("TE", "trailers, deflate")]),
        ["TE: trailers", "Connection: TE", ""]
    );
    let get = TestRequest::get("/");
    assert!(!may_upgrade(&get.head, false));
}

#[test]
fn lengths_are_told_by_what_comes() {
    let get = TestRequest::get("/").head;
    let post = TestRequest::new(Method::Post, "/").head;
    assert_eq!(body_length(&get, None), BodyLength::Untold);
    assert_eq!(body_length(&post, None), BodyLength::Length(0));
    assert_eq!(body_length(&get, Some(Some(3))), BodyLength::Length(3));
    assert_eq!(body_length(&post, Some(None)), BodyLength::Chunked);
}

#[test]
fn forwarded_is_extended_told_anew_or_not_at_all() {
    let line = |trusted: bool, policy| {
        let mut request = TestRequest::get("/").header("Host", "site");
        request = request.header("Forwarded", "for=a");
        let mut x = request.exchange();
        x.trusted_peer = trusted;
        let mut out = Vec::new();
        write_standard(&mut out, &x, policy);
        String::from_utf8(out).unwrap()
    };
    let own = "for=192.0.2.1;proto=http;host=\"site\"\r\n";
    let alone = format!("Forwarded: {own}");
    let behind = format!("Forwarded: for=a, {own}");
    assert_eq!(line(false, StandardPolicy::Extend), "");
    assert_eq!(line(true, StandardPolicy::Extend), behind);
    assert_eq!(line(false, StandardPolicy::Append), alone);
    assert_eq!(line(true, StandardPolicy::Append), behind);
    assert_eq!(line(true, StandardPolicy::Replace), alone);
    assert_eq!(line(true, StandardPolicy::Off), "");
}

#[test]
fn fields_of_the_route_take_the_place_of_the_clients() {
    let section = crate::build::Section::from_text(
        "set = { X-Real-IP = '{client.ip}' }\nremove = ['Cookie']",
    );
    let section = section.unwrap();
    let mut cx = crate::build::ParseContext::default();
    let written: super::super::edits::Written = cx.settings(&section).unwrap();
    let rewriting = Rewriting {
        forwarded: ForwardedPolicy::Off,
        request_fields: written.read(&section, &mut cx),
        ..rewriting("", "")
    };
    let mut request = TestRequest::get("/")
        .header("Host", "h")
        .header("X-Real-IP", "6.6.6.6")
        .header("x_real_ip", "6.6.6.6")
        .header("Cookie", "a=b")
        .header("Accept", "x");
    let head = head(&request.exchange(), &rewriting);
    let found: Vec<&str> = head.lines().skip(1).collect();
    assert_eq!(
        found,
        ["Host: h", "Accept: x", "X-Real-IP: 192.0.2.1", VIA, ""]
    );
}
