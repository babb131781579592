//! The tools that everybody has: curl and `openssl s_client`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::{Certificates as _, ONE, config};
use crate::support::daemon::Daemon;
use crate::support::tls::{Authority, Wanted};

const ROUTES: &str = r#"
[[route]]
path = "/*"
respond = { text = "{request.version} {tls.version} {tls.alpn} {tls.group}\n" }
"#;

/// Runs a tool; `None`, and said aloud, where there is none.
fn run(command: &mut Command, input: &str) -> Option<Output> {
    let spawned = command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("SKIPPED: there is no {command:?}");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    Some(child.wait_with_output().unwrap())
}

fn daemon(authority: &Authority, key: &'static rcgen::SignatureAlgorithm) -> Daemon {
    let issued = authority.issue_as(&Wanted {
        names: &["a.example"],
        key,
        ..Wanted::default()
    });
    Daemon::setup()
        .certificate("a", &issued)
        .file("ca.pem", authority.pem())
        .config(&config(ONE, ROUTES))
        .start()
}

#[test]
fn curl_speaks_either_protocol() {
    let authority = Authority::new("ca");
    let daemon = daemon(&authority, &rcgen::PKCS_ECDSA_P256_SHA256);
    let address = daemon.address("web").tcp();
    for (options, expected) in [
        (&["--http1.1"][..], "HTTP/1.1 TLSv1.3 http/1.1 "),
        (&["--http2"], "HTTP/2.0 TLSv1.3 h2 "),
        (&["--no-alpn", "--tls-max", "1.2"], "HTTP/1.1 TLSv1.2  "),
    ] {
        let url = format!("https://a.example:{}/", address.port());
        let mut curl = Command::new("/usr/bin/curl");
        curl.args(["-sS", "--cacert", "ca.pem", "--resolve"])
            .arg(format!("a.example:{}:127.0.0.1", address.port()))
            .args(options)
            .args([&url, &url])
            .current_dir(daemon.folder());
        let Some(output) = run(&mut curl, "") else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.lines().count(), 2, "{options:?}: {text}{errors}");
        assert!(
            text.lines().all(|line| line.starts_with(expected)),
            "{text}"
        );
    }
}

#[test]
fn openssl_agrees_with_every_kind_of_key() {
    let authority = Authority::new("ca");
    for key in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let daemon = daemon(&authority, key);
        for version in ["-tls1_2", "-tls1_3"] {
            let mut openssl = Command::new("/usr/bin/openssl");
            let address = daemon.address("web").tcp().to_string();
            openssl
                .args(["s_client", "-connect", &address, "-servername", "a.example"])
                .args([
                    "-CAfile",
                    "ca.pem",
                    "-verify_return_error",
                    "-quiet",
                    version,
                ])
                .current_dir(daemon.folder());
            let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
            let Some(output) = run(&mut openssl, request) else {
                return;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(
                text.starts_with("HTTP/1.1 200 OK"),
                "{key:?}: {text}{errors}"
            );
        }
    }
}
