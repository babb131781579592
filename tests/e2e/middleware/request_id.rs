//! `request_id`: one name for an exchange, wherever one looks.

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

const CONFIG: &str = r#"
[server]
workers = 1
trusted_proxies = ["127.0.0.2/32"]

[[listener]]
name = "web"
bind = "0.0.0.0:0"

[middleware.access_log]
type = "access_log"
format = "{request.uri} {request.id}"

[upstream.backend]
servers = ["UPSTREAM"]

[[route]]
path = "/up"
proxy = { upstream = "backend" }
"#;

#[test]
fn an_id_is_kept_from_a_trusted_proxy_and_from_nobody_else() {
    let upstream = Upstream::tcp();
    let daemon = Daemon::start(&CONFIG.replace("UPSTREAM", &upstream.address));
    let port = daemon.address("web").tcp().port();
    let mut peer = None;
    for (number, (from, id, kept)) in [
        ([127, 0, 0, 2], "abc-1", true),
        ([127, 0, 0, 2], "a b", false),
        ([127, 0, 0, 2], "", false),
        ([127, 0, 0, 1], "abc-2", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire = Wire::connect_from(from, port);
        wire.send(format!(
            "GET /up?{number} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {id}\r\n\r\n"
        ));
        let peer = peer.get_or_insert_with(|| upstream.accept());
        let sent_on = peer.read_request_head();
        peer.respond("200 OK", "");
        let response = wire.read_response();
        let told = response.field("X-Request-ID").unwrap();
        assert_eq!(told == id, kept, "{told} for {id}");
        assert!(kept || told.len() == 36, "{told} is a UUID");
        // One name, wherever one looks.
        assert!(
            sent_on.contains(&format!("\r\nX-Request-ID: {told}\r\n")),
            "{sent_on}"
        );
        assert_eq!(sent_on.to_lowercase().matches("x-request-id").count(), 1);
        daemon.stdout().wait(&format!("/up?{number} {told}\n"), 1);
    }
}
