//! What other servers call what is called otherwise here: the words of nginx, Apache, `HAProxy`,
//! Caddy and Traefik that newcomers try first.

/// Where it is written here what a key of this name says elsewhere.
pub(super) fn here(key: &str) -> Option<&'static str> {
    Some(match key.to_ascii_lowercase().as_str() {
        "listen" | "port" | "frontend" | "entrypoints" => {
            "an address is listened on by a [[listener]]: bind = \"0.0.0.0:8080\""
        }
        "server_name" | "hostname" | "virtual_host" | "vhost" => {
            "which hosts a route answers is its key `host`"
        }
        "location" | "match" | "rule" | "routers" => {
            "what a route answers is said by `host`, `path`, `methods`, `headers` and `query`"
        }
        "root" | "alias" | "document_root" | "file_server" => {
            "files are served by a [[route]]: static = { root = \"/srv/www\" }"
        }
        "autoindex" | "browse" => "folders are listed by `listing` of `static`",
        "try_files" => "it is called `try`, in `static`",
        "expires" => "it is called `cache_control`, in `static`",
        "proxy_pass" | "reverse_proxy" | "backend" | "services" | "loadbalancer" => {
            "a route asks other servers by proxy = { upstream = \"NAME\" }, and \
             [upstream.NAME] lists them: servers = [\"127.0.0.1:9000\"]"
        }
        "proxy_set_header" | "header_up" => "it is called `request_headers`, in `proxy`",
        "proxy_read_timeout" => "it is called `first_byte_timeout`, in [upstream.NAME]",
        "proxy_connect_timeout" => "it is called `connect_timeout`, in [upstream.NAME]",
        "return" => "a route answers by itself with respond = { status = 204 } or redirect",
        "redir" => "a route sends elsewhere with redirect = { to = \"/new/{path.rest}\" }",
        "client_max_body_size" | "max_body_size" | "request_body" => {
            "it is `body` of [server.limits]; of some routes, the middleware `body_limit`"
        }
        "client_header_timeout" => "it is `header_timeout` of [server.limits]",
        "client_body_timeout" => "it is `body_idle_timeout` of [server.limits]",
        "keepalive_timeout" => "of clients it is `keep_alive_timeout` of [server.limits]",
        "send_timeout" => "it is `write_idle_timeout` of [server.limits]",
        "keepalive_requests" => "it is `requests_per_connection` of [server.limits]",
        "worker_connections" | "maxconn" => "it is `connections` of [server.limits]",
        "worker_processes" | "threads" | "nbthread" => "it is `workers` of [server]",
        "server_tokens" => "it is `server_header` of [server]: a text, or false",
        "error_log" => "the daemon's log is [log]: output = \"/var/log/httpserverd.log\"",
        "access_log" | "customlog" => {
            "the access log is a middleware: [middleware.NAME] with type = \"access_log\""
        }
        "gzip" | "brotli" | "encode" | "compress" => "write middleware = [\"compression\"]",
        "add_header" | "header" => {
            "headers are edited by a middleware: [middleware.NAME] with type = \"headers\""
        }
        "auth_basic" | "basicauth" => {
            "passwords are asked for by a middleware: [middleware.NAME] with type = \"basic_auth\""
        }
        "allow" | "deny" => {
            "addresses are let in by a middleware: [middleware.NAME] with type = \"ip_filter\""
        }
        "limit_req" | "ratelimit" => {
            "requests are limited by a middleware: [middleware.NAME] with type = \"rate_limit\""
        }
        "limit_conn" => "it is a middleware: [middleware.NAME] with type = \"concurrency_limit\"",
        "error_page" | "handle_errors" => {
            "pages of errors are a middleware: [middleware.NAME] with type = \"error_pages\""
        }
        "middlewares" => "it is called `middleware`",
        "ssl" | "tls" | "https" | "ssl_certificate" | "ssl_certificate_key" => {
            "certificates stand in `tls` of a [[listener]]: \
             { certificates = [{ cert = \"…\", key = \"…\" }] }"
        }
        "ssl_protocols" => "it is `min_version` of `tls`, of a [[listener]]",
        "user" | "group" => "who to be is an argument: httpserverd --user USER:GROUP",
        "pid" | "pidfile" | "pid_file" => "it is an argument: httpserverd --pid-file FILE",
        "daemon" => "it is an argument: httpserverd --daemon",
        _ => return None,
    })
}
