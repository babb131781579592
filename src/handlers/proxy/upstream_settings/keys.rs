//! What the reference says of `[upstream.NAME]`.

use crate::build::{Key, keys};

pub(super) const EXAMPLE: &str = r#"
servers = [
  "127.0.0.1:9000",
  "unix:/run/app.sock",
  { address = "app.internal:80", weight = 2, max_connections = 50 },
  { address = "10.0.0.9:80", backup = true },               # used when no other may be
]
balance = "least_connections"   # or "round_robin", "random_two", "peak_ewma", "hash"
# sticky_cookie = { name = "route", secret = "${STICKY_SECRET}" }   # clients stay where they are
# hash = { key = "{cookie.session}", slack = "25%" }        # with balance = "hash"
connect_timeout = "3s"
first_byte_timeout = "60s"      # from the request sent to the first byte of the answer
idle_timeout = "60s"            # between two bytes of a body; there is no total deadline
tunnel_idle_timeout = "1h"      # of WebSockets and whatever else a connection is upgraded to
keep_alive = { max_idle = 128, idle_timeout = "60s" }       # per worker and server
# protocol = "h2c"              # HTTP/2, for gRPC say; over TLS "h2" or "auto"
# tls = { ca = "internal-ca.pem", server_name = "app.internal" }    # servers over TLS
# proxy_protocol = "v2"         # or "v1"; the servers must expect it
max_connections = 200           # exchanges under way at a time, over all servers
queue = { size = 128, timeout = "5s" }                      # who waits when there are as many
failure_statuses = ["502-504"]  # what counts as a failure of the server, beside broken answers
resolve = { refresh = "10s", keep = "10m" }                 # names are looked up in the background
slow_start = "30s"              # until a server that came back gets its whole share
panic_threshold = "0%"          # with fewer servers in service, all of them are used
[health_check]
path = "/healthz"
interval = "5s"
timeout = "2s"
healthy_after = 2
unhealthy_after = 3
[outlier_detection]
consecutive_failures = 5
failure_rate_margin = "30%"     # above the failure rate of all others together
ejection_time = "30s"           # doubles each time
max_ejected = "50%"
[circuit_breaker]
failure_rate = "50%"
open_time = "5s"
"#;

pub(super) const KEYS: &[Key] = keys! {
    "servers": "list of servers",
        "addresses, or tables such as { address = \"app.internal:80\", weight = 2 } that may \
         also hold `backup`, `max_connections` and `drain`";
    "balance": "word" = r#""round_robin""#,
        "how a server is picked: round_robin, least_connections, random_two, peak_ewma (the one \
         that would answer soonest) or hash";
    "hash": "table" = "(by the client's address)",
        "what decides the server with balance = \"hash\"";
    "hash.key": "template" = r#""{client.ip}""#, "the same key goes to the same server";
    "hash.slack": "percent" = r#""25%""#,
        "how much more than its share a server may carry before its keys go on to another";
    "sticky_cookie": "table" = "(none)",
        "a signed cookie keeps a client with the server that `balance` gave it first";
    "sticky_cookie.name": "name" = r#""httpserverd_route""#, "of the cookie";
    "sticky_cookie.secret": "secret of 16 bytes or more",
        "signs it; the same for all proxies that share the load";
    "sticky_cookie.path": "path" = r#""/""#, "for which paths browsers send it";
    "sticky_cookie.max_age": "duration" = "(as long as the browser runs)", "how long it holds";
    "sticky_cookie.same_site": "word" = r#""lax""#,
        "strict, lax or none: whether browsers send it with requests of other sites";
    "sticky_cookie.secure": "boolean" = "(if the client's connection is)",
        "whether browsers send it over https only; it is always HttpOnly";
    "connect_timeout": "duration" = r#""3s""#, "for a connection to be made";
    "first_byte_timeout": "duration" = r#""60s""#,
        "from the request sent to the first byte of the answer";
    "idle_timeout": "duration" = r#""60s""#,
        "between two bytes of a body; there is no total deadline";
    "tunnel_idle_timeout": "duration" = r#""1h""#,
        "between two bytes of a WebSocket or whatever a connection is upgraded to";
    "keep_alive": "table" = "{}", "the connections that are kept for the next request";
    "keep_alive.max_idle": "number" = "128", "how many, by each worker to each server";
    "keep_alive.idle_timeout": "duration" = r#""60s""#, "how long";
    "keep_alive.max_lifetime": "duration" = "(none)", "how old one may be to be used once more";
    "keep_alive.max_requests": "number" = "0", "how many requests one may carry; 0 for any";
    "keep_alive.min_idle": "number" = "0",
        "how many each worker opens to each server before they are needed";
    "proxy_protocol": "word" = "(none)",
        "every connection tells first whom it is for, `v1` or `v2`, and serves one request; \
         health checks tell that they are checks";
    "protocol": "word" = r#""http/1.1""#,
        "what is spoken: `http/1.1`, `h2` (HTTP/2 over TLS), `h2c` (HTTP/2 in the clear), or \
         `auto`, which of both a server prefers over TLS; WebSockets go over http/1.1 alone";
    "tls": "table" = "(none; with https:// it is {})",
        "how servers over TLS are known for who they say they are, and what they are shown";
    "tls.ca": "path" = "(those the system trusts)",
        "a PEM file of the authorities that issue the servers' certificates";
    "tls.server_name": "name" = "(the host of each server)",
        "whose certificates they show, and what they are asked for (SNI)";
    "tls.client_certificate": "table" = "(none)", "what servers are shown that ask who we are";
    "tls.client_certificate.cert": "path", "a PEM file: the certificate, then its issuers";
    "tls.client_certificate.key": "path", "a PEM file with its key";
    "tls.verify": "boolean" = "true", "false: any server is believed, and a warning says so";
    "max_connections": "number" = "(none)",
        "how many exchanges may be under way at a time, over all servers and workers";
    "queue": "table" = "(as below)", "who waits while there are as many as may be";
    "queue.size": "number" = "128", "how many may wait; more are answered 503 at once";
    "queue.timeout": "duration" = r#""5s""#, "how long one waits before it is answered 503";
    "failure_statuses": "list of statuses" = r#"["502-504"]"#,
        "answers that count as failures of the server, for outliers and the circuit breaker";
    "resolve": "table" = "{}", "how the names among the servers are looked up";
    "resolve.refresh": "duration" = r#""10s""#, "from one look-up to the next";
    "resolve.keep": "duration" = r#""10m""#,
        "how long the last good answer is used while a name does not resolve";
    "slow_start": "duration" = r#""0s""#,
        "how long the share of a server that came back grows from a tenth to the whole";
    "panic_threshold": "percent" = r#""0%""#,
        "with a smaller share of the servers in service, all are used as if they were";
    "health_check": "table" = "(none)", "asks each server how it is, in the background";
    "health_check.path": "path" = "(none)", "what is asked for";
    "health_check.tcp": "boolean" = "false", "only connects, instead of asking for a `path`";
    "health_check.port": "number" = "(none)",
        "another port than that of the server; it is asked in the clear";
    "health_check.headers": "table of strings" = "{}", "fields that are sent; `Host` may be one";
    "health_check.status": "list of statuses" = r#"["2xx", "3xx"]"#, "which answers are healthy";
    "health_check.body": "string" = "(none)",
        "a text that must stand in the first 64 KiB of the answer's content";
    "health_check.interval": "duration" = r#""5s""#, "from one check to the next";
    "health_check.jitter": "percent" = r#""10%""#, "how much longer or shorter that may be";
    "health_check.timeout": "duration" = r#""2s""#, "what takes longer has failed";
    "health_check.healthy_after": "number" = "2",
        "good checks in a row until it is asked again";
    "health_check.unhealthy_after": "number" = "3",
        "bad checks in a row until it is left out";
    "outlier_detection": "table" = "(none)",
        "takes servers out for a while that fail more than others";
    "outlier_detection.consecutive_failures": "number" = "5", "in a row; 0 for any number";
    "outlier_detection.failure_rate_margin": "percent" = "(none)",
        "how many percent more of its requests may fail than of all others' together";
    "outlier_detection.minimum_requests": "number" = "20",
        "how many an interval must have had for rates to be compared";
    "outlier_detection.interval": "duration" = r#""10s""#, "how often rates are compared";
    "outlier_detection.ejection_time": "duration" = r#""30s""#,
        "how long a server is out the first time; each time doubles it";
    "outlier_detection.ejection_time_max": "duration" = r#""5m""#, "how long at most";
    "outlier_detection.max_ejected": "percent" = r#""50%""#,
        "which share of the servers may be out; the only one never is";
    "circuit_breaker": "table" = "(none)",
        "answers 503 at once for a while when most of what is asked fails";
    "circuit_breaker.failure_rate": "percent" = r#""50%""#, "the share that must fail";
    "circuit_breaker.minimum_requests": "number" = "20",
        "how many a window must have had for its rate to count";
    "circuit_breaker.window": "duration" = r#""10s""#, "how long requests are counted together";
    "circuit_breaker.open_time": "duration" = r#""5s""#,
        "how long it stays open before some requests try the servers again";
    "circuit_breaker.trial_requests": "number" = "3",
        "how many must go well for it to close";
};
