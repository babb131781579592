//! Certificates that an authority issues, by the real binary and a real authority.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::daemon::Daemon;
use crate::support::pebble::{Pebble, Proved, Rules};
use crate::support::port::Port;
use crate::support::tls::Client;
use crate::support::{deadline, left};

/// Listeners where the authority looks for proofs; everything that is plain is turned away, or
/// asks for a password.
fn config(at: &Proved, acme: &str, store: &Path) -> String {
    let (http, tls, store) = (at.http.address(), at.tls.address(), store.display());
    format!(
        r#"
[server]
middleware = ["redirect_https"]
[middleware.redirect_https]
type = "redirect_https"
except = []
[[listener]]
name = "plain"
bind = "{http}"
[[listener]]
name = "web"
bind = "{tls}"
tls = {{ acme = {{ store = "{store}", {acme} }} }}
[[route]]
path = "/metrics"
metrics = {{}}
[[route]]
path = "/*"
respond = {{ text = "{{tls.sni}}" }}
"#
    )
}

/// An authority, where it looks, and a folder that outlives daemons.
struct Scene {
    pebble: Pebble,
    at: Proved,
    store: TempDir,
}

impl Scene {
    /// `None` where there is no authority.
    fn new(rules: &Rules) -> Option<Self> {
        let at = Proved::reserve();
        Some(Self {
            pebble: Pebble::start(&at, rules)?,
            at,
            store: tempfile::tempdir().unwrap(),
        })
    }

    fn config(&self, acme: &str) -> String {
        let keys = format!("{}, {acme}", self.pebble.keys());
        config(&self.at, &keys, &self.store.path().join("acme"))
    }

    fn start(&self, acme: &str) -> Daemon {
        Daemon::start(&self.config(acme))
    }

    /// The folder of the authority.
    fn folder(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.store.path().join("acme")).unwrap();
        folders.next().unwrap().unwrap().path()
    }
}

/// The certificate that a client is shown that asks for this name, if it is shown one.
fn shown(daemon: &Daemon, name: &str) -> Option<Vec<u8>> {
    let client = Client::of_anyone();
    let wire = client.try_connect(daemon.address("web"), name).ok()?;
    let chain = wire.session().peer_certificates().unwrap();
    // Issued by one in between, which is sent along.
    assert_eq!(chain.len(), 2);
    Some(chain[0].to_vec())
}

/// Waits until another certificate is shown than this one.
#[track_caller]
fn wait_for_another(daemon: &Daemon, name: &str, than: Option<&Vec<u8>>) -> Vec<u8> {
    let deadline = deadline();
    loop {
        if let Some(found) = shown(daemon, name).filter(|found| Some(found) != than) {
            return found;
        }
        assert!(left(deadline).is_some(), "{}", daemon.log().text());
    }
}

#[track_caller]
fn check_names(der: &[u8], expected: &[&str]) {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let issuer = certificate.issuer().to_string();
    assert!(issuer.contains("Pebble Intermediate"), "{issuer}");
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(ToString::to_string);
    let mut names: Vec<_> = names.collect();
    names.sort();
    let expected: Vec<_> = expected
        .iter()
        .map(|name| format!("DNSName({name})"))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn a_certificate_is_issued_by_http_01_whatever_stands_around_every_route() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    let daemon = scene.start(
        r#"domains = ["a.example", "b.example"], challenge = "http-01",
            contact = ["ops@a.example"]"#,
    );
    let found = wait_for_another(&daemon, "b.example", None);
    check_names(&found, &["a.example", "b.example"]);
    daemon.wait_log("a certificate was issued");
    assert!(scene.pebble.log().count("order-plz") > 0);
    // Nothing is answered any more, and nothing was ever answered but what was asked for.
    let response = daemon.get("plain", "/.well-known/acme-challenge/x");
    assert_eq!(response.status(), 308);

    let mut wire = Client::of_anyone().connect(daemon.address("web"), "a.example");
    wire.send("GET /metrics HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let metrics = wire.read_response().text();
    for line in [
        r#"httpserverd_acme_orders_total{certificate="a.example",result="issued"} 1"#,
        r#"httpserverd_acme_orders_total{certificate="a.example",result="failed"} 0"#,
        r#"httpserverd_tls_certificate_not_after_seconds{listener="web",certificate="a.example"} "#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }

    let folder = scene.folder();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&scene.store.path().join("acme")), 0o700);
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap());
    let mut files: Vec<_> = files
        .map(|file| {
            assert_eq!(mode(&file.path()), 0o600);
            file.file_name().into_string().unwrap()
        })
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["a.example.pem", "a.example.tries", "account.json", "lock"]
    );
}

#[test]
fn a_certificate_is_issued_by_tls_alpn_01_and_kept_for_the_next_start() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    let acme = r#"domains = ["a.example"]"#;
    let mut daemon = scene.start(acme);
    daemon.wait_log("there is no certificate yet");
    let found = wait_for_another(&daemon, "a.example", None);
    check_names(&found, &["a.example"]);
    assert_eq!(scene.pebble.log().count("challenge type: http-01"), 0);
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);

    let daemon = scene.start(acme);
    // From the first connection on, and nobody was asked for it.
    assert!(shown(&daemon, "a.example") == Some(found));
    assert!(!daemon.log().text().contains("ordering a certificate"));
    assert_eq!(scene.pebble.issued(), 1);
}

#[test]
fn a_certificate_is_renewed_while_it_is_served() {
    let rules = Rules {
        lifetime: 9,
        ..Rules::default()
    };
    let Some(mut scene) = Scene::new(&rules) else {
        return;
    };
    let daemon = scene.start(r#"domains = ["a.example"]"#);
    let first = wait_for_another(&daemon, "a.example", None);
    // From here on no handshake may fail.
    let mut kept = Client::of_anyone().connect(daemon.address("web"), "a.example");
    let deadline = deadline();
    let second = loop {
        let found = shown(&daemon, "a.example").expect("a certificate at any time");
        if found != first {
            break found;
        }
        assert!(left(deadline).is_some(), "{}", daemon.log().text());
    };
    check_names(&second, &["a.example"]);
    kept.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(kept.read_response().text(), "a.example");

    // Then the authority is away: what there is stays.
    scene.pebble.kill();
    daemon.wait_log("no new certificate was issued");
    daemon.wait_log("cannot connect to");
    assert!(shown(&daemon, "a.example") == Some(second));
}

#[test]
fn an_authority_that_wants_an_account_gets_it() {
    // A base64url key, as authorities give them away.
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let rules = Rules {
        account: Some(("kid-1", key)),
        ..Rules::default()
    };
    let Some(scene) = Scene::new(&rules) else {
        return;
    };
    let mut daemon = scene.start(r#"domains = ["a.example"]"#);
    // In the authority's own words.
    daemon.wait_log("externalAccountRequired");
    daemon.wait_log("no certificate was issued, and there is none to serve");
    assert_eq!(shown(&daemon, "a.example"), None);

    let wrong = r#"domains = ["a.example"], eab = { kid = "kid-1", hmac_key = "c2VjcmV0" }"#;
    daemon.write_config(&scene.config(wrong));
    daemon.wait_notify("READY=1");
    daemon.log().wait("no certificate was issued", 2);
    assert!(!daemon.log().text().contains("c2VjcmV0"));

    // What was changed is tried at once, whatever failed before.
    let right =
        format!(r#"domains = ["a.example"], eab = {{ kid = "kid-1", hmac_key = "{key}" }}"#);
    daemon.write_config(&scene.config(&right));
    wait_for_another(&daemon, "a.example", None);
}

#[test]
fn an_authority_that_forgets_accounts_is_given_another() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    let Scene { pebble, at, store } = scene;
    let daemon = {
        let keys = format!("{}, domains = [\"a.example\"]", pebble.keys());
        Daemon::start(&config(&at, &keys, store.path()))
    };
    let first = wait_for_another(&daemon, "a.example", None);
    let place = pebble.place();
    drop(pebble);
    let pebble = Pebble::start_on(place, &at, &Rules::default()).unwrap();
    // One name more: the old certificate is served until there is one for both.
    let keys = format!(
        "{}, domains = [\"a.example\", \"b.example\"]",
        pebble.keys()
    );
    daemon.write_config(&config(&at, &keys, store.path()));
    let second = wait_for_another(&daemon, "a.example", Some(&first));
    check_names(&second, &["a.example", "b.example"]);
    assert_eq!(daemon.log().count("opened an account"), 2);
}

#[test]
fn what_the_authority_finds_is_told_in_its_words() {
    let at = Proved::reserve();
    // It looks where nobody is.
    let Some(pebble) = Pebble::start(&Proved::reserve(), &Rules::default()) else {
        return;
    };
    let store = tempfile::tempdir().unwrap();
    let keys = format!(
        r#"{}, domains = ["a.example"], challenge = "http-01""#,
        pebble.keys()
    );
    let daemon = Daemon::start(&config(&at, &keys, store.path()));
    daemon.wait_log("no certificate was issued, and there is none to serve");
    let log = daemon.log().text();
    for words in [
        "a.example: ",
        "connection refused",
        "urn:ietf:params:acme:error:connection",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    // Everything else goes on.
    assert_eq!(shown(&daemon, "a.example"), None);
    assert_eq!(daemon.get("plain", "/").status(), 308);
    assert_eq!(daemon.log().count("ordering a certificate"), 1);
}

#[test]
fn a_store_that_is_spoilt_is_told_of_and_mended() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    let acme = r#"domains = ["a.example"]"#;
    let mut daemon = scene.start(acme);
    let first = wait_for_another(&daemon, "a.example", None);
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
    let folder = scene.folder();
    for file in ["a.example.pem", "a.example.tries", "account.json"] {
        fs::write(folder.join(file), "-----BEGIN nothing").unwrap();
    }
    let daemon = scene.start(acme);
    daemon.wait_log("a certificate is spoilt: it is ordered anew");
    daemon.wait_log("the account that is kept cannot be read: a new one is opened");
    wait_for_another(&daemon, "a.example", Some(&first));
}

#[test]
fn daemons_that_share_a_store_order_one_after_the_other() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    let acme = r#"domains = ["a.example"]"#;
    let mut daemon = scene.start(acme);
    let issued = wait_for_another(&daemon, "a.example", None);
    daemon.signal(Signal::TERM);
    daemon.wait_exit(0);
    // As if the next one came while this one still ordered.
    let folder = scene.folder();
    let [kept, aside] = ["a.example.pem", "aside"].map(|name| folder.join(name));
    fs::rename(&kept, &aside).unwrap();
    let lock = File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let daemon = scene.start(acme);
    daemon.wait_log("another daemon orders in this store");
    assert_eq!(shown(&daemon, "a.example"), None);
    fs::rename(&aside, &kept).unwrap();
    drop(lock);
    daemon.wait_log("another daemon has had a certificate issued");
    assert!(shown(&daemon, "a.example") == Some(issued));
    assert_eq!(scene.pebble.issued(), 1);
}

#[test]
fn nothing_is_ordered_that_could_not_be_kept() {
    let Some(scene) = Scene::new(&Rules::default()) else {
        return;
    };
    // A file stands where the folder should.
    fs::write(scene.store.path().join("acme"), "").unwrap();
    let daemon = scene.start(r#"domains = ["a.example"]"#);
    daemon.wait_log("cannot write");
    daemon.wait_log("no certificate was issued, and there is none to serve");
    assert_eq!(scene.pebble.log().count("order-plz"), 0);
}

#[test]
fn nobody_waits_for_an_authority_that_is_away() {
    let (at, nobody) = (Proved::reserve(), Port::reserve());
    let store = tempfile::tempdir().unwrap();
    let away = format!("directory = \"https://{}/dir\"", nobody.address());
    let acme = format!(r#"{away}, accept_terms = true, domains = ["a.example"]"#);
    let daemon = Daemon::start(&config(&at, &acme, store.path()));
    assert_eq!(daemon.get("plain", "/").status(), 308);
    assert_eq!(shown(&daemon, "a.example"), None);
    daemon.wait_log("no certificate was issued, and there is none to serve");
}
