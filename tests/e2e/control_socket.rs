//! `httpserverd reload`, `status`, `upgrade` and `stop`, which ask a daemon that runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::{deadline, left};

const CONFIG: &str = r#"
[server]
workers = 2
watch = false
control_socket = "control"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/*"
respond = { text = "first" }
"#;

#[track_caller]
fn ask(daemon: &Daemon, arguments: &[&str]) -> Output {
    ask_in(daemon.folder(), arguments)
}

#[track_caller]
fn ask_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_httpserverd"))
        .args(arguments)
        .args(["--socket", "control"])
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The status, as programs are told it.
#[track_caller]
fn told(daemon: &Daemon) -> Value {
    let asked = ask(daemon, &["status", "--json"]);
    serde_json::from_slice(&asked.stdout).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_reload_is_over_when_the_command_returns() {
    let daemon = Daemon::start(CONFIG);
    for turn in 2..12 {
        let body = format!("turn {turn}");
        daemon.write_config(&CONFIG.replace("first", &body));
        let done = ask(&daemon, &["reload"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let said = format!("reloaded: serving generation {turn}\n");
        assert_eq!(text(&done.stdout), said);
        assert_eq!(daemon.get("web", "/").text(), body);
    }
}

#[test]
fn a_refused_reload_says_all_that_is_wrong() {
    let daemon = Daemon::start(CONFIG);
    daemon.write_config(
        &CONFIG
            .replace("respond", "respnd")
            .replace("workers", "wrkers"),
    );
    let refused = ask(&daemon, &["reload"]);
    assert_eq!(refused.status.code(), Some(78));
    let said = text(&refused.stderr);
    assert!(
        said.contains("`wrkers`") && said.contains("`respnd`"),
        "{said}"
    );
    assert!(said.contains("kept generation 1"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours for a pipe: {said}");
    assert_eq!(daemon.get("web", "/").text(), "first");
    let status = ask(&daemon, &["status"]);
    assert!(
        text(&status.stdout).contains("reload refused"),
        "{status:?}"
    );

    // What it names cannot be had.
    daemon.write_config(&CONFIG.replace("127.0.0.1:0", "unix:/proc/none/socket"));
    let refused = ask(&daemon, &["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    daemon.write_config(CONFIG);
    assert_eq!(ask(&daemon, &["reload"]).status.code(), Some(0));
    let status = ask(&daemon, &["status"]);
    assert!(
        !text(&status.stdout).contains("reload refused"),
        "{status:?}"
    );
}

#[test]
fn many_who_ask_at_once_are_all_answered() {
    let daemon = Daemon::start(CONFIG);
    let folder = daemon.folder();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ask_in(folder, &["reload"])))
            .collect();
        for asked in asked {
            let done = asked.join().unwrap();
            assert_eq!(done.status.code(), Some(0), "{done:?}");
        }
    });
}

#[test]
fn the_status_is_told_to_people_and_programs() {
    let daemon = Daemon::start(CONFIG);
    let mut open = daemon.connect("web");
    assert_eq!(open.get("/").text(), "first");
    let deadline = deadline();
    let mut status = told(&daemon);
    // An exchange is counted behind its answer.
    while status["exchanges"] != 1 {
        assert!(left(deadline).is_some(), "{status}");
        status = told(&daemon);
    }
    assert_eq!(status["phase"], "serving");
    assert_eq!(status["generation"], 1);
    assert_eq!(status["workers"], 2);
    assert_eq!(status["connections_open"], 1);
    let address = daemon.address("web").tcp().to_string();
    assert_eq!(status["listeners"]["web"], address);
    let table = ask(&daemon, &["status"]);
    assert!(text(&table.stdout).contains(&address), "{table:?}");
}

#[test]
fn upgrade_and_stop_do_what_the_signals_do() {
    let mut daemon = Daemon::start(CONFIG);
    let first = daemon.pid();
    let done = ask(&daemon, &["upgrade"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    daemon.wait_upgrade();
    assert_ne!(daemon.pid(), first);
    daemon.wait_exit(0);
    assert_eq!(daemon.get("web", "/").text(), "first");
    // The socket is the new one's now.
    let status = told(&daemon);
    assert_eq!(status["process"], daemon.pid().as_raw_nonzero().get());
    assert!(daemon.folder().join("control").exists());
    daemon.end_successor();
    assert!(!daemon.folder().join("control").exists());

    let mut daemon = Daemon::start(CONFIG);
    assert_eq!(ask(&daemon, &["stop"]).status.code(), Some(0));
    daemon.wait_exit(0);
    let gone = ask(&daemon, &["status"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("is it running"), "{gone:?}");
}

/// Resident memory in KiB, and open descriptors.
fn held(daemon: &Daemon) -> (u64, usize) {
    let process = format!("/proc/{}", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().count();
    (resident.parse().unwrap(), descriptors)
}

#[test]
fn two_hundred_reloads_of_which_every_third_is_broken_hold_nothing_back() {
    let daemon = Daemon::start(CONFIG);
    let mut kept = daemon.connect("web");
    let turn = |round: u32| {
        let body = format!("turn {round}");
        let good = !round.is_multiple_of(3);
        let broken = if good { "" } else { "no such key = 1" };
        daemon.write_config(&(CONFIG.replace("first", &body) + broken));
        let asked = ask(&daemon, &["reload"]);
        assert_eq!(
            asked.status.code(),
            Some(if good { 0 } else { 78 }),
            "{asked:?}"
        );
        good.then_some(body)
    };
    let mut before = (0, 0);
    for round in 1..=200 {
        if let Some(body) = turn(round) {
            assert_eq!(kept.get("/").text(), body);
        }
        if round == 10 {
            before = held(&daemon);
        }
    }
    let after = held(&daemon);
    assert!(
        after.0 <= before.0 + 2048,
        "KiB: {} after {}",
        after.0,
        before.0
    );
    let deadline = deadline();
    while held(&daemon).1 > before.1 {
        assert!(left(deadline).is_some(), "{after:?} after {before:?}");
    }
}
