//! Content over TLS that the kernel does not take: what is offered again is what was offered first.

use super::super::tls::Certificates as _;
use crate::support::daemon::Daemon;
use crate::support::h2::{Client, Frame, PREFACE, kind};
use crate::support::tls::{self, Authority};

/// Two of them are larger than all buffers between daemon and client.
const LARGE: usize = 16 << 20;

/// As long as content is handed to the connection in pieces of this size, so many requests of
/// others are served meanwhile.
const PIECE: usize = 64 << 10;

/// No two frames of it are alike.
fn content(seed: usize) -> Vec<u8> {
    let blocks = (seed..).map(|block| u32::try_from(block).unwrap().to_be_bytes());
    blocks.flatten().take(LARGE).collect()
}

#[test]
fn content_that_is_taken_late_is_right_to_the_byte() {
    let authority = Authority::new("ca");
    let contents = [content(0), content(1 << 30)];
    let daemon = Daemon::setup()
        .certificate("a", &authority.issue(&["a"]))
        .file("site/0", &contents[0])
        .file("site/1", &contents[1])
        .config(
            r#"
[server]
workers = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"
tls = { certificates = [{ cert = "a.pem", key = "a.key" }] }

[[listener]]
name = "plain"
bind = "127.0.0.2:0"

[[route]]
path = "/ok"
respond = { text = "ok" }

[[route]]
path = "/*"
static = { root = "site" }
"#,
        )
        .start();
    let wire = tls::Client::of(&authority).connect(daemon.address("web"), "a");
    let mut client = Client::silent(wire);
    client.updates = false;
    client.wire.send(PREFACE);
    let window = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    client.send(&Frame::new(kind::SETTINGS, 0, 0, window));
    client.window(0, 0x7fff_0000);
    client.request(1, "GET", "/0", &[]);
    client.request(3, "GET", "/1", &[]);
    client.answer_until(1, |answer| answer.status() == 200);
    client.answer_until(3, |answer| answer.status() == 200);
    // Nothing is read while the worker has more turns than there are pieces: by then it is the
    // kernel that it waits for.
    let mut other = daemon.connect("plain");
    for _ in 0..2 * LARGE / PIECE {
        assert_eq!(other.get("/ok").text(), "ok");
    }
    for (stream, content) in [(1, &contents[0]), (3, &contents[1])] {
        let answer = client.answer(stream);
        assert!(answer.ended && answer.body == *content, "stream {stream}");
    }
}
