//! Clients that are not ours, where they are installed.

use std::process::{Command, Output};

use super::{NOWHERE, daemon};
use crate::support::daemon::{Address, Daemon};

/// Runs a program; `None`, and a word about it, if it is not there.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: {program} cannot be run here ({error})");
            None
        }
    }
}

fn url(daemon: &Daemon, path: &str) -> String {
    match daemon.address("web") {
        Address::Tcp(address) => format!("http://{address}{path}"),
        Address::Unix(path) => panic!("{} is no URL", path.display()),
    }
}

#[track_caller]
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn curl() {
    let daemon = daemon("", NOWHERE);
    let ok = url(&daemon, "/ok");
    let flags = [
        "-sS",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "-w",
        " %{http_version}",
    ];
    let Some(output) = run("curl", &[&flags[..], &[&ok]].concat()) else {
        return;
    };
    assert_eq!(said(&output), "ok 2");
    let large = url(&daemon, "/large");
    let flags = ["-sS", "--max-time", "20", "--http2-prior-knowledge"];
    let body = run("curl", &[&flags[..], &[&large]].concat())
        .unwrap()
        .stdout;
    assert_eq!(body.len(), 1 << 20);
    let upload = ["-d", "a=1", "-H", "Expect: 100-continue", &ok];
    let output = run("curl", &[&flags[..], &upload].concat()).unwrap();
    assert_eq!(said(&output), "ok");
}

#[test]
fn nghttp() {
    let daemon = daemon("", NOWHERE);
    let urls = ["/ok", "/large", "/none", "/ok?a"].map(|path| url(&daemon, path));
    let [a, b, c, d] = &urls;
    let arguments = ["-n", "-v", "-t", "20", "--no-dep", a, b, c, d];
    let Some(output) = run("nghttp", &arguments) else {
        return;
    };
    let said = said(&output);
    assert_eq!(said.matches(":status: 200").count(), 3, "{said}");
    assert_eq!(said.matches(":status: 404").count(), 1, "{said}");
}

#[test]
fn h2load() {
    let daemon = daemon("", NOWHERE);
    let (ok, large) = (url(&daemon, "/ok"), url(&daemon, "/large"));
    let arguments = ["-n", "500", "-c", "5", "-m", "20", "-N", "60", &ok, &large];
    let Some(output) = run("h2load", &arguments) else {
        return;
    };
    let said = said(&output);
    assert!(
        said.contains("500 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
}

#[test]
fn python_h2() {
    let daemon = daemon("", NOWHERE);
    let Address::Tcp(address) = daemon.address("web") else {
        panic!("no TCP")
    };
    let script = r#"
import socket, sys
import h2.connection, h2.events
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c = h2.connection.H2Connection()
c.initiate_connection()
head = [(":method", "POST"), (":scheme", "http"), (":path", "/ok"), (":authority", "a")]
c.send_headers(1, head)
c.send_data(1, b"hello")
c.send_headers(1, [("sum", "5")], end_stream=True)
s.sendall(c.data_to_send())
body, status, ended = b"", None, False
while not ended:
    for event in c.receive_data(s.recv(65536)):
        if isinstance(event, h2.events.ResponseReceived): status = dict(event.headers)[b":status"]
        if isinstance(event, h2.events.DataReceived): body += event.data
        if isinstance(event, h2.events.StreamEnded): ended = True
    s.sendall(c.data_to_send())
print(status, body)
"#;
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let has_module = run("/usr/bin/python3", &["-c", "import h2.connection"]);
    if !has_module.is_some_and(|output| output.status.success()) {
        eprintln!("SKIPPED: Python has no module h2 here");
        return;
    }
    let output = run("/usr/bin/python3", &["-c", script, &ip, &port]).unwrap();
    assert_eq!(said(&output).trim(), "b'200' b'ok'");
}
