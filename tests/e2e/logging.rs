//! The daemon's log and the access log: forms, places, opening anew.

use std::fs;

use rustix::process::Signal;

use crate::support::daemon::Daemon;
use crate::support::{deadline, left};

const CONFIG: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[middleware.access_log]
type = "access_log"
output = "access.log"

[[route]]
path = "/*"
respond = { text = "hello" }

[log]
"#;

/// Waits until a file holds this.
#[track_caller]
fn wait_file(daemon: &Daemon, name: &str, wanted: &str) -> String {
    let deadline = deadline();
    loop {
        let text = fs::read_to_string(daemon.folder().join(name)).unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        assert!(left(deadline).is_some(), "no `{wanted}` in {name}: {text}");
        std::thread::yield_now();
    }
}

#[test]
fn every_line_is_an_object_in_json() {
    let mut daemon = Daemon::start(&format!("{CONFIG}format = \"json\"\n"));
    daemon.signal(Signal::HUP);
    daemon.wait_log("serving generation 2");
    daemon.signal(Signal::TERM);
    let log = daemon.wait_exit(0);
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["timestamp", "level", "message"] {
            assert!(object[key].is_string(), "{line}");
        }
    }
}

#[test]
fn level_and_place_change_with_a_reload() {
    let daemon = Daemon::start(CONFIG);
    daemon.write_config(&format!(
        "{CONFIG}level = \"debug\"\noutput = \"daemon.log\"\n"
    ));
    let text = wait_file(&daemon, "daemon.log", "serving generation 2");
    assert!(
        !daemon.log().text().contains("serving generation 2"),
        "{text}"
    );
    daemon.write_config(&format!(
        "{CONFIG}level = \"error\"\noutput = \"daemon.log\"\n"
    ));
    // Nothing is said about a success at this level; a refusal is.
    daemon.write_config("x = 1\n");
    let text = wait_file(&daemon, "daemon.log", "refused");
    assert!(!text.contains("generation 3"), "{text}");
}

#[test]
fn a_log_that_cannot_be_opened_refuses_the_reload() {
    let daemon = Daemon::start(CONFIG);
    daemon.write_config(&format!("{CONFIG}output = \"/proc/none/daemon.log\"\n"));
    daemon.wait_log("cannot open the log, /proc/none/daemon.log");
    daemon.wait_log("kept generation 1");
}

#[test]
fn files_that_were_moved_away_are_opened_anew_at_usr1() {
    let daemon = Daemon::start(&format!("{CONFIG}output = \"daemon.log\"\n"));
    assert_eq!(daemon.get("web", "/before").status(), 200);
    wait_file(&daemon, "access.log", "/before");
    wait_file(&daemon, "daemon.log", "ready in");
    for name in ["access.log", "daemon.log"] {
        let path = daemon.folder().join(name);
        fs::rename(&path, path.with_extension("old")).unwrap();
    }
    daemon.signal(Signal::USR1);
    wait_file(&daemon, "daemon.log", "opened the log files anew");
    assert_eq!(daemon.get("web", "/after").status(), 200);
    let access = wait_file(&daemon, "access.log", "/after");
    assert!(!access.contains("/before"), "{access}");
    let old = fs::read_to_string(daemon.folder().join("access.old")).unwrap();
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
}

#[test]
fn a_file_that_is_full_is_followed_by_the_next_and_the_oldest_goes() {
    let rotation = "output = \"access.log\"\nrotation = { size = \"4KiB\", keep = 2 }\n";
    let daemon = Daemon::start(&CONFIG.replace("output = \"access.log\"\n", rotation));
    let exists = |name: &str| daemon.folder().join(name).exists();
    let padding = "x".repeat(3000);
    for round in 0..4 {
        assert_eq!(
            daemon.get("web", &format!("/{round}/{padding}")).status(),
            200
        );
        // In a file of its own each, as two would not fit.
        wait_file(&daemon, "access.log", &format!("/{round}/"));
    }
    for (name, round) in [("access.log.1", "/2/"), ("access.log.2", "/1/")] {
        let old = fs::read_to_string(daemon.folder().join(name)).unwrap();
        assert!(
            old.contains(round) && old.lines().count() == 1,
            "{name}: {old}"
        );
    }
    assert!(!exists("access.log.3"));
}

#[test]
fn access_is_logged_to_standard_output_unless_told_otherwise() {
    let text = CONFIG.replace("output = \"access.log\"\n", "");
    let mut daemon = Daemon::start(&text);
    assert_eq!(daemon.get("web", "/page").status(), 200);
    // Also what is in a buffer when it ends is written.
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
    assert!(daemon.stdout().wait_end().contains("/page"));
}
