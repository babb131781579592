//! Starting: ready or refused, never half.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::daemon::{Address, Daemon, Setup};
use crate::support::{deadline, left};

const HELLO: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"

[[route]]
path = "/"
respond = { text = "hello" }
"#;

#[test]
fn it_says_where_it_listens_and_serves() {
    let daemon = Daemon::start(HELLO);
    assert_eq!(daemon.listeners(), ["web"]);
    assert_eq!(daemon.get("web", "/").text(), "hello");
    let address = daemon.address("web").tcp();
    daemon.wait_log(&format!("listening on {address}"));
    daemon.wait_log("serving generation 1");
    // What is for people at a terminal is not for a pipe.
    assert!(!daemon.stdout().text().contains("Ctrl-C"));
}

#[test]
fn people_at_a_terminal_are_greeted() {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().write(true).open(name.to_str().unwrap());
    let daemon = Daemon::setup()
        .config(HELLO)
        .start_writing_to(theirs.unwrap().into());
    let mut greeting = Vec::new();
    let mut terminal = File::from(ours);
    let all = |greeting: &[u8]| String::from_utf8_lossy(greeting).contains("Ctrl-C");
    while !all(&greeting) {
        let left = left(deadline()).unwrap().try_into().unwrap();
        let readable = PollFd::new(&terminal, PollFlags::IN);
        assert_eq!(poll(&mut [readable], Some(&left)), Ok(1), "{greeting:?}");
        let mut bytes = [0; 4096];
        let length = terminal.read(&mut bytes).unwrap();
        greeting.extend_from_slice(&bytes[..length]);
    }
    let greeting = String::from_utf8(greeting).unwrap();
    let address = daemon.address("web").tcp();
    assert!(
        greeting.contains(&format!("http://{address}")),
        "{greeting}"
    );
    assert!(greeting.contains("respond"), "the routes: {greeting}");
}

#[test]
fn bad_usage_is_2() {
    let refused = Daemon::setup().arg("--no-such-flag").run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--no-such-flag"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let refused = Daemon::setup().config(HELLO).arg("httpserver.toml").run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let expected = "httpserverd --config httpserver.toml";
    assert!(refused.stderr.contains(expected), "{refused:?}");
}

#[test]
fn help_and_version_are_no_mistakes() {
    for (argument, expected) in [("--help", "Exit codes:"), ("--version", "httpserverd 0.")] {
        let asked = Daemon::setup().arg(argument).run();
        assert_eq!(asked.code, Some(0), "{asked:?}");
        assert!(asked.stdout.contains(expected), "{asked:?}");
    }
}

#[test]
fn the_manual_names_every_command_and_every_option() {
    let manual = include_str!("../../packaging/httpserverd.8");
    let help = |command: &str| {
        let arguments = [command, "--help"]
            .into_iter()
            .filter(|own| !own.is_empty());
        let asked = arguments.fold(Daemon::setup(), Setup::arg).run();
        assert_eq!(asked.code, Some(0), "{asked:?}");
        asked.stdout
    };
    let all = help("");
    let commands = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .map_while(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"check"), "{all}");
    for command in commands.iter().copied().chain([""]) {
        let said = help(command);
        let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let options = words.filter_map(|word| word.strip_prefix("--"));
        for option in options.filter(|own| !["help", "version"].contains(own)) {
            let known = manual.contains(&format!("Fl Fl {option}"));
            assert!(known, "the manual has no --{option} of {command:?}");
        }
        assert!(manual.contains(&format!("Cm {command}")), "{command}");
    }
}

/// A listener that leaves a trace if it is ever bound.
const TRACE: &str = "[[listener]]\nname = \"trace\"\nbind = \"unix:trace\"\n";

#[test]
fn mistakes_are_all_told_and_nothing_starts() {
    let setup = Daemon::setup();
    let trace = setup.folder().join("trace");
    let text = format!("{TRACE}[[route]]\npath = \"x\"\nrespond = {{ txt = \"a\" }}\n");
    let refused = setup
        .config(&text.replace("unix:trace", &unix(&trace)))
        .run();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("`txt`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("path"), "{}", refused.stderr);
    assert!(refused.stderr.contains("2 errors"), "{}", refused.stderr);
    assert!(!trace.exists());
}

#[test]
fn what_cannot_be_opened_is_a_mistake_too() {
    let setup = Daemon::setup();
    let trace = setup.folder().join("trace");
    let text = format!("{TRACE}[[route]]\npath = \"/*\"\nstatic = {{ root = \"none\" }}\n");
    let refused = setup
        .config(&text.replace("unix:trace", &unix(&trace)))
        .run();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("none"), "{}", refused.stderr);
    assert!(!trace.exists());
}

fn unix(path: &std::path::Path) -> String {
    format!("unix:{}", path.display())
}

#[test]
fn a_taken_address_is_named_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Daemon::setup();
    let trace = setup.folder().join("trace");
    let text = HELLO.replace("127.0.0.1:0", &address.to_string());
    let text = text + &TRACE.replace("unix:trace", &unix(&trace));
    let refused = setup.config(&text).run();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in ["`web`", &address.to_string(), "Address already in use"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert!(!trace.exists());
}

#[test]
fn a_second_daemon_does_not_share_the_address() {
    let first = Daemon::start(HELLO);
    let address = first.address("web").tcp().to_string();
    let second = Daemon::setup()
        .config(&HELLO.replace("127.0.0.1:0", &address))
        .run();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains(&address), "{}", second.stderr);
    assert_eq!(first.get("web", "/").text(), "hello");
}

#[test]
fn a_unix_socket_has_its_mode_and_is_removed_at_the_end() {
    let setup = Daemon::setup();
    let path = setup.folder().join("web.sock");
    // What a crash left behind.
    drop(UnixListener::bind(&path).unwrap());
    let bind = format!("{}\"\nmode = \"0620", unix(&path));
    let mut daemon = setup.config(&HELLO.replace("127.0.0.1:0", &bind)).start();
    assert_eq!(daemon.address("web"), &Address::Unix(path.clone()));
    let file = fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o620);
    assert_eq!(daemon.get("web", "/").text(), "hello");
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
    assert!(!path.exists());
}

#[test]
fn ipv6_is_served() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let daemon = Daemon::start(&HELLO.replace("127.0.0.1:0", "[::1]:0"));
    assert!(daemon.address("web").tcp().is_ipv6());
    assert_eq!(daemon.get("web", "/").text(), "hello");
}

#[test]
fn it_goes_to_the_background_once_it_serves() {
    let setup = Daemon::setup();
    let folder = setup.folder().to_path_buf();
    let socket = folder.join("web.sock");
    let text = HELLO.replace("127.0.0.1:0", &unix(&socket))
        + "[log]\noutput = \"daemon.log\"\n[middleware.access_log]\ntype = \"access_log\"\n\
           output = \"access.log\"\n";
    let mut setup = setup.config(&text);
    for argument in ["-c", "httpserver.toml", "--daemon", "--pid-file", "pid"] {
        setup = setup.arg(argument);
    }
    let (left_behind, _folder) = setup.run_in_folder();
    assert_eq!(left_behind.code, Some(0), "{left_behind:?}");
    assert!(socket.exists());
    let pid = fs::read_to_string(folder.join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let ended = pidfd_open(pid, PidfdFlags::empty()).unwrap();

    // The pid file is locked.
    let mut second = Daemon::setup().config(HELLO);
    let pid_file = folder.join("pid").display().to_string();
    for argument in ["-c", "httpserver.toml", "--daemon", "--pid-file", &pid_file] {
        second = second.arg(argument);
    }
    let second = second.run();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("pid file"), "{second:?}");

    kill_process(pid, Signal::TERM).unwrap();
    let left = left(deadline()).unwrap().try_into().unwrap();
    let polled = poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&left));
    assert_eq!(polled, Ok(1));
    assert!(!folder.join("pid").exists());
    let log = fs::read_to_string(folder.join("daemon.log")).unwrap();
    assert!(log.contains("serving generation 1"), "{log}");
    assert!(log.contains("drained"), "{log}");
}

#[test]
fn in_the_background_it_fails_as_in_the_foreground() {
    let mut setup = Daemon::setup().config("[[route]]\npath = 7\n");
    for argument in ["-c", "httpserver.toml", "--daemon"] {
        setup = setup.arg(argument);
    }
    let refused = setup.run();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("error"), "{}", refused.stderr);
}

#[test]
fn who_is_started_as_root_can_become_another_and_still_listen_below_1024() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: becoming another user: it needs root");
        return;
    }
    let setup = Daemon::setup().config(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.117:117\"\n\
         [[route]]\npath = \"/\"\nrespond = { text = \"hello\" }\n",
    );
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(setup.folder(), open).unwrap();
    let daemon = setup
        .arg("--config")
        .arg("httpserver.toml")
        .arg("--user")
        .arg("nobody:nogroup")
        .start();
    assert_eq!(daemon.get("web", "/").text(), "hello");
    let status = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(of("Uid:"), "65534", "{status}");
    assert_eq!(of("Gid:"), "65534", "{status}");
    // CAP_NET_BIND_SERVICE is number 10.
    assert_eq!(of("CapEff:"), "0000000000000400", "{status}");
    assert_eq!(of("CapPrm:"), "0000000000000400", "{status}");
    // With a reload, too.
    let more = fs::read_to_string(daemon.folder().join("httpserver.toml")).unwrap();
    let more = more + "[[listener]]\nname = \"more\"\nbind = \"127.0.0.117:118\"\n";
    daemon.write_config(&more);
    daemon.wait_log("serving generation 2");
}
