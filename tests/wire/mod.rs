//! Bytes in, bytes out: every case runs whole, byte by byte and split at random.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::support::daemon::Daemon;
use crate::support::script::{Case, Expected, parse};
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
workers = 1
middleware = []
limits = { request_line = "256B", headers = "1KiB", header_count = 20, body = "64B" }

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/ok"
respond = { text = "ok" }

[[route]]
path = "/get"
methods = ["GET"]
respond = { text = "got" }

[[route]]
path = "/put"
methods = ["PUT", "PATCH"]
respond = { text = "put" }

[[route]]
path = "/echo/:x"
respond = { text = "{path.x}" }

[[route]]
path = "/rest/*x"
respond = { text = "{path.x}" }

[[route]]
path = "/query"
respond = { text = "{query.a}" }

[[route]]
path = "/host"
respond = { text = "{request.host}" }

[[route]]
host = "other.example"
path = "/where"
respond = { text = "other" }

[[route]]
path = "/where"
respond = { text = "any" }

[[route]]
path = "/empty"
respond = { status = 204 }

[[route]]
path = "/files/*"
static = { root = "files", strip_prefix = "/files" }
"#;

/// How the bytes of a case reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Bytewise,
    /// Pieces of 1 to 16 bytes, from this seed.
    Random(u64),
}

#[test]
fn every_case_is_answered_however_it_arrives() {
    let daemon = Daemon::setup()
        .file("files/ten", "0123456789")
        .config(CONFIG)
        .start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/cases");
    let (mut count, mut failed) = (0, 0);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for case in parse(&text) {
            count += 1;
            let seed = 0x5eed ^ count;
            for delivery in [Delivery::Whole, Delivery::Bytewise, Delivery::Random(seed)] {
                let what = format!("{}: {} ({delivery:?})", file.display(), case.name);
                let run = AssertUnwindSafe(|| run(&daemon, &case, delivery, &what));
                failed += usize::from(catch_unwind(run).is_err());
            }
        }
    }
    assert_eq!(failed, 0, "runs failed, of three times {count} cases");
    assert!(count >= 300, "only {count} cases");
}

fn run(daemon: &Daemon, case: &Case, delivery: Delivery, what: &str) {
    let mut wire = daemon.connect("web");
    send(&mut wire, &case.sent, delivery);
    for expected in &case.expected {
        check(&mut wire, expected, delivery, what);
    }
    if case.open {
        assert_eq!(
            wire.get("/ok").text(),
            "ok",
            "{what}: the connection goes on"
        );
        return;
    }
    let rest = wire.read_to_end();
    assert!(
        rest.is_empty(),
        "{what}: more came: {}",
        rest.escape_ascii()
    );
}

/// The daemon may have refused and closed before the last byte: that is no failure of sending.
pub(crate) fn send(wire: &mut Wire, bytes: &[u8], delivery: Delivery) {
    let mut state = match delivery {
        Delivery::Whole => return drop(wire.try_send(bytes)),
        Delivery::Bytewise => 0,
        Delivery::Random(seed) => seed | 1,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let size = usize::try_from(state % 16).unwrap() + 1;
        let (piece, after) = rest.split_at(size.min(rest.len()));
        if wire.try_send(piece).is_err() {
            return;
        }
        rest = after;
    }
}

fn check(wire: &mut Wire, expected: &Expected, delivery: Delivery, what: &str) {
    let answered = wire.has_more();
    assert!(
        answered,
        "{what}: the connection ended before {}",
        expected.status
    );
    let (head, body) = if expected.bodiless {
        (wire.read_head(), Vec::new())
    } else {
        let response = wire.read_response();
        (response.head, response.body)
    };
    let is_early = delivery != Delivery::Whole && expected.early == Some(head.status);
    if !is_early {
        assert_eq!(head.status, expected.status, "{what}: {}", head.text);
    }
    for (name, value) in &expected.present {
        assert_eq!(
            head.field(name),
            Some(value.as_str()),
            "{what}: {}",
            head.text
        );
    }
    for name in &expected.absent {
        assert_eq!(head.field(name), None, "{what}: {}", head.text);
    }
    if let Some(wanted) = &expected.body {
        assert_eq!(
            body.escape_ascii().to_string(),
            wanted.escape_ascii().to_string(),
            "{what}"
        );
    }
}
