//! In a container: the first process, told everything by the environment and a mounted folder,
//! with nothing that it can write.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::daemon::{Daemon, Setup};

/// A configuration that answers with this text.
fn saying(text: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nrespond = {{ text = \"{text}\" }}\n"
    )
}

/// What can be read for long.
const SITE: &str = "[[route]]\npath = \"/large\"\nstatic = { root = \"site\" }\n";

/// More than any pair of socket buffers holds: who does not read it keeps the exchange open.
const LARGE: u64 = 64 << 20;

/// One whose configuration stands in the environment, and whose log goes to standard output.
fn told(setup: Setup) -> Setup {
    let setup = setup.file("site/large", "");
    let large = File::options()
        .write(true)
        .open(setup.folder().join("site/large"));
    large.unwrap().set_len(LARGE).unwrap();
    setup
        .env("HTTPSERVER_CONFIG_TEXT", &(saying("told") + SITE))
        .env("HTTPSERVER_LOG__OUTPUT", "stdout")
        .arg("run")
}

#[test]
fn the_first_process_drains_and_ends_its_container() {
    let Some(setup) = Setup::contained() else {
        return;
    };
    let mut daemon = told(setup).start();
    let status = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap();
    let first = status.lines().find(|line| line.starts_with("NSpid:"));
    assert!(first.unwrap().ends_with("\t1"), "{status}");
    assert_eq!(daemon.get("web", "/").text(), "told");
    let mut wire = daemon.connect("web");
    wire.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    daemon.signal(Signal::TERM);
    daemon.stdout().wait("draining, 1 connections open", 1);
    assert_eq!(wire.read_to_end().len() as u64, LARGE);
    let errors = daemon.wait_exit(0);
    assert_eq!(errors, "", "the log goes to standard output");
}

#[test]
fn a_second_signal_ends_the_first_process_at_once() {
    let Some(setup) = Setup::contained() else {
        return;
    };
    let mut daemon = told(setup).start();
    let mut wire = daemon.connect("web");
    wire.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.expect_head("HTTP/1.1 200 OK\r\n");
    daemon.signal(Signal::TERM);
    daemon.stdout().wait("draining, 1 connections open", 1);
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
    daemon.stdout().wait("asked again: ending at once", 1);
}

/// Its end would be the container's.
#[test]
fn the_first_process_is_not_replaced_and_does_not_go_to_the_background() {
    let Some(setup) = Setup::contained() else {
        return;
    };
    let daemon = told(setup).start();
    daemon.signal(Signal::USR2);
    daemon.stdout().wait("process 1 cannot be replaced", 1);
    assert_eq!(daemon.get("web", "/").text(), "told");

    let setup = Setup::contained().unwrap();
    let refused = told(setup).arg("--daemon").run();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("leave it out"), "{refused:?}");
}

#[test]
fn commands_find_what_the_daemon_finds() {
    let ask = |arguments: &[&str]| {
        let setup = Daemon::setup().env("HTTPSERVER_CONFIG_TEXT", &saying("x"));
        let setup = arguments.iter().fold(setup, |setup, own| setup.arg(own));
        let asked = setup.run();
        assert_eq!(asked.code, Some(0), "{asked:?}");
        asked.stdout
    };
    assert_eq!(
        ask(&["check"]),
        "HTTPSERVER_CONFIG_TEXT is good: 1 listener, 1 route\n"
    );
    assert!(ask(&["routes"]).contains("respond"));

    let setup = Daemon::setup();
    let socket = setup.folder().join("control").display().to_string();
    let daemon = setup
        .env("HTTPSERVER_CONFIG_TEXT", &saying("x"))
        .env("HTTPSERVER_SERVER__CONTROL_SOCKET", &socket)
        .arg("run")
        .start();
    let setup = Daemon::setup().env("HTTPSERVER_SERVER__CONTROL_SOCKET", &socket);
    let status = setup.arg("status").run();
    assert!(status.stdout.contains("serving"), "{status:?}");
    drop(daemon);
}

#[test]
fn who_names_no_configuration_or_two_is_told_how() {
    for (variables, expected) in [
        (vec![], "set HTTPSERVER_CONFIG to its path"),
        (
            vec!["HTTPSERVER_CONFIG", "HTTPSERVER_CONFIG_TEXT"],
            "leave one of them out",
        ),
    ] {
        for command in ["run", "check", "routes"] {
            let setup = Daemon::setup().arg(command);
            let set = |setup: Setup, name: &&str| setup.env(name, "x");
            let refused = variables.iter().fold(setup, set).run();
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(refused.stderr.contains(expected), "{refused:?}");
        }
    }
}

/// As Kubernetes mounts a `ConfigMap`: every file is a link through `..data`, which is a link to
/// the folder of a version, and is replaced in one step.
#[test]
fn a_mounted_folder_is_followed_as_kubernetes_changes_it() {
    let Some(setup) = Setup::contained() else {
        return;
    };
    let mount = setup.folder().join("mount");
    let version = |name: &str, text: &str| {
        let main = format!("include = [\"*.route.toml\"]\n{}", saying(text));
        let route = format!("[[route]]\npath = \"/more\"\nrespond = {{ text = \"{text}\" }}\n");
        fs::create_dir_all(mount.join(name)).unwrap();
        fs::write(mount.join(name).join("main.toml"), main).unwrap();
        fs::write(mount.join(name).join("more.route.toml"), route).unwrap();
        symlink(name, mount.join("..next")).unwrap();
        fs::rename(mount.join("..next"), mount.join("..data")).unwrap();
    };
    let link = |name: &str| symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    version("..1", "first");
    link("main.toml");
    link("more.route.toml");
    let daemon = setup
        .env("HTTPSERVER_CONFIG", "mount/main.toml")
        .arg("run")
        .start();
    assert_eq!(daemon.get("web", "/more").text(), "first");
    version("..2", "second");
    daemon.wait_log("serving generation 2");
    assert_eq!(daemon.get("web", "/").text(), "second");
    assert_eq!(daemon.get("web", "/more").text(), "second");
    fs::remove_dir_all(mount.join("..1")).unwrap();
    version("..3", "a mistake\"");
    daemon.wait_log("kept generation 2");
    version("..4", "fourth");
    daemon.wait_log("serving generation 3");
    assert_eq!(daemon.get("web", "/more").text(), "fourth");
}

/// The kernel drops what is sent to a first process that does not listen yet; so it listens
/// before it reads anything. Elsewhere it would end the process before it has begun.
#[test]
fn who_is_told_to_end_before_it_serves_ends_well() {
    let setup = Daemon::setup().shell("echo $$ > pid; exec");
    let folder = setup.folder().to_path_buf();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, folder.join("config"), FileType::Fifo, mode, 0).unwrap();
    let teller = move || {
        // Opens when the daemon begins to read.
        let config = File::options().write(true).open(folder.join("config"));
        let pid = fs::read_to_string(folder.join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        config.unwrap().write_all(saying("").as_bytes()).unwrap();
    };
    let teller = thread::Builder::new().spawn(teller).unwrap();
    let ended = setup.arg("-c").arg("config").run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    teller.join().unwrap();
    assert!(ended.stderr.contains("SIGTERM: draining"), "{ended:?}");
}
