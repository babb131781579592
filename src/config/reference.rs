//! The reference of the language, made from what the program knows of itself.

use std::fmt::Write as _;

use super::codes::CODES;
use super::keys::{LIMITS, LISTENER, LOG, ROUTE, SERVER, TEST, TLS};
use crate::build::{Key, Kind};
use crate::exchange::variable::{KNOWN, NAMED};
use crate::handlers::{self, UPSTREAM};
use crate::middleware;

const OPENING: &str = "\
# Reference

<!-- Made by `httpserverd reference`; BLESS=1 cargo test --test it reference writes it anew. -->

Every key of the configuration. A configuration is a TOML file, or the variable
`HTTPSERVER_CONFIG_TEXT` where there is none; `httpserverd check FILE` reports every mistake in
one, and `check --effective FILE` shows every value in effect and where it was set. What has no
default must be written.

- A *duration* is a string such as `\"10s\"`, `\"250ms\"` or `\"1m30s\"`; a *size* is `\"64KiB\"`
  or `\"10MB\"`; a *rate* is `\"100/s\"` or `\"600/m\"`, of bytes `\"1MiB/s\"`.
- A *template* is a string that may name [variables](#variables): `\"/new/{path.rest}\"`. A brace
  itself is written twice.
- An *expression* is a regular expression of the Rust regex crate: no look-around, no
  back-references, and no request can make it slow.
- A *network* is an address or a prefix: `\"192.0.2.7\"`, `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`.
- A *path* of a file is relative to the folder of the configuration file.
- `${NAME}` and `${NAME:-default}` in any string are variables of the environment. A key of
  `[server]`, `[server.limits]` and `[log]` can be set from there too, and outranks the file:
  `HTTPSERVER_SERVER__LIMITS__BODY=1MiB`.
- `include = [\"conf.d/*.toml\"]` at the top adds the tables of other files.
";

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = OPENING.to_owned();
    let own: [(&str, &str, &[Key]); 7] = [
        (
            "[server]",
            "The process, and what is around every route.",
            SERVER,
        ),
        ("[server.limits]", "What one client may take.", LIMITS),
        (
            "[log]",
            "The daemon's own log; requests are in the access log.",
            LOG,
        ),
        (
            "[[listener]]",
            "An address to listen on. There may be several.",
            LISTENER,
        ),
        (
            "[listener.tls]",
            "What a listener is encrypted with: below its `[[listener]]`, or within it as \
             `tls = { … }`.",
            TLS,
        ),
        (
            "[[route]]",
            "What answers which requests. Beside these keys it has one of the \
             [handlers](#handlers).",
            ROUTE,
        ),
        (
            "[[test]]",
            "What the configuration expects of itself, before it is served: at the start, at every \
             reload, and by `check`. One that fails is a mistake like any other. Nothing is sent \
             and no file is opened, and no middleware runs, so that what one of them would answer \
             is not seen. The client is on this machine, and its `url` tells whether it comes \
             encrypted.",
            TEST,
        ),
    ];
    for (header, summary, keys) in own {
        heading(&mut page, 2, &format!("`{header}`"), summary);
        table(&mut page, keys);
    }
    heading(
        &mut page,
        2,
        "Handlers",
        "A route has one: as a table in the route, `static = { root = \"/srv/www\" }`, or below \
         it as here.",
    );
    for kind in handlers::REGISTRY {
        let header = format!("[[route]]\npath = \"/*\"\n[route.{}]", kind.name);
        let inner = format!("[route.{}.", kind.name);
        describe(&mut page, kind, &header, &inner);
    }
    heading(
        &mut page,
        2,
        "`[upstream.NAME]`",
        &sentence(UPSTREAM.summary),
    );
    table(&mut page, UPSTREAM.keys);
    example(
        &mut page,
        UPSTREAM.example,
        "[upstream.backend]",
        "[upstream.backend.",
    );
    heading(
        &mut page,
        2,
        "Middleware",
        "`[middleware.NAME]` with a `type` defines one; `middleware` of a route or of `[server]` \
         puts it to work. A type's own name stands for that type with its defaults, where it can \
         do with them.",
    );
    for kind in middleware::REGISTRY {
        let name = format!("my_{}", kind.name);
        let header = format!("[middleware.{name}]\ntype = \"{}\"", kind.name);
        describe(&mut page, kind, &header, &format!("[middleware.{name}."));
    }
    variables(&mut page);
    codes(&mut page);
    page
}

fn describe<T>(page: &mut String, kind: &Kind<T>, header: &str, inner: &str) {
    heading(
        page,
        3,
        &format!("`{}`", kind.name),
        &sentence(kind.summary),
    );
    table(page, kind.keys);
    example(page, kind.example, header, inner);
}

fn heading(page: &mut String, level: usize, title: &str, text: &str) {
    put(
        page,
        format_args!("\n{} {title}\n\n{text}\n", "#".repeat(level)),
    );
}

fn sentence(summary: &str) -> String {
    format!("{}.", summary.trim_end_matches('.'))
}

fn table(page: &mut String, keys: &[Key]) {
    if keys.is_empty() {
        return;
    }
    page.push_str("\n| key | takes | default | |\n|---|---|---|---|\n");
    for key in keys {
        let default = match key.default {
            None => "–".to_owned(),
            Some(words) if words.starts_with('(') => words.trim_matches(['(', ')']).to_owned(),
            Some(toml) => format!("`{toml}`"),
        };
        let row = [
            format!("`{}`", key.name),
            key.takes.to_owned(),
            default,
            key.meaning.to_owned(),
        ];
        let row = row.map(|cell| cell.replace('|', "\\|"));
        put(page, format_args!("| {} |\n", row.join(" | ")));
    }
}

/// An example as it stands in a file: its own tables become tables within the one it is about.
fn example(page: &mut String, example: &str, header: &str, inner: &str) {
    let body = example
        .trim()
        .replace("\n[[", "\n\u{1}")
        .replace("\n[", &format!("\n{inner}"));
    let body = body.replace('\u{1}', &format!("[{inner}"));
    put(page, format_args!("\n```toml\n{header}\n{body}\n```\n"));
}

fn variables(page: &mut String) {
    heading(
        page,
        2,
        "Variables",
        "What a template may name. `response.…` and `upstream.…` are known once there is a \
         response: to the access log, and where a key says so.",
    );
    page.push_str("\n| variable | |\n|---|---|\n");
    for (name, _, meaning) in KNOWN {
        put(page, format_args!("| `{{{name}}}` | {meaning} |\n"));
    }
    for (start, meaning) in NAMED {
        put(page, format_args!("| `{{{start}NAME}}` | {meaning} |\n"));
    }
}

fn codes(page: &mut String) {
    heading(
        page,
        2,
        "Codes",
        "What `check` reports. `E…` is a mistake, `W…` a warning; `httpserverd check --explain \
         CODE` tells more.",
    );
    page.push_str("\n| code | |\n|---|---|\n");
    for code in CODES {
        put(page, format_args!("| {} | {} |\n", code.code, code.title));
    }
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_toml_as_they_are_shown() {
        let page = reference();
        let examples: Vec<&str> = page.split("```toml\n").skip(1).collect();
        assert!(examples.len() > handlers::REGISTRY.len() + middleware::REGISTRY.len());
        for example in examples {
            let text = example.split("```").next().unwrap_or_default();
            text.parse::<toml::Table>()
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
    }
}
