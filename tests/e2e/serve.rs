//! `httpserverd serve`: a folder and no file; the command line outranks the environment.

use crate::support::daemon::{Daemon, Setup};

fn serve(arguments: &[&str]) -> Setup {
    let setup = Daemon::setup()
        .file("site/index.html", "<h1>site</h1>")
        .file("other/index.html", "<h1>other</h1>")
        .arg("serve");
    arguments
        .iter()
        .fold(setup, |setup, argument| setup.arg(argument))
}

#[test]
fn a_folder_is_served_with_probes() {
    let daemon = serve(&["site", "--port", "0"]).start();
    assert!(daemon.address("web").tcp().ip().is_loopback());
    assert_eq!(daemon.get("web", "/").text(), "<h1>site</h1>");
    assert_eq!(daemon.get("web", "/health/ready").status(), 200);
    assert_eq!(daemon.get("web", "/health/live").status(), 200);
    assert_eq!(daemon.get("web", "/health").status(), 200);
    assert_eq!(daemon.get("web", "/none").status(), 404);
}

#[test]
fn the_environment_is_read_and_the_command_line_outranks_it() {
    let with_environment = |setup: Setup| {
        setup
            .env("HTTP_STATIC_DIR", "site")
            .env("HTTP_HOST", "127.0.0.2")
            .env("HTTP_PORT", "0")
            .env("HTTP_WORKERS", "3")
            .env("HTTP_TIMEOUT", "5")
            .env("HTTP_LOG_LEVEL", "WARNING")
    };
    let daemon = with_environment(serve(&[])).start();
    assert_eq!(daemon.address("web").tcp().ip().to_string(), "127.0.0.2");
    assert_eq!(daemon.get("web", "/").text(), "<h1>site</h1>");
    assert_eq!(daemon.log().text(), "", "nothing to warn of");

    let arguments = [
        "other",
        "--host",
        "127.0.0.3",
        "--log-level",
        "info",
        "-w",
        "1",
    ];
    let daemon = with_environment(serve(&arguments)).start();
    assert_eq!(daemon.address("web").tcp().ip().to_string(), "127.0.0.3");
    assert_eq!(daemon.get("web", "/").text(), "<h1>other</h1>");
    daemon.wait_log("workers=1");
}

#[test]
fn mistakes_are_told_by_the_name_of_the_option() {
    for (argument, value, code, expected) in [
        ("--port", "70000", 2, "--port"),
        ("--host", "nowhere", 2, "write an IP address"),
        ("--log-level", "loud", 2, "possible values"),
        ("--timeout", "0", 2, "write seconds"),
        ("--workers", "0", 78, "--workers"),
    ] {
        let refused = serve(&["site", argument, value]).run();
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    let refused = serve(&["none"]).run();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("none"), "{}", refused.stderr);
}
