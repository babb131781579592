//! `rewrite`: what static files, an upstream and the log see.

use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

fn start(upstream: &Upstream) -> Daemon {
    let config = format!(
        r#"
[server]
middleware = ["log"]

[middleware.log]
type = "access_log"
output = "stderr"
format = "{{request.method}} {{request.uri}} {{response.status}}"

[[listener]]
name = "web"
bind = "127.0.0.1:0"

[upstream.backend]
servers = ["{}"]

[middleware.clean]
type = "rewrite"
query = {{ remove = ["utm_*"], set = {{ ip = "{{client.ip}}" }} }}

[middleware.user]
type = "rewrite"
regex = '^/app/users/(?<id>[^/]+)$'
to = "/user.php?id={{id}}"

[middleware.docs]
type = "rewrite"
strip_prefix = "/docs"
add_prefix = "/v2"

[[route]]
path = "/app/*"
middleware = ["user", "clean"]
proxy = {{ upstream = "backend" }}

[[route]]
path = "/docs/*"
middleware = "docs"
static = {{ root = "site" }}
"#,
        upstream.address
    );
    Daemon::setup()
        .config(&config)
        .file("site/v2/a b.txt", "two")
        .file("site/docs/a b.txt", "wrong")
        .start()
}

#[test]
fn files_are_looked_for_under_the_new_path_and_the_log_keeps_the_old_one() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let found = daemon.get("web", "/docs//a%20b.txt?x");
    assert_eq!((found.status(), found.text().as_str()), (200, "two"));
    daemon.wait_log("GET /docs//a%20b.txt?x 200");
    assert_eq!(daemon.get("web", "/docs/../secret").status(), 404);
    assert_eq!(daemon.get("web", "/docs/%2e%2e/%2e%2e/x").status(), 400);
}

#[test]
fn an_upstream_sees_what_a_chain_of_them_made() {
    let upstream = Upstream::tcp();
    let daemon = start(&upstream);
    let mut client = daemon.connect("web");
    client.send("GET /app/users/a%26b?utm_source=x&q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.read_request_head();
    let line = head.lines().next();
    assert_eq!(
        line,
        Some("GET /user.php?id=a%26b&q=1&ip=127.0.0.1 HTTP/1.1")
    );
    peer.respond("200 OK", "hello");
    assert_eq!(client.read_response().text(), "hello");
    daemon.wait_log("GET /app/users/a%26b?utm_source=x&q=1 200");
}
