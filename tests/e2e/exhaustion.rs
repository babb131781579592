//! What the machine runs out of, and what is taken away from under the daemon: it says so at a
//! bounded rate, answers with the status that fits, and goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, prlimit};

use crate::support::daemon::{Daemon, Setup};

fn setup(access_log: &str) -> Setup {
    Daemon::setup()
        .file("site/a", "a")
        .file("site/b", "b")
        .config(&format!(
            r#"
[server]
workers = 1

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
format = "{{request.path}} {{response.status}} {{response.why}}"
output = "{access_log}"

[[route]]
path = "/ok"
respond = {{ text = "ok" }}

[[route]]
path = "/*"
static = {{ root = "site" }}
"#
        ))
}

#[test]
fn without_a_free_descriptor_it_waits_for_one() {
    let daemon = setup("stdout").start();
    let mut held = daemon.connect("web");
    assert_eq!(held.get("/ok").text(), "ok");
    let descriptors = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    let most = fs::read_dir(descriptors).unwrap().count() as u64 + 4;
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    prlimit(Some(daemon.pid()), Resource::Nofile, limit).unwrap();

    let crowd: Vec<_> = (0..20).map(|_| daemon.connect("web")).collect();
    daemon.wait_log("cannot accept connections, backing off: `ulimit -n`");
    // Who is connected is served, with what takes no descriptor.
    assert_eq!(held.get("/ok").text(), "ok");
    let refused = held.get("/a");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("Retry-After"), Some("1"));
    daemon.stdout().wait("/a 503 file_error\n", 1);
    daemon.wait_log("a file could not be served");

    drop(crowd);
    assert_eq!(daemon.get("web", "/a").text(), "a");
    assert_eq!(held.get("/b").text(), "b");
    let said = daemon.log().count("cannot accept connections");
    assert_eq!(said, 1, "in ten seconds");
}

/// That nobody can be asked says nothing of those who would be.
#[test]
fn without_a_free_descriptor_no_server_is_called_unhealthy() {
    let server = setup("stdout").start();
    let address = server.address("web").tcp();
    let daemon = Daemon::start(&format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [upstream.app]\nservers = [\"{address}\"]\n\
         health_check = {{ path = \"/ok\", interval = \"20ms\", timeout = \"10s\", \
         unhealthy_after = 1 }}\n\
         [[route]]\npath = \"/*\"\nproxy = {{ upstream = \"app\" }}\n"
    ));
    let all = getrlimit(Resource::Nofile).maximum;
    let limit = |current| Rlimit {
        current,
        maximum: all,
    };
    // Fewer than are open: what is open stays.
    prlimit(Some(daemon.pid()), Resource::Nofile, limit(Some(3))).unwrap();
    daemon.wait_log("cannot check the health of servers: `ulimit -n`");
    prlimit(Some(daemon.pid()), Resource::Nofile, limit(all)).unwrap();
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
    assert_eq!(daemon.log().count("is unhealthy"), 0);
}

#[test]
fn an_access_log_on_a_full_disk_costs_no_request() {
    let daemon = setup("/dev/full").start();
    let lost = "lost log lines: the disk is full or too slow file=\"/dev/full\"";
    let mut wire = daemon.connect("web");
    let said = wire.get_until("/ok", |_| daemon.log().count(lost) > 0);
    assert_eq!(said.text(), "ok");
    for _ in 0..1_000 {
        assert_eq!(wire.get("/ok").text(), "ok");
    }
    assert_eq!(daemon.log().count("lost log lines"), 1, "in ten seconds");
}

#[test]
fn its_own_log_on_a_full_disk_costs_nothing_but_the_log() {
    let config = "[log]\noutput = \"/dev/full\"\n\
                  [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
                  [[route]]\npath = \"/ok\"\nrespond = { text = \"ok\" }\n";
    let daemon = Daemon::start(config);
    assert_eq!(daemon.get("web", "/ok").text(), "ok");
}

#[test]
fn a_root_that_vanished_is_served_again_when_it_is_back() {
    let daemon = setup("stdout").start();
    let root = daemon.folder().join("site");
    let gone = "the root of a static route is gone";
    let mut wire = daemon.connect("web");
    assert_eq!(wire.get("/a").text(), "a");
    fs::remove_dir_all(&root).unwrap();
    // A path is looked at once a second; until then what was read answers.
    let missed = wire.get_until("/a", |answer| answer.status() != 200);
    assert_eq!(missed.status(), 404);
    daemon.stdout().wait("/a 404 file_none\n", 1);
    daemon.wait_log(gone);
    for _ in 0..100 {
        assert_eq!(wire.get("/b").status(), 404);
    }
    let said = daemon.log().count(gone);
    assert!(said < 10, "{said} lines: one a second, not one a request");
    assert_eq!(wire.get("/ok").text(), "ok");

    daemon.write_file("site/a", "new");
    let back = wire.get_until("/a", |answer| answer.status() != 404);
    assert_eq!(back.text(), "new");
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let mut setup = setup("stdout");
    if geteuid().is_root() {
        // The superuser reads everything, unless it gives its capabilities away.
        setup = setup.shell("exec setpriv --bounding-set=-all --inh-caps=-all");
    }
    let daemon = setup.start();
    let file = daemon.folder().join("site/a");
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    permissions.set_mode(0o000);
    fs::set_permissions(&file, permissions).unwrap();
    let mut wire = daemon.connect("web");
    for _ in 0..100 {
        assert_eq!(wire.get("/a").status(), 403);
    }
    assert_eq!(wire.get("/b").text(), "b");
    daemon.stdout().wait("/a 403 file_forbidden\n", 100);
    daemon.wait_log("a file could not be served");
    let said = daemon.log().count("a file could not be served");
    assert!(said < 10, "{said} lines: one a second, not one a request");
}
