//! `bandwidth_limit` on the wire. What is asserted is how much goes before the client leaves, at
//! rates so low that a minute more or less makes no difference.

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

const CONFIG: &str = r#"
[server]
workers = 1
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stdout"
format = "{request.path} {response.status} {response.bytes} {response.why}"

[middleware.slow]
type = "bandwidth_limit"
download = "1B/s"
download_burst = "1000B"
upload = "1B/s"
upload_burst = "1000B"

[middleware.shared]
type = "bandwidth_limit"
download = "1B/s"
download_burst = "1000B"
key = "client_ip"

[middleware.quick]
type = "bandwidth_limit"
download = "400KiB/s"
download_burst = "100KiB"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["UPSTREAM"]

[[route]]
path = "/slow/*"
middleware = ["slow"]
static = { root = "files", strip_prefix = "/slow" }

[[route]]
path = "/shared/*"
middleware = ["shared", "cors"]
static = { root = "files", strip_prefix = "/shared" }

[[route]]
path = "/quick/*"
middleware = ["quick", "compression"]
static = { root = "files", strip_prefix = "/quick" }

[[route]]
path = "/up"
middleware = ["slow"]
proxy = { upstream = "backend" }
"#;

fn start(upstream: &str) -> Daemon {
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    Daemon::setup()
        .config(&CONFIG.replace("UPSTREAM", upstream))
        .file("files/large", &content)
        .file("files/part", &content[..600])
        .start()
}

/// The bytes of content that the last line of the log tells of.
fn logged(daemon: &Daemon, path: &str) -> u64 {
    daemon.stdout().wait(path, 1);
    daemon.stdout().wait("client_abort", 1);
    let text = daemon.stdout().text();
    let line = text.lines().find(|line| line.starts_with(path)).unwrap();
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn a_burst_goes_at_once_and_the_rest_waits() {
    let daemon = start("127.0.0.1:1");
    let mut wire = daemon.connect("web");
    wire.send("GET /slow/large HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = wire.expect_head("HTTP/1.1 200 OK");
    assert_eq!(head.field("Content-Length"), Some("200000"));
    assert_eq!(wire.read_bytes(1000).len(), 1000);
    // Nobody else waits for it, and each exchange has a burst of its own.
    assert_eq!(daemon.get("web", "/slow/part").body.len(), 600);
    wire.reset();
    let sent = logged(&daemon, "/slow/large");
    assert!((1000..1100).contains(&sent), "{sent}");
}

#[test]
fn who_shares_a_key_shares_the_burst() {
    let daemon = start("127.0.0.1:1");
    assert_eq!(daemon.get("web", "/shared/part").body.len(), 600);
    let mut wire = daemon.connect("web");
    wire.send("GET /shared/part HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.expect_head("HTTP/1.1 200 OK");
    assert_eq!(wire.read_bytes(400).len(), 400);
    wire.reset();
    daemon.stdout().wait("client_abort", 1);
    let text = daemon.stdout().text();
    let cut = text
        .lines()
        .find(|line| line.ends_with("client_abort"))
        .unwrap();
    let sent: u64 = cut.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((400..500).contains(&sent), "{cut}");
}

#[test]
fn what_is_paced_comes_whole_and_in_order() {
    let daemon = start("127.0.0.1:1");
    let mut wire = daemon.connect("web");
    let whole = wire.get("/quick/large");
    assert_eq!(whole.field("Content-Length"), Some("200000"));
    let expected: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert!(whole.body == expected);
    wire.send("GET /quick/large HTTP/1.1\r\nHost: a\r\nRange: bytes=5-150004\r\n\r\n");
    let part = wire.read_response();
    assert_eq!(part.status(), 206);
    assert!(part.body == expected[5..150_005]);
}

#[test]
fn an_upload_is_taken_no_faster() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream.address);
    let mut wire = daemon.connect("web");
    wire.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    wire.send([b'x'; 5000]);
    let mut peer = upstream.accept();
    peer.read_request_head();
    assert_eq!(peer.read_bytes(1000).len(), 1000);
    wire.reset();
    let rest = peer.read_to_end();
    assert!(rest.len() < 100, "{}", rest.len());
}
