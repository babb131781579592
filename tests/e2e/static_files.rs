//! Files over the wire: whole, in parts, not at all.

use std::fs::File;

use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/*"
static = { root = "site", precompressed = ["br", "gz"], cache_control = "max-age=60" }

[[route]]
path = "/files/*"
static = { root = "files", strip_prefix = "/files", listing = true }
"#;

/// Bytes of which no two stretches are alike, so that a wrong offset shows.
fn pattern(length: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

fn start() -> Daemon {
    Daemon::setup()
        .config(CONFIG)
        .file("site/index.html", "<h1>hello</h1>")
        .file("site/app.js", "plain")
        .file("site/app.js.gz", "zipped")
        .file("site/app.js.br", "brotli")
        .file("site/.env", "secret")
        .file("site/medium.bin", pattern(100 << 10))
        .file("site/large.bin", pattern(10 << 20))
        .file("files/a <b>.txt", "0123456789")
        .file("files/sub/x", "x")
        .file("secret", "secret")
        .start()
}

#[track_caller]
fn send(wire: &mut Wire, method: &str, target: &str, fields: &str) {
    wire.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
    ));
}

#[track_caller]
fn get(wire: &mut Wire, target: &str, fields: &str) -> Response {
    send(wire, "GET", target, fields);
    wire.read_response()
}

#[test]
fn a_file_its_head_and_that_it_did_not_change() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let file = get(&mut wire, "/", "");
    assert_eq!(
        (file.status(), file.text().as_str()),
        (200, "<h1>hello</h1>")
    );
    assert_eq!(file.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(file.field("Content-Length"), Some("14"));
    assert_eq!(file.field("Accept-Ranges"), Some("bytes"));
    assert_eq!(file.field("Cache-Control"), Some("max-age=60"));
    let etag = file.field("ETag").unwrap();
    let modified = file.field("Last-Modified").unwrap();
    send(&mut wire, "HEAD", "/index.html", "");
    let head = wire.read_head();
    assert_eq!(head.status, 200);
    assert_eq!(head.field("Content-Length"), Some("14"));
    assert_eq!(head.field("ETag"), Some(etag));
    for field in [
        format!("If-None-Match: \"x\", {etag}\r\n"),
        format!("If-Modified-Since: {modified}\r\n"),
    ] {
        let unchanged = get(&mut wire, "/", &field);
        assert_eq!(unchanged.status(), 304, "{field}");
        assert_eq!(unchanged.field("ETag"), Some(etag));
    }
    let missing = get(&mut wire, "/none", "");
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.text(), r#"{"error":"Not Found"}"#);
    send(&mut wire, "PUT", "/app.js", "Content-Length: 0\r\n");
    let refused = wire.read_response();
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.field("Allow"), Some("GET, HEAD"));
}

#[test]
fn ranges_in_one_part_and_in_several() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let target = "/files/a%20%3Cb%3E.txt";
    let one = get(&mut wire, target, "Range: bytes=-3\r\n");
    assert_eq!((one.status(), one.text().as_str()), (206, "789"));
    assert_eq!(one.field("Content-Range"), Some("bytes 7-9/10"));
    let two = get(&mut wire, target, "Range: bytes=0-0, 4-5\r\n");
    assert_eq!(two.status(), 206);
    let boundary = two.field("Content-Type").unwrap();
    let boundary = boundary
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    assert_eq!(
        two.text(),
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes 0-0/10\r\n\r\n0\
             \r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes 4-5/10\r\n\r\n45\r\n--{boundary}--\r\n"
        )
    );
    let none = get(&mut wire, target, "Range: bytes=10-\r\n");
    assert_eq!(none.status(), 416);
    assert_eq!(none.field("Content-Range"), Some("bytes */10"));
    let whole = get(&mut wire, target, "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n");
    assert_eq!((whole.status(), whole.body.len()), (200, 10));
}

#[test]
fn large_files_come_byte_for_byte() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let (medium, large) = (pattern(100 << 10), pattern(10 << 20));
    // Twice: the second comes from an open file.
    for _ in 0..2 {
        assert!(get(&mut wire, "/medium.bin", "").body == medium);
        assert!(get(&mut wire, "/large.bin", "").body == large);
    }
    let part = get(&mut wire, "/large.bin", "Range: bytes=1000000-8999999\r\n");
    assert_eq!(part.status(), 206);
    assert!(part.body == large[1_000_000..9_000_000]);
    let parts = get(
        &mut wire,
        "/large.bin",
        "Range: bytes=7-300006,9000000-\r\n",
    );
    let find = |wanted: &[u8]| {
        let mut places = parts.body.windows(wanted.len());
        places.any(|place| place == wanted)
    };
    assert!(find(&large[7..20]) && find(&large[300_000..300_007]));
    assert!(parts.body.ends_with(b"--\r\n"));
    let length = parts.field("Content-Length").unwrap();
    assert_eq!(length, parts.body.len().to_string());
    send(&mut wire, "HEAD", "/large.bin", "");
    assert_eq!(wire.read_head().field("Content-Length"), Some("10485760"));
    assert_eq!(get(&mut wire, "/", "").status(), 200);
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let targets = ["/", "/medium.bin", "/none", "/app.js", "/medium.bin", "/"];
    wire.send(targets.map(request).concat());
    let medium = pattern(100 << 10);
    let bodies: Vec<_> = targets.iter().map(|_| wire.read_response().body).collect();
    assert_eq!(bodies[0], b"<h1>hello</h1>");
    assert!(bodies[1] == medium && bodies[4] == medium);
    assert_eq!(bodies[2], br#"{"error":"Not Found"}"#);
    assert_eq!(bodies[3], b"plain");
    assert_eq!(bodies[5], b"<h1>hello</h1>");
}

#[test]
fn directories_are_redirected_and_listed() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    let redirected = get(&mut wire, "/files/sub?x=1", "");
    assert_eq!(redirected.status(), 308);
    assert_eq!(redirected.field("Location"), Some("/files/sub/?x=1"));
    let html = get(&mut wire, "/files/", "Accept: text/html\r\n");
    assert_eq!(html.field("Content-Type"), Some("text/html; charset=utf-8"));
    let row = "<a href=\"a%20%3Cb%3E.txt\">a &lt;b&gt;.txt</a></td><td>10 B</td>";
    assert!(html.text().contains(row), "{}", html.text());
    let json = get(
        &mut wire,
        "/files/?sort=size",
        "Accept: application/json\r\n",
    );
    assert_eq!(json.field("Content-Type"), Some("application/json"));
    let page: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(page["path"], "/files/");
    assert_eq!(page["entries"][0]["name"], "sub");
    assert_eq!(page["entries"][0]["type"], "directory");
    assert_eq!(page["entries"][1]["name"], "a <b>.txt");
    assert_eq!(page["entries"][1]["size"], 10);
}

#[test]
fn siblings_go_to_who_accepts_them() {
    let daemon = start();
    let mut wire = daemon.connect("web");
    for (accept, body, coding) in [
        ("gzip, br", "brotli", Some("br")),
        ("gzip", "zipped", Some("gzip")),
        ("gzip;q=0", "plain", None),
    ] {
        let field = format!("Accept-Encoding: {accept}\r\n");
        let answer = get(&mut wire, "/app.js", &field);
        assert_eq!(answer.text(), body);
        assert_eq!(answer.field("Content-Encoding"), coding);
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
    }
}

#[test]
fn nothing_outside_comes_back() {
    let daemon = start();
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/files/../../secret",
        "/files/..%5c..%5csecret",
        "/.env",
        "/%2eenv",
        "/files/%2e%2e/.env",
        "//secret",
        "/index.html%00",
    ] {
        let answer = daemon.get("web", target);
        assert!(matches!(answer.status(), 400 | 404), "{target}");
        assert!(!answer.text().contains("secret"), "{target}");
    }
}

#[test]
fn a_file_cut_while_it_is_sent_cuts_the_response() {
    let daemon = start();
    let sparse = daemon.folder().join("site/sparse");
    // More than sockets buffer, so that the cut comes while it is sent.
    File::create(&sparse).unwrap().set_len(256 << 20).unwrap();
    let mut wire = daemon.connect("web");
    send(&mut wire, "GET", "/sparse", "");
    assert_eq!(wire.read_head().field("Content-Length"), Some("268435456"));
    File::options()
        .write(true)
        .open(&sparse)
        .unwrap()
        .set_len(1)
        .unwrap();
    assert!(wire.read_to_end().len() < 256 << 20);
    assert_eq!(daemon.get("web", "/").status(), 200);
}
