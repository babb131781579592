//! Frames in, frames out: what RFC 9113 rules, case by case, however the bytes arrive.

mod script;

use std::fs;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use script::{Case, Expected, parse};

use crate::support::daemon::Daemon;
use crate::support::h2::Client;
use crate::wire::{Delivery, send};

const CONFIG: &str = r#"
[server]
workers = 1
middleware = []

[server.limits]
request_line = "256B"
headers = "1KiB"
header_count = 20
body = "64B"
http2_streams = 4
http2_stream_window = "64KiB"
http2_connection_window = "64KiB"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/ok"
respond = { text = "ok" }

[[route]]
path = "/put"
methods = ["PUT"]
respond = { text = "put" }

[[route]]
path = "/echo/:x"
respond = { text = "{path.x}" }

[[route]]
path = "/host"
respond = { text = "{request.host}" }

[[route]]
path = "/cookie"
respond = { text = "{header.cookie}" }

[[route]]
path = "/empty"
respond = { status = 204 }

[[route]]
path = "/files/*"
static = { root = "files", strip_prefix = "/files" }

# Content waits unread.
[middleware.late]
type = "fault_injection"
delay = "1m"

[[route]]
path = "/late"
middleware = ["late"]
respond = { text = "late" }

# Connections are made and never answered.
[upstream.silent]
servers = ["SILENT"]

[[route]]
path = "/silent"
proxy = { upstream = "silent" }
"#;

#[test]
fn every_case_is_answered_however_it_arrives() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let daemon = Daemon::setup()
        .file("files/ten", "0123456789")
        .config(&CONFIG.replace("SILENT", &address))
        .start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h2/cases");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut count, mut failed) = (0, 0);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for case in parse(&text) {
            count += 1;
            for delivery in [Delivery::Whole, Delivery::Bytewise, Delivery::Random(count)] {
                let what = format!("{}: {} ({delivery:?})", file.display(), case.name);
                let run = AssertUnwindSafe(|| run(&daemon, &case, delivery, &what));
                if catch_unwind(run).is_err() {
                    eprintln!("failed: {what}");
                    failed += 1;
                }
            }
        }
    }
    assert_eq!(failed, 0, "runs failed, of three times {count} cases");
    assert!(count >= 150, "only {count} cases");
}

fn run(daemon: &Daemon, case: &Case, delivery: Delivery, what: &str) {
    let mut client = Client::silent(daemon.connect("web"));
    send(&mut client.wire, &case.sent, delivery);
    for expected in &case.expected {
        match expected {
            Expected::Goodbye { errors } => {
                let (_, error) = client.goodbye();
                assert!(errors.iter().any(|own| own == error), "{what}: {error}");
            }
            Expected::Reset { stream, errors } => {
                let error = client
                    .answer_until(*stream, |answer| answer.reset.is_some())
                    .reset;
                let error = error.unwrap_or_default();
                assert!(errors.iter().any(|own| own == error), "{what}: {error}");
            }
            Expected::Answer {
                status,
                stream,
                body,
            } => {
                let answer = client.answer(*stream);
                assert_eq!(answer.status(), *status, "{what}: {answer:?}");
                if let Some(body) = body {
                    let (got, wanted) = (answer.text(), String::from_utf8_lossy(body));
                    assert_eq!(got, wanted, "{what}");
                }
            }
        }
    }
    if case.open {
        client.ping(0x6f70_656e);
        return;
    }
    while let Some(frame) = client.frame() {
        assert!(frame.kind <= 9, "{what}: {frame:?}");
    }
}
