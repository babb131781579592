//! Large responses, which are kept on disk.

use std::fs;

use crate::e2e::metrics::{number, wait_number};
use crate::support::daemon::{Daemon, Setup};
use crate::support::upstream::{Peer, Upstream};
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
workers = 2

[middleware.kept]
type = "cache"
size = "1MiB"
disk = { path = "disk", max_size = "12MiB", min_body = "256KiB" }

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.origin]
servers = ["ORIGIN"]

[[route]]
path = "/metrics"
metrics = {}

[[route]]
path = "/*"
middleware = ["kept"]
proxy = { upstream = "origin" }
"#;

fn setup(origin: &Upstream) -> Setup {
    let setup = Daemon::setup().config(&CONFIG.replace("ORIGIN", &origin.address));
    fs::create_dir(setup.folder().join("disk")).unwrap();
    setup
}

/// Content of which no two places are alike.
fn content(length: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    numbers.take(length).collect()
}

/// Answers the next request.
fn answer(origin: &Upstream, content: &[u8]) -> Peer {
    let mut peer = origin.accept();
    peer.read_request_head();
    peer.send(format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n",
        content.len()
    ));
    peer.send(content);
    peer
}

fn ask(daemon: &Daemon, fields: &str) -> Wire {
    let mut client = daemon.connect("web");
    client.send(format!("GET /large HTTP/1.1\r\nHost: site\r\n{fields}\r\n"));
    client
}

const BYTES: &str = "httpserverd_cache_disk_bytes{name=\"kept\"}";

#[test]
fn what_is_large_is_kept_on_disk_and_answered_from_there() {
    let origin = Upstream::tcp();
    let daemon = setup(&origin).start();
    let content = content(2_500_000);
    let mut first = ask(&daemon, "");
    let peer = answer(&origin, &content);
    assert!(first.read_response().body == content);
    wait_number(&daemon, BYTES, content.len() as u64);
    drop(peer);

    for _ in 0..4 {
        let hit = ask(&daemon, "").read_response();
        assert!(hit.field("Cache-Status").unwrap().contains("hit"));
        assert_eq!(hit.field("Content-Length"), Some("2500000"));
        assert!(hit.body == content);
    }
    let part = ask(&daemon, "Range: bytes=1000000-1999999\r\n").read_response();
    assert_eq!(part.status(), 206);
    assert!(part.body == content[1_000_000..2_000_000]);
    let parts = ask(&daemon, "Range: bytes=0-9,2499990-\r\n").read_response();
    assert_eq!(parts.status(), 206);
    assert!(
        parts
            .body
            .windows(10)
            .any(|ten| *ten == content[2_499_990..])
    );
    let known = ask(&daemon, "If-None-Match: \"a\"\r\n").read_response();
    assert_eq!(known.status(), 304);
    // Nothing of it has a name.
    assert_eq!(
        fs::read_dir(daemon.folder().join("disk")).unwrap().count(),
        0
    );
    // A reload keeps it.
    let config = CONFIG.replace("ORIGIN", &origin.address);
    daemon.write_config(&config.replace("1MiB", "2MiB"));
    daemon.wait_log("serving generation 2");
    assert!(ask(&daemon, "").read_response().body == content);
    origin.expect_no_connection();
}

#[test]
fn who_comes_while_it_is_written_reads_all_of_it() {
    let origin = Upstream::tcp();
    let daemon = setup(&origin).start();
    let content = content(2_500_000);
    let mut first = ask(&daemon, "");
    let mut peer = origin.accept();
    peer.read_request_head();
    peer.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = |piece: &[u8]| {
        let head = format!("{:x}\r\n", piece.len());
        [head.as_bytes(), piece, b"\r\n"].concat()
    };
    peer.send(chunk(&content[..1_500_000]));
    first.expect_head("HTTP/1.1 200 OK");
    // By now its start is in a file alone.
    let mut read = Vec::new();
    while read.len() < 1_400_000 {
        read.extend(first.read_chunk().unwrap());
    }
    let mut late: Vec<Wire> = (0..3).map(|_| ask(&daemon, "")).collect();
    for client in &mut late {
        let head = client.expect_head("HTTP/1.1 200 OK");
        assert!(head.field("Cache-Status").unwrap().contains("collapsed"));
    }
    peer.send([chunk(&content[1_500_000..]), b"0\r\n\r\n".to_vec()].concat());
    for client in &mut late {
        assert!(client.read_chunked().0 == content);
    }
    read.extend(first.read_chunked().0);
    assert!(read == content);
    wait_number(&daemon, BYTES, content.len() as u64);
    assert!(ask(&daemon, "").read_response().body == content);
}

#[test]
fn what_does_not_fit_on_the_disk_is_passed_on_and_counted() {
    let origin = Upstream::tcp();
    // Files end at 1 MiB, as they do on a disk that is full.
    let daemon = setup(&origin)
        .shell("trap '' XFSZ; ulimit -f 2048; exec")
        .config(&CONFIG.replace("ORIGIN", &origin.address))
        .start();
    let content = content(2_500_000);
    for turn in 1..=2 {
        let mut client = ask(&daemon, "");
        let peer = answer(&origin, &content);
        assert!(client.read_response().body == content);
        let failures = "httpserverd_cache_disk_failures_total{name=\"kept\"}";
        wait_number(&daemon, failures, turn);
        drop(peer);
    }
    assert_eq!(number(&daemon, BYTES), 0);
    daemon.wait_log("cannot cache on disk");
    assert_eq!(daemon.log().count("cannot cache on disk"), 1);
}
