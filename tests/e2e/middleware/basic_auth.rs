//! Users and passwords on the wire: alone, in a chain, and when the file of users changes.

use std::os::unix::fs::PermissionsExt;

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;
use crate::support::{deadline, left};

/// `alice:secret`.
const ALICE: &str = "YWxpY2U6c2VjcmV0";
/// `bob:hunter2`.
const BOB: &str = "Ym9iOmh1bnRlcjI=";

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

#[track_caller]
fn get(wire: &mut Wire, target: &str, pair: &str) -> Response {
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {pair}\r\n\r\n"
    ));
    wire.read_response()
}

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[middleware.staff]
type = "basic_auth"
realm = "staff"
users_file = "users"
failures = "3/h"
[[route]]
path = "/metrics"
metrics = {}
[[route]]
path = "/*"
middleware = ["staff"]
respond = { text = "hello {user}" }
"#;

#[test]
fn users_get_in_guessers_wait_and_a_changed_file_counts_at_once() {
    let setup = Daemon::setup().file("users", line("alice", "secret"));
    let users = setup.folder().join("users");
    std::fs::set_permissions(users, std::fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = setup.config(CONFIG).start();
    let mut wire = daemon.connect("web");
    let asked = wire.get("/");
    assert_eq!(asked.head.status, 401);
    assert!(
        asked
            .head
            .text
            .contains("WWW-Authenticate: Basic realm=\"staff\", charset=\"UTF-8\"\r\n"),
        "{}",
        asked.head.text
    );
    assert_eq!(get(&mut wire, "/", ALICE).body, b"hello alice");
    assert_eq!(get(&mut wire, "/", BOB).head.status, 401);
    daemon.write_file("users", line("bob", "hunter2"));
    daemon.wait_log("read again what changed");
    assert_eq!(get(&mut wire, "/", BOB).body, b"hello bob");
    // Who is gone is gone, although the password was right a moment ago.
    assert_eq!(get(&mut wire, "/", ALICE).head.status, 401);
    assert_eq!(get(&mut wire, "/", ALICE).head.status, 401);
    let limited = get(&mut wire, "/", ALICE);
    assert_eq!(limited.head.status, 429);
    assert!(limited.head.text.contains("Retry-After: "));
    assert_eq!(get(&mut wire, "/", BOB).head.status, 200);
    let page = String::from_utf8(wire.get("/metrics").body).unwrap();
    for (result, count) in [
        ("accepted", 3),
        ("missing", 1),
        ("wrong", 3),
        ("limited", 1),
    ] {
        let line = format!(
            "httpserverd_auth_requests_total{{kind=\"basic_auth\",name=\"staff\",\
             result=\"{result}\"}} {count}"
        );
        assert!(page.contains(&line), "{line}\n{page}");
    }
}

#[test]
fn in_a_chain_the_upstream_sees_the_user_and_not_the_password() {
    let upstream = Upstream::tcp();
    let daemon = Daemon::setup()
        .file("users", line("alice", "secret"))
        .config(&format!(
            r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[upstream.backend]
servers = ["{}"]
[middleware.staff]
type = "basic_auth"
users_file = "users"
strip = true
user_header = "X-Remote-User"
[[route]]
path = "/*"
middleware = ["cors", "staff", "compression"]
proxy = {{ upstream = "backend" }}
"#,
            upstream.address
        ))
        .start();
    // A file that everyone may read is warned of.
    daemon.wait_log("holds secrets and has the permissions");
    let served = upstream.serve(1, |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let mut wire = daemon.connect("web");
    // A preflight comes without credentials, and is answered further out.
    wire.send(
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\
         Access-Control-Request-Method: GET\r\n\r\n",
    );
    assert_eq!(wire.read_response().head.status, 204);
    wire.send("GET /no HTTP/1.1\r\nHost: a\r\nX-Remote-User: root\r\n\r\n");
    assert_eq!(wire.read_response().head.status, 401);
    wire.send(format!(
        "GET /yes HTTP/1.1\r\nHost: a\r\nX-Remote-User: root\r\n\
         Authorization: Basic {ALICE}\r\n\r\n"
    ));
    assert_eq!(wire.read_response().head.status, 200);
    let log = lines(&daemon, 3);
    assert_eq!(
        (&log[1]["policy"], &log[1]["user"]),
        (&"staff".into(), &().into())
    );
    assert_eq!(log[1]["why"], "credentials_missing");
    assert_eq!(log[2]["user"], "alice");
    drop(wire);
    drop(daemon);
    let requests = served.join().unwrap();
    assert_eq!(requests.len(), 1);
    let head = &requests[0].head;
    assert!(
        head.contains("X-Remote-User: alice\r\n") && !head.contains("root"),
        "{head}"
    );
    assert!(!head.contains("Authorization"), "{head}");
}

#[test]
fn hanging_up_while_a_password_is_compared_leaves_nothing_behind() {
    let setup = Daemon::setup().file("users", line("alice", "secret"));
    let daemon = setup.config(&CONFIG.replace("3/h", "1000/h")).start();
    for _ in 0..40 {
        let mut wire = daemon.connect("web");
        wire.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {BOB}\r\n\r\n"
        ));
        wire.reset();
    }
    // Every place at the gate is free again.
    let deadline = deadline();
    loop {
        let answer = get(&mut daemon.connect("web"), "/", ALICE);
        if answer.head.status == 200 {
            break;
        }
        assert_eq!(answer.head.status, 503);
        assert!(left(deadline).is_some());
    }
}
