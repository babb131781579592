//! What the reference says of the keys of the configuration's own tables. Those of a kind stand
//! beside its settings.

use crate::build::{Key, keys};

/// `[server]`
pub(super) const SERVER: &[Key] = keys! {
    "workers": "number" = r#""auto""#, "threads that serve; `auto` is one a core";
    "blocking_threads": "number" = "16",
        "the most threads for what waits for the disk; started when needed";
    "blocking_queue": "number" = "1024", "how much may wait for those threads; then 503";
    "drain_timeout": "duration" = r#""30s""#, "how long open requests may take after SIGTERM";
    "drain_delay": "duration" = r#""0s""#,
        "how long everything is served after SIGTERM while readiness already says 503";
    "watch": "true or false" = "true", "whether a change of the files is a reload";
    "control_socket": "path" = "(in the folder that systemd gives, if it does)",
        "where `httpserverd reload` and its kin reach the daemon";
    "trusted_proxies": "list of networks" = "[]",
        "whose X-Forwarded-For, X-Forwarded-Proto and Forwarded are believed";
    "middleware": "list of names" = r#"["request_id", "access_log"]"#,
        "around every route and every error, outermost first";
    "server_header": "string or false" = r#""httpserverd""#, "the `Server` of every response";
};

/// `[server.limits]`
pub(super) const LIMITS: &[Key] = keys! {
    "header_timeout": "duration" = r#""10s""#,
        "for a whole request head, from its first byte; then 408";
    "keep_alive_timeout": "duration" = r#""60s""#, "between two requests of a connection";
    "body_idle_timeout": "duration" = r#""30s""#, "between two bytes of a request body; then 408";
    "body_min_rate": "rate of bytes" = r#""500B/s""#,
        "a request body that is slower, once its grace is over, ends with 408";
    "body_rate_grace": "duration" = r#""30s""#,
        "how long the client is waited for, in all, before the rate counts";
    "write_idle_timeout": "duration" = r#""60s""#,
        "a client that takes nothing for so long is gone";
    "request_line": "size" = r#""8KiB""#, "a longer request line is 414";
    "headers": "size" = r#""32KiB""#, "more bytes of headers are 431";
    "header_count": "number" = "100", "more headers are 431";
    "body": "size" = r#""10MiB""#, "a larger request body is 413";
    "connections": "number" = "10000", "that a worker holds open; more are told 503";
    "requests_per_connection": "number" = "0", "then it is closed; 0 is any number";
    "http2_streams": "number" = "128", "requests of an HTTP/2 connection at the same time";
    "http2_stream_window": "size" = r#""256KiB""#,
        "what an HTTP/2 client may send of one request before it is read";
    "http2_connection_window": "size" = r#""1MiB""#,
        "the same for all requests of a connection together";
};

/// `[log]`
pub(super) const LOG: &[Key] = keys! {
    "level": "word" = r#""info""#, "`error`, `warn`, `info`, `debug` or `trace`";
    "format": "word" = r#""text""#, "`text` or `json`";
    "output": "word or path" = r#""stderr""#, "`stderr`, `stdout`, or a file to append to";
    "rotation": "word or table" = r#""never""#,
        "of a file: `daily`, `hourly`, `never`, `{ when = \"daily\", keep = 14 }` or \
         `{ size = \"100MB\", keep = 7 }`";
};

/// `[[listener]]`
pub(super) const LISTENER: &[Key] = keys! {
    "name": "string" = "(the address)", "how routes and logs call it";
    "bind": "address",
        "`0.0.0.0:8080`, `[::]:8080` (port 0 for any that is free), `unix:/run/x`, `systemd:NAME`";
    "mode": "string" = r#""0666""#, "permission bits of a unix socket";
    "owner": "string" = "(who runs the daemon)", "`user:group` of a unix socket";
    "proxy_protocol": "table" = "(none)",
        "whose PROXY headers (version 1 and 2) tell who the client is";
    "proxy_protocol.from": "list of networks",
        "who must send one, and is believed; `unix`: whoever connects to a unix socket";
    "proxy_protocol.timeout": "duration" = "(`limits.header_timeout`)",
        "how long the header is waited for; then the connection is closed";
    "proxy_protocol.required": "true or false" = "true",
        "false: those of `from` are also served without a header, as themselves";
    "protocols": "list of words" = r#"["h2", "http/1.1"]"#,
        "what is spoken, by agreement where it is encrypted; in the clear whoever begins with \
         HTTP/2 speaks that";
    "tls": "table or word" = "(nothing)",
        "what it is encrypted with; `self_signed` makes a certificate in memory, for development";
};

/// `tls` of a `[[listener]]`
pub(super) const TLS: &[Key] = keys! {
    "certificates": "list of tables" = "(needed)",
        "served by the name that a client asks for; the first to whoever asks for no other's";
    "certificates.cert": "path",
        "PEM: the certificate, behind it those that lead to its authority; watched";
    "certificates.key": "path", "PEM: its key, RSA, ECDSA or Ed25519; watched";
    "certificates.ocsp": "path" = "(none)",
        "DER: what its authority says of its being revoked, stapled to it; watched";
    "acme": "table" = "(none)",
        "one that an authority issues and renews by itself (ACME), after those of files";
    "acme.domains": "list of hosts", "for which names; the first stands for it in files and logs";
    "acme.accept_terms": "true or false",
        "true: you have read the terms of the authority, and agree";
    "acme.directory": "word or URL" = r#""letsencrypt""#,
        "which authority: `letsencrypt`, `letsencrypt_staging`, `zerossl`, `google` or an \
         `https://` URL";
    "acme.challenge": "word" = r#""tls-alpn-01""#,
        "how the names are proved: `tls-alpn-01` on port 443, `http-01` on port 80";
    "acme.contact": "address or list" = "[]", "mail that the authority may write to";
    "acme.profile": "string" = "(its usual one)",
        "which of the authority's kinds of certificates: `shortlived` with Let's Encrypt";
    "acme.store": "path" = r#""/var/lib/httpserverd/acme""#,
        "the folder for accounts, keys and certificates; nobody else may read it";
    "acme.ca": "path" = "(whom the system believes)",
        "PEM: who vouches for the authority's own HTTPS; watched";
    "acme.eab": "table" = "(none)",
        "an account that the authority gave you by another way (external account binding)";
    "acme.eab.kid": "string", "what the authority calls its key";
    "acme.eab.hmac_key": "secret", "the key in base64url";
    "min_version": "word" = r#""1.2""#, "`1.2` or `1.3`";
    "ciphers": "list of names" = "(all that are good)",
        "cipher suites as IANA calls them, the most wanted first";
    "key_exchange": "list of names" = "(X25519MLKEM768, X25519, secp256r1, secp384r1)",
        "groups, the most wanted first";
    "client_auth": "table" = "(anybody)", "whose certificates clients must show";
    "client_auth.ca": "path", "PEM: the authorities that issue them; watched";
    "client_auth.mode": "word" = r#""require""#,
        "`require`, or `request`: who shows none is let in, who shows a bad one is not";
    "client_auth.crl": "path" = "(none)", "PEM: which of them are revoked; watched";
    "session_tickets": "true or false" = "true",
        "whether clients may resume; keys change every six hours and are kept across reloads";
    "early_data": "true or false" = "false",
        "whether who resumes may ask at once (0-RTT): safe methods, marked `Early-Data: 1`";
    "handshake_timeout": "duration" = r#""10s""#, "how long a client may take to agree";
};

/// `[[route]]`, beside its handler.
pub(super) const ROUTE: &[Key] = keys! {
    "name": "string" = "(host and path)", "how logs and metrics call it";
    "listener": "name or list" = "(every listener)", "which listeners it serves";
    "host": "host or list" = "(every host)", "`example.com`, `*.example.com`, or an address";
    "path": "pattern",
        "`/about`, `/users/:id`, `/files/*path`; `/api/*` answers `/api` and all below";
    "path_regex": "expression" = "(none)",
        "instead of `path`; named groups are captured like `:id`";
    "methods": "method or list" = "(every method)", "HEAD comes with GET";
    "headers": "table of tests" = "{}",
        "what the request's headers must be: a value, true for any, or { regex = \"…\" }";
    "query": "table of tests" = "{}", "what the parameters of the query must be";
    "priority": "number" = "0", "the higher answers first, before the better pattern";
    "middleware": "name or list" = "[]",
        "around its handler, outermost first; a type's own name stands for its defaults";
};

/// `[[test]]`
pub(super) const TEST: &[Key] = keys! {
    "name": "string" = "(what it asks for)", "how messages call it";
    "request": "table", "what is asked for";
    "request.method": "method" = r#""GET""#, "the method";
    "request.url": "URL" = "(host and path)", "`https://example.com/path?query`";
    "request.host": "string" = "(none)", "the host, in place of `url`";
    "request.path": "string" = "(of `url`)", "path and query, in place of `url`";
    "request.headers": "table of strings" = "{}", "its headers";
    "request.listener": "name" = "(the first that is encrypted as `url` is, or else the first)",
        "which listener is asked";
    "expect": "table", "what answers; one key at least";
    "expect.route": "name or false" = "(any)", "the route; false if none answers: 404 or 405";
    "expect.status": "status" = "(any)",
        "the status; known of `respond`, `redirect`, and where no route answers";
    "expect.location": "string" = "(any)", "`Location`; known as the status is";
    "expect.headers": "table of strings" = "{}",
        "a value of each of these headers; known as the status is";
};

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::build::key::wrong;
    use crate::build::{ParseContext, Section};
    use crate::config::resolve::tls;
    use crate::config::written;

    fn check<S: DeserializeOwned>(table: &str, keys: &[Key]) {
        let section = Section::from_text("").unwrap();
        let mut cx = ParseContext::default();
        drop(cx.settings::<S>(&section));
        let wrong = wrong(table, keys, &cx.fields);
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    #[test]
    fn the_reference_knows_every_key() {
        check::<written::Server>("SERVER", SERVER);
        check::<written::Limits>("LIMITS", LIMITS);
        check::<written::Log>("LOG", LOG);
        check::<written::Listener>("LISTENER", LISTENER);
        check::<tls::Written>("TLS", TLS);
        check::<written::Route>("ROUTE", ROUTE);
        check::<written::OwnTest>("TEST", TEST);
    }
}
