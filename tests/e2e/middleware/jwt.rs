//! Tokens on the wire: keys that an upstream publishes, that change, and that cannot be had.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::lines;
use crate::support::daemon::Daemon;
use crate::support::response::Response;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

const P256: &str = include_str!("../../../src/middleware/jwt/tests/p256.pem");
const ED25519: &str = include_str!("../../../src/middleware/jwt/tests/ed25519.pem");

/// Who signs tokens: an algorithm, a key, and its name.
struct Issuer(Algorithm, EncodingKey, &'static str);

impl Issuer {
    fn first() -> Self {
        let key = EncodingKey::from_ec_pem(P256.as_bytes()).unwrap();
        Self(Algorithm::ES256, key, "first")
    }

    fn second() -> Self {
        let key = EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap();
        Self(Algorithm::EdDSA, key, "second")
    }

    /// The answer that publishes the public half.
    fn published(&self) -> Vec<u8> {
        let mut jwk = Jwk::from_encoding_key(&self.1, self.0).unwrap();
        jwk.common.key_id = Some(self.2.to_owned());
        let set = serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap();
        let length = set.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{set}").into_bytes()
    }

    fn token(&self, claims: Value) -> String {
        let mut header = Header::new(self.0);
        header.kid = Some(self.2.to_owned());
        let mut claims = claims;
        let hour = httpserverd::clock::unix_now() + Duration::from_hours(1);
        claims["exp"] = hour.as_secs().into();
        encode(&header, &claims, &self.1).unwrap()
    }
}

#[track_caller]
fn get(wire: &mut Wire, target: &str, token: &str) -> Response {
    wire.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    wire.read_response()
}

fn config(issuer: &str, backend: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[upstream.login]
servers = ["{issuer}"]
[upstream.backend]
servers = ["{backend}"]
[middleware.api]
type = "jwt"
algorithms = ["ES256", "EdDSA"]
jwks = {{ upstream = "login", path = "/keys?v=1", host = "login.example" }}
issuer = ["https://login.example"]
audience = ["api"]
require = {{ scope = ["read"] }}
claim_headers = {{ X-User = "sub" }}
strip = true
query = "access_token"
[[route]]
path = "/metrics"
metrics = {{}}
[[route]]
path = "/*"
middleware = ["cors", "api"]
proxy = {{ upstream = "backend" }}
"#
    )
}

#[test]
fn keys_of_an_upstream_are_fetched_once_and_what_they_sign_gets_in() {
    let (login, backend) = (Upstream::tcp(), Upstream::tcp());
    let daemon = Daemon::start(&config(&login.address, &backend.address));
    let issuer = Issuer::first();
    let published = issuer.published();
    let served = login.serve(1, move |_| published.clone());
    let backend = backend.serve(1, |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let good = json!({
        "sub": "alice", "iss": "https://login.example", "aud": ["api"], "scope": "read write",
    });
    let mut wire = daemon.connect("web");
    // Who brings no token does not make anyone fetch keys.
    let asked = wire.get("/");
    assert_eq!(asked.head.status, 401);
    assert!(
        asked
            .head
            .text
            .contains("WWW-Authenticate: Bearer realm=\"restricted\"\r\n")
    );
    assert_eq!(
        get(&mut wire, "/a", &issuer.token(good.clone()))
            .head
            .status,
        200
    );
    let token = issuer.token(good.clone());
    let query = wire.get(&format!("/b?access_token={token}"));
    assert_eq!(query.head.status, 200);
    for (claim, value, status, error) in [
        ("iss", json!("https://evil.example"), 401, "invalid_token"),
        ("aud", json!("other"), 401, "invalid_token"),
        ("scope", json!("write"), 403, "insufficient_scope"),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        let refused = get(&mut wire, "/c", &issuer.token(claims));
        assert_eq!(refused.head.status, status, "{claim}");
        let expected = format!("error=\"{error}\"");
        assert!(
            refused.head.text.contains(&expected),
            "{}",
            refused.head.text
        );
    }
    // Signed by who is not known, although the keys were looked at a moment ago.
    let stranger = Issuer::second().token(good);
    assert_eq!(get(&mut wire, "/d", &stranger).head.status, 401);
    let page = String::from_utf8(wire.get("/metrics").body).unwrap();
    for (result, count) in [
        ("accepted", 2),
        ("missing", 1),
        ("wrong", 3),
        ("insufficient", 1),
    ] {
        let line = format!(
            "httpserverd_auth_requests_total{{kind=\"jwt\",name=\"api\",\
             result=\"{result}\"}} {count}"
        );
        assert!(page.contains(&line), "{line}\n{page}");
    }
    let log = lines(&daemon, 3);
    assert_eq!(
        (&log[1]["user"], &log[1]["route"]),
        (&"alice".into(), &"/*".into())
    );
    let uri = log[2]["uri"].as_str().unwrap();
    assert_eq!(uri, "/b?access_token=REDACTED", "no log shows a token");
    drop(wire);
    drop(daemon);
    let requests = served.join().unwrap();
    assert_eq!(requests.len(), 1, "fetched once");
    let head = &requests[0].head;
    assert!(head.starts_with("GET /keys?v=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Host: login.example\r\n"), "{head}");
    let requests = backend.join().unwrap();
    assert!(
        requests[0].head.contains("X-User: alice\r\n"),
        "{}",
        requests[0].head
    );
    assert!(
        !requests[0].head.contains("Authorization"),
        "{}",
        requests[0].head
    );
}

#[test]
fn who_hangs_up_while_keys_are_fetched_does_not_end_that_for_others() {
    let (login, backend) = (Upstream::tcp(), Upstream::tcp());
    let daemon = Daemon::start(&config(&login.address, &backend.address));
    let backend = backend.serve(1, |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let issuer = Issuer::first();
    let token = issuer.token(json!({
        "sub": "alice", "iss": "https://login.example", "aud": "api", "scope": "read",
    }));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut gone = daemon.connect("web");
    gone.send(&request);
    let mut peer = login.accept();
    peer.read_request();
    gone.reset();
    // Its line says that it has gone; only then are there keys.
    daemon.stdout().wait("client_abort", 1);
    let mut wire = daemon.connect("web");
    wire.send(&request);
    peer.send(issuer.published());
    assert_eq!(wire.read_response().head.status, 200);
    login.expect_no_connection();
    drop((wire, peer, daemon));
    backend.join().unwrap();
}

#[test]
fn without_keys_nobody_gets_in() {
    let (login, backend) = (Upstream::tcp(), Upstream::tcp());
    let daemon = Daemon::start(&config(&login.address, &backend.address));
    let port = login.stop();
    let token = Issuer::first().token(json!({"iss": "https://login.example"}));
    let mut wire = daemon.connect("web");
    for _ in 0..3 {
        let refused = get(&mut wire, "/", &token);
        assert_eq!(refused.head.status, 503);
        assert!(refused.head.text.contains("Retry-After: "));
    }
    daemon.wait_log("cannot fetch a key set");
    // Whoever answers nonsense is no better.
    let login = Upstream::at(port);
    login.expect_no_connection();
    backend.expect_no_connection();
}

#[test]
fn keys_of_a_file_change_with_it() {
    let set = |issuer: &Issuer| {
        let published = issuer.published();
        let at = published.windows(4).position(|end| end == b"\r\n\r\n");
        published[at.unwrap() + 4..].to_vec()
    };
    let (first, second) = (Issuer::first(), Issuer::second());
    let daemon = Daemon::setup()
        .file("keys.json", set(&first))
        .config(
            r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
[middleware.api]
type = "jwt"
algorithms = ["ES256", "EdDSA"]
jwks_file = "keys.json"
[[route]]
path = "/*"
middleware = ["api"]
respond = { text = "hello {user}, {claim.role}" }
"#,
        )
        .start();
    let claims = json!({"sub": "bob", "role": "ops"});
    let mut wire = daemon.connect("web");
    let hello = get(&mut wire, "/", &first.token(claims.clone()));
    assert_eq!(hello.body, b"hello bob, ops");
    assert_eq!(
        get(&mut wire, "/", &second.token(claims.clone()))
            .head
            .status,
        401
    );
    daemon.write_file("keys.json", set(&second));
    daemon.wait_log("read again what changed");
    assert_eq!(
        get(&mut wire, "/", &second.token(claims.clone()))
            .head
            .status,
        200
    );
    assert_eq!(get(&mut wire, "/", &first.token(claims)).head.status, 401);
}
