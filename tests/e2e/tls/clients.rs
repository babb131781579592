//! Clients that show certificates.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, SupportedProtocolVersion};

use super::{Certificates as _, config};
use crate::support::daemon::Daemon;
use crate::support::tls::{Authority, Client, Issued, Wanted};

const ROUTES: &str = r#"
[[route]]
path = "/*"
[route.respond]
text = """{tls.client.subject}|{tls.client.san}|{tls.client.serial}|{tls.client.issuer}|\
    {tls.resumed}"""
"#;

const CERTIFICATE: &str = r#"certificates = [{ cert = "a.pem", key = "a.key" }]"#;

fn start(authority: &Authority, client_auth: &str, crl: &str) -> Daemon {
    let tls = format!("{{ {CERTIFICATE}, client_auth = {client_auth} }}");
    Daemon::setup()
        .certificate("a", &authority.issue(&["a.example"]))
        .file("clients.pem", authority.pem())
        .file("revoked.pem", crl)
        .config(&config(&tls, ROUTES))
        .start()
}

fn alice(authority: &Authority) -> Issued {
    authority.issue_as(&Wanted {
        names: &["alice.example", "192.0.2.7"],
        common_name: "alice",
        serial: 0xbeef,
        ..Wanted::default()
    })
}

/// What a client is answered, or why it is not. Of TLS 1.3 a client hears only with the first
/// answer that it is refused.
fn ask(daemon: &Daemon, client: &Client) -> Result<String, Error> {
    let mut wire = client.try_connect(daemon.address("web"), "a.example")?;
    wire.try_request("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];

#[test]
fn who_must_show_a_certificate_is_told_of_or_refused() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("other"));
    let daemon = start(&authority, r#"{ ca = "clients.pem" }"#, "");
    let (ours, theirs) = (alice(&authority), alice(&stranger));
    for versions in VERSIONS {
        let client = |identity| Client::with(&authority, identity, versions);
        let known = client(Some(&ours));
        let said = "CN=alice|DNS:alice.example, IP:192.0.2.7|beef|CN=ca|";
        assert_eq!(ask(&daemon, &known).unwrap(), format!("{said}no"));
        assert_eq!(ask(&daemon, &known).unwrap(), format!("{said}yes"));
        let refused = ask(&daemon, &client(None)).unwrap_err();
        // The older version has no word of its own for it.
        let words = [
            AlertDescription::CertificateRequired,
            AlertDescription::HandshakeFailure,
        ];
        assert!(is_alert(&refused, &words), "{refused}");
        let refused = ask(&daemon, &client(Some(&theirs))).unwrap_err();
        assert!(
            is_alert(&refused, &[AlertDescription::UnknownCA]),
            "{refused}"
        );
    }
}

fn is_alert(error: &Error, any: &[AlertDescription]) -> bool {
    matches!(error, Error::AlertReceived(alert) if any.contains(alert))
}

#[test]
fn who_may_show_a_certificate_need_not() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("other"));
    let daemon = start(
        &authority,
        r#"{ ca = "clients.pem", mode = "request" }"#,
        "",
    );
    let (ours, theirs) = (alice(&authority), alice(&stranger));
    for versions in VERSIONS {
        let client = |identity| Client::with(&authority, identity, versions);
        assert!(
            ask(&daemon, &client(Some(&ours)))
                .unwrap()
                .starts_with("CN=alice|")
        );
        assert!(ask(&daemon, &client(None)).unwrap().starts_with("|||"));
        assert!(ask(&daemon, &client(Some(&theirs))).is_err());
    }
}

#[test]
fn a_revoked_certificate_is_refused_also_when_it_resumes() {
    let authority = Authority::new("ca");
    let alice = alice(&authority);
    let bob = authority.issue_as(&Wanted {
        common_name: "bob",
        serial: 7,
        ..Wanted::default()
    });
    let auth = r#"{ ca = "clients.pem", crl = "revoked.pem" }"#;
    let mut daemon = start(&authority, auth, &authority.revoke(&[&bob]));
    let client = |issued| Client::with(&authority, Some(issued), &[&TLS13]);
    let (as_alice, as_bob) = (client(&alice), client(&bob));
    assert!(ask(&daemon, &as_alice).unwrap().ends_with("|no"));
    assert!(ask(&daemon, &as_alice).unwrap().ends_with("|yes"));
    let refused = ask(&daemon, &as_bob).unwrap_err();
    assert!(
        is_alert(&refused, &[AlertDescription::CertificateRevoked]),
        "{refused}"
    );
    daemon.write_file("revoked.pem", authority.revoke(&[&alice]));
    daemon.wait_notify("READY=1");
    let refused = ask(&daemon, &as_alice).unwrap_err();
    assert!(
        is_alert(&refused, &[AlertDescription::CertificateRevoked]),
        "{refused}"
    );
    assert!(ask(&daemon, &as_bob).unwrap().starts_with("CN=bob|"));
}
