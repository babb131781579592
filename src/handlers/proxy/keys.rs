//! What the reference tells of a `proxy` table.

use crate::build::{Key, keys};

/// Every key, with its default or another value.
pub(super) const EXAMPLE: &str = r#"
upstream = "backend"
strip_prefix = "/api"     # taken from the path
add_prefix = "/v1"        # put before what is left
host = "preserve"         # or "upstream": the address of the server; or { fixed = "app" }
forwarded = "append"      # X-Forwarded-*, to what a trusted proxy wrote; or "replace", "off"
rfc7239 = "extend"        # Forwarded, if a trusted proxy wrote one; or "append", "replace", "off"
locations = "rewrite"     # Location in the client's terms; or "keep"
cookie_paths = "rewrite"  # the same for the Path of Set-Cookie
cookie_domain = "keep"    # or "remove", or a name
hedge_after = "50ms"      # a second try beside a slow one; where twice is as good as once
request_headers = { set = { X-Real-IP = "{client.ip}" }, remove = ["X-Debug"] }
response_headers = { add = { X-Served-By = "{route.name}" }, remove = ["X-Powered-By"] }
proxy_protocol = "v2"     # or "v1"; set it in the upstream, so that health checks send it too
buffer_request = { memory = "64KiB", directory = "/var/tmp" }   # slow clients hold no server
mirror = { upstream = "backend", share = "10%", body = "64KiB", in_flight = 64, timeout = "10s" }
# split = [{ upstream = "stable", weight = 95 }, { upstream = "canary", weight = 5 }]
# sticky = { cookie = "lane", max_age = "1h" }                  # or { hash = "{client.ip}" }
[retry]
tries = 3                                     # the first included
on = ["connect", "reset", "timeout", 503]     # and "bad_head"
per_try_timeout = "5s"                        # to the head of the answer
backoff = "25ms"                              # doubled each time, less a part by chance
backoff_max = "1s"
budget = "20%"                                # of the upstream's requests
body = "64KiB"                                # kept of a body, to be sent again
"#;

/// Every key, what it takes and what it does.
pub(super) const KEYS: &[Key] = keys! {
    "upstream": "name" = "(unless `split`)", "which [upstream.NAME] is asked";
    "split": "list of tables" = "(none)",
        "instead of `upstream`: several of them, each with the weight of its share";
    "split.upstream": "name", "which";
    "split.weight": "number", "its share, against those of the others; 0: no new clients";
    "sticky": "table" = "(none)", "what keeps a client with one of `split`";
    "sticky.cookie": "name" = "(none)", "a cookie, set where there is none";
    "sticky.max_age": "duration" = "(as long as the browser runs)", "how long it is kept";
    "sticky.hash": "template" = "(none)",
        "instead of a cookie: the same text, the same upstream";
    "mirror": "table" = "(none)", "an upstream that gets a copy, whose answers nobody sees";
    "mirror.upstream": "name", "which";
    "mirror.share": "percentage" = r#""100%""#, "of how many requests";
    "mirror.body": "size" = r#""64KiB""#, "requests with larger bodies are not copied";
    "mirror.in_flight": "number" = "64", "how many copies may be under way";
    "mirror.timeout": "duration" = r#""10s""#, "how long each may take";
    "buffer_request": "table" = "(none)",
        "take a body in whole before a server is asked: for slow clients";
    "buffer_request.memory": "size" = r#""64KiB""#, "as much in memory, the rest in a file";
    "buffer_request.directory": "path" = r#""/var/tmp""#, "where that file is";
    "proxy_protocol": "word" = "(none)",
        "tell the client's address before each request: `v1` or `v2`; ends keep-alive";
    "strip_prefix": "path" = "(nothing)", "taken from the path";
    "add_prefix": "path" = "(nothing)", "put before what is left of the path";
    "host": "word or table" = r#""preserve""#,
        "the `Host` that the upstream sees: the client's, `upstream`, its own address, or \
         `{ fixed = \"app\" }`";
    "forwarded": "word" = r#""append""#,
        "X-Forwarded-*: `append` to what a trusted proxy wrote, `replace` it, or `off`";
    "rfc7239": "word" = "(as `forwarded`)",
        "Forwarded: `extend` what a trusted proxy wrote, or `append`, `replace`, `off`";
    "retry": "table" = "(connect elsewhere)", "when a request is tried again";
    "retry.tries": "number" = "3", "how often a request is tried at most, the first included";
    "retry.on": "list of words and statuses" = r#"["connect", "reset"]"#,
        "what is tried again if that is safe: `connect`, `reset`, `timeout`, `bad_head`; and \
         statuses, for which it is taken to be";
    "retry.per_try_timeout": "duration" = "(none)",
        "how long one try may take to the head of its answer";
    "retry.backoff": "duration" = r#""25ms""#,
        "the pause before the second try; doubled for each, and shortened by chance";
    "retry.backoff_max": "duration" = r#""1s""#, "no pause is longer";
    "retry.budget": "percentage" = r#""20%""#,
        "which share of the upstream's requests retries may be, beside one a second; or \
         `unlimited`";
    "retry.body": "size" = r#""0""#, "how much of a body is kept to be sent again";
    "hedge_after": "duration" = "(never)",
        "when a second try is begun beside one not yet answered, if its method is idempotent \
         and it has no body";
    "locations": "word" = r#""rewrite""#,
        "Location and Content-Location: `rewrite` in the client's terms, or `keep`";
    "cookie_paths": "word" = r#""rewrite""#, "the Path of Set-Cookie, likewise";
    "cookie_domain": "word or name" = r#""keep""#,
        "the Domain of Set-Cookie: `keep`, `remove`, or what to say instead";
    "request_headers": "table" = "{}", "fields that the route edits on the way out";
    "request_headers.set": "table of templates" = "{}",
        "in place of the client's; a value that comes out empty sends none";
    "request_headers.add": "table of templates" = "{}", "beside the client's";
    "request_headers.remove": "list of names" = "[]", "fields of the client that end here";
    "response_headers": "table" = "{}", "fields that the route edits on the way back";
    "response_headers.set": "table of templates" = "{}", "in place of the upstream's";
    "response_headers.add": "table of templates" = "{}", "beside the upstream's";
    "response_headers.remove": "list of names" = "[]", "fields of the upstream that end here";
};
