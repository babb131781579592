//! Reloads: what changes, what stays, and what a broken file does: nothing.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::support::daemon::{Address, Daemon};
use crate::support::port::Port;
use crate::support::wire::Wire;
use crate::support::{deadline, left};

const LISTENER: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n";

/// A configuration whose only page says this.
fn saying(text: &str) -> String {
    format!("{LISTENER}[[route]]\npath = \"/\"\nrespond = {{ text = \"{text}\" }}\n")
}

/// A reload that cannot be compiled must leave the running configuration alone.
///
/// Method: break the file, send HUP, and look from outside: old routes answer,
/// the log says why, the next good file still loads.
#[test]
fn a_refused_reload_keeps_the_old_configuration() {
    let mut daemon = Daemon::start(&saying("old"));
    daemon.write_config("[[route]]\npath = 7\n");
    daemon.signal(Signal::HUP);
    daemon.wait_log("kept generation 1");
    daemon.wait_log("httpserver.toml:2: error[");
    let message = daemon.wait_notify("READY=1");
    assert!(message.contains("generation 1; web="), "{message}");
    assert!(
        message.contains("; reload refused: error[E0304], the first of 3 errors"),
        "{message}"
    );
    assert_eq!(daemon.get("web", "/").text(), "old");

    daemon.write_config(&saying("new"));
    daemon.wait_log("serving generation 2");
    assert_eq!(daemon.get("web", "/").text(), "new");
}

/// What the configuration expects of itself is part of it: one that fails is never served.
#[test]
fn a_configuration_that_fails_its_own_test_is_never_served() {
    let test = "[[test]]\nname = \"the page is there\"\n\
                request = { url = \"http://a/\" }\nexpect = { route = \"/\", status = 200 }\n";
    let good = format!("{}{test}", saying("old"));
    let bad = good.replace("path = \"/\"", "path = \"/\"\nhost = \"b\"");
    let bad = bad.replace("route = \"/\"", "route = \"b/\"");
    let daemon = Daemon::start(&good);
    daemon.write_config(&bad);
    daemon.wait_log("httpserver.toml:11: error[E0601]");
    daemon.wait_log("the test `the page is there` fails: no route answers: 404, and not `b/`");
    daemon.wait_log("kept generation 1");
    assert_eq!(daemon.get("web", "/").text(), "old");
    daemon.write_config(&good.replace("old", "new"));
    daemon.wait_log("serving generation 2");

    let started = Daemon::setup().config(&bad).run();
    assert_eq!(started.code, Some(78), "{}", started.stderr);
    let checked = |text: &str| {
        let setup = Daemon::setup().config(text).arg("check");
        setup.arg("httpserver.toml").run()
    };
    let refused = checked(&bad);
    assert_eq!(refused.code, Some(78));
    assert!(refused.stderr.contains("E0601"), "{}", refused.stderr);
    let passed = checked(&good);
    assert_eq!(passed.code, Some(0), "{}", passed.stderr);
    assert!(passed.stdout.contains("1 test passed"), "{}", passed.stdout);
}

#[test]
fn a_reload_is_told_to_the_service_manager() {
    let mut daemon = Daemon::start(&saying("old"));
    let address = daemon.address("web").clone();
    daemon.signal(Signal::HUP);
    let message = daemon.wait_notify("RELOADING=1");
    assert!(message.contains("MONOTONIC_USEC="), "{message}");
    let message = daemon.wait_notify("READY=1");
    assert!(message.contains("STATUS=generation 2; web="), "{message}");
    assert_eq!(daemon.address("web"), &address, "a port that stays");
}

#[test]
fn a_changed_file_is_seen_however_it_is_written() {
    let daemon = Daemon::start(&saying("1"));
    let path = daemon.folder().join("httpserver.toml");
    fs::write(&path, saying("in place")).unwrap();
    daemon.wait_log("serving generation 2");
    assert_eq!(daemon.get("web", "/").text(), "in place");
    daemon.write_config(&saying("renamed over"));
    daemon.wait_log("serving generation 3");
    assert_eq!(daemon.get("web", "/").text(), "renamed over");
    fs::remove_file(&path).unwrap();
    daemon.wait_log("kept generation 3");
    assert_eq!(daemon.get("web", "/").text(), "renamed over");
    fs::write(&path, saying("back")).unwrap();
    daemon.wait_log("serving generation 4");
    assert_eq!(daemon.get("web", "/").text(), "back");
}

#[test]
fn a_change_that_means_nothing_changes_nothing() {
    let daemon = Daemon::start(&saying("same"));
    daemon.write_config(&format!("# Nothing but this.\n{}", saying("same")));
    daemon.wait_log("mean the same: kept generation 1");
    // Asked for, it is done all the same: what the file names may have changed.
    daemon.signal(Signal::HUP);
    daemon.wait_log("serving generation 2");
}

#[test]
fn included_files_are_watched_and_so_is_their_folder() {
    let text = format!("include = [\"conf.d/*.toml\"]\n{}", saying("main"));
    let route = "[[route]]\npath = \"/more\"\nrespond = { text = \"TEXT\" }\n";
    let daemon = Daemon::setup()
        .config(&text)
        .file("conf.d/a.toml", route.replace("TEXT", "a"))
        .start();
    assert_eq!(daemon.get("web", "/more").text(), "a");
    daemon.write_file("conf.d/a.toml", route.replace("TEXT", "b"));
    daemon.wait_log("serving generation 2");
    assert_eq!(daemon.get("web", "/more").text(), "b");
    let another = route.replace("/more", "/another");
    daemon.write_file("conf.d/b.toml", another.replace("TEXT", "c"));
    daemon.wait_log("serving generation 3");
    assert_eq!(daemon.get("web", "/another").text(), "c");
    fs::remove_file(daemon.folder().join("conf.d/a.toml")).unwrap();
    daemon.wait_log("serving generation 4");
    assert_eq!(daemon.get("web", "/more").status(), 404);
}

#[test]
fn a_connection_sees_the_new_generation_at_its_next_request() {
    let daemon = Daemon::start(&saying("old"));
    let mut wire = daemon.connect("web");
    assert_eq!(wire.get("/").text(), "old");
    daemon.write_config(&saying("new"));
    daemon.wait_log("serving generation 2");
    assert_eq!(wire.get("/").text(), "new");
}

#[test]
fn listeners_come_and_go() {
    let mut daemon = Daemon::start(&saying("a"));
    let port = Port::reserve();
    let dropped = port.at([127, 0, 0, 2]);
    let socket = daemon.folder().join("more.sock");
    let more = format!(
        "[[listener]]\nname = \"more\"\nbind = \"{dropped}\"\n\
         [[listener]]\nname = \"file\"\nbind = \"unix:{}\"\n",
        socket.display()
    );
    let mut kept = daemon.connect("web");
    assert_eq!(kept.get("/").text(), "a");
    daemon.write_config(&(more + &saying("b")));
    daemon.wait_notify("READY=1");
    assert_eq!(daemon.listeners(), ["file", "more", "web"]);
    assert_eq!(daemon.get("more", "/").text(), "b");
    assert_eq!(daemon.get("file", "/").text(), "b");
    let mut old = daemon.connect("more");
    assert_eq!(old.get("/").text(), "b");

    daemon.write_config(&saying("c"));
    daemon.wait_notify("READY=1");
    assert_eq!(daemon.listeners(), ["web"]);
    let deadline = deadline();
    while TcpStream::connect(dropped).is_ok() {
        assert!(left(deadline).is_some(), "{dropped} is still listened on");
    }
    assert!(UnixStream::connect(&socket).is_err());
    assert!(!socket.exists());
    // A reload closes no connection: one whose listener is gone is served what that was last.
    assert_eq!(old.get("/").text(), "b");
    assert_eq!(kept.get("/").text(), "c");

    // And once there is a listener of its name, at whatever address, what that is now.
    let moved = "[[listener]]\nname = \"more\"\nbind = \"127.0.0.3:0\"\n".to_owned();
    daemon.write_config(&(moved + &saying("d")));
    daemon.wait_notify("READY=1");
    assert_eq!(old.get("/").text(), "d");
    daemon.signal(Signal::TERM);
    old.expect_closed();
}

#[test]
fn an_address_that_cannot_be_had_refuses_the_reload() {
    let daemon = Daemon::start(&saying("old"));
    let taken = Daemon::start(&saying("other"));
    let other = taken.address("web").tcp().to_string();
    let socket = daemon.folder().join("more.sock");
    let more = format!(
        "[[listener]]\nname = \"file\"\nbind = \"unix:{}\"\n\
         [[listener]]\nname = \"more\"\nbind = \"{other}\"\n",
        socket.display()
    );
    daemon.write_config(&(more + &saying("new")));
    daemon.wait_log("kept generation 1");
    daemon.wait_log(&format!("listener `more` at {other}: cannot bind"));
    assert!(!socket.exists(), "no trace");
    assert_eq!(daemon.get("web", "/").text(), "old");
}

#[test]
fn one_address_gives_way_to_all_of_them() {
    let port = Port::reserve();
    let at =
        |address: SocketAddr, text: &str| saying(text).replace("127.0.0.1:0", &address.to_string());
    let mut daemon = Daemon::start(&at(port.address(), "one"));
    daemon.write_config(&at(port.at([0, 0, 0, 0]), "all"));
    daemon.wait_notify("READY=1");
    let mut wire = Wire::connect(&Address::Tcp(port.at([127, 0, 0, 9])));
    assert_eq!(wire.get("/").text(), "all");
}

#[test]
fn fifty_reloads_of_which_every_third_is_broken_leave_nothing_behind() {
    let daemon = Daemon::start(&saying("0"));
    let descriptors = || {
        let folder = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
        fs::read_dir(folder).unwrap().count()
    };
    let mut kept = daemon.connect("web");
    // Everything that is opened once has been opened.
    daemon.signal(Signal::HUP);
    daemon.wait_log("serving generation 2");
    assert_eq!(kept.get("/").text(), "0");
    let before = descriptors();
    let (mut generation, mut broken) = (2, 0);
    for round in 1..=50 {
        if round % 3 == 0 {
            broken += 1;
            // Seen by the watcher alone: a signal beside it could load the next, good one twice.
            daemon.write_config(&saying(&format!("{round}\\q")));
            daemon.log().wait("the configuration was refused", broken);
            // One write may be seen twice.
            broken = daemon.log().count("the configuration was refused");
        } else {
            generation += 1;
            let text = saying(&round.to_string());
            daemon.write_config(&text.replace("[[listener]]", LISTENERS));
            daemon.wait_log(&format!("serving generation {generation}\n"));
            assert_eq!(kept.get("/").text(), round.to_string());
        }
    }
    daemon.write_config(&saying("end"));
    daemon.wait_log(&format!("serving generation {}\n", generation + 1));
    assert_eq!(kept.get("/").text(), "end");
    let deadline = deadline();
    // Fewer is no leak: the first count may have seen one that was about to be closed.
    while descriptors() > before {
        assert!(left(deadline).is_some(), "{} of {before}", descriptors());
    }
}

/// Put in place of `[[listener]]`: one more of them.
const LISTENERS: &str = "[[listener]]\nname = \"b\"\nbind = \"127.0.0.2:0\"\n[[listener]]";
