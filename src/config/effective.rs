//! A model as text: what is meant, every default filled in, and where each value was set.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use super::keys::TLS;
use super::model::{Bind, Instance, LogOutput, Model, Places, Route, Tls, Workers};
use super::provenance::{self, Provenance};
use super::sources::Sources;
use crate::build::{ByteRate, ByteSize, HumanDuration, Key};
use crate::http::Method;
use crate::routing::Test;

/// Where values were set, if that is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Origins<'o> {
    /// The places.
    pub provenance: &'o Provenance,
    /// What they are places in.
    pub sources: &'o Sources,
}

/// The model in the language of the file; with origins each line ends in a comment that says
/// where its value was set.
pub fn effective(model: &Model, origins: Option<Origins<'_>>) -> String {
    let mut page = Page {
        text: String::new(),
        origins,
    };
    page.server(model);
    page.limits(model);
    page.log(model);
    page.listeners(model);
    for upstream in &model.upstreams {
        page.instance("upstream", upstream, false);
    }
    for middleware in &model.middleware {
        page.instance("middleware", middleware, true);
    }
    for route in &model.routes {
        page.route(model, route);
    }
    for test in &model.own_tests {
        page.header("[[test]]");
        for key in ["name", "request", "expect"] {
            if let Some(value) = test.written.get(key) {
                page.placed(&test.places, key, &value.to_string());
            }
        }
    }
    page.text
}

struct Page<'o> {
    text: String,
    origins: Option<Origins<'o>>,
}

/// Where comments start: behind nearly every value.
const COMMENT_COLUMN: usize = 44;

impl Page<'_> {
    fn header(&mut self, header: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn line(&mut self, key: &str, value: &str, origin: impl Fn(Origins<'_>) -> String) {
        let line = format!("{key} = {value}");
        // Writing to a string cannot fail.
        match self.origins.map(origin).filter(|origin| !origin.is_empty()) {
            Some(origin) => writeln!(self.text, "{line:COMMENT_COLUMN$}  # {origin}"),
            None => writeln!(self.text, "{line}"),
        }
        .unwrap_or_default();
    }

    /// A value of a table there is one of.
    fn value(&mut self, table: &str, key: &str, value: &str) {
        self.line(key, value, |origins| {
            let path = format!("{table}.{key}");
            origins.provenance.of(&path, origins.sources)
        });
    }

    fn server(&mut self, model: &Model) {
        let server = &model.server;
        self.header("[server]");
        let workers = match server.workers {
            Workers::Auto => quoted("auto"),
            Workers::Number(number) => number.to_string(),
        };
        let nets = server.trusted_proxies.iter().map(ToString::to_string);
        let names = model.middleware_names(&server.middleware);
        let header = server.server_header.as_deref();
        for (key, value) in [
            ("workers", workers),
            ("blocking_threads", number(server.blocking_threads)),
            ("blocking_queue", number(server.blocking_queue)),
            ("drain_timeout", duration(server.drain_timeout)),
            ("drain_delay", duration(server.drain_delay)),
            ("watch", server.watch.to_string()),
            ("trusted_proxies", array(nets)),
            ("middleware", array(names)),
            (
                "server_header",
                header.map_or_else(|| "false".to_owned(), quoted),
            ),
        ] {
            self.value("server", key, &value);
        }
        if let Some(path) = &server.control_socket {
            self.value("server", "control_socket", &quoted(&path.to_string_lossy()));
        }
    }

    fn limits(&mut self, model: &Model) {
        let limits = &model.server.limits;
        self.header("[server.limits]");
        let window = |bytes: u32| quoted(&ByteSize(bytes.into()).to_string());
        let bytes = |bytes: usize| quoted(&ByteSize(bytes as u64).to_string());
        for (key, value) in [
            ("header_timeout", duration(limits.header_timeout)),
            ("keep_alive_timeout", duration(limits.keep_alive_timeout)),
            ("body_idle_timeout", duration(limits.body_idle_timeout)),
            (
                "body_min_rate",
                quoted(&ByteRate(limits.body_min_rate).to_string()),
            ),
            ("body_rate_grace", duration(limits.body_rate_grace)),
            ("write_idle_timeout", duration(limits.write_idle_timeout)),
            ("request_line", bytes(limits.request_line)),
            ("headers", bytes(limits.headers)),
            ("header_count", limits.header_count.to_string()),
            ("body", quoted(&ByteSize(limits.body).to_string())),
            ("connections", limits.connections.to_string()),
            (
                "requests_per_connection",
                limits.requests_per_connection.to_string(),
            ),
            ("http2_streams", limits.http2_streams.to_string()),
            ("http2_stream_window", window(limits.http2_stream_window)),
            (
                "http2_connection_window",
                window(limits.http2_connection_window),
            ),
        ] {
            self.value("server.limits", key, &value);
        }
    }

    fn log(&mut self, model: &Model) {
        self.header("[log]");
        self.value("log", "level", &quoted(model.log.level.as_str()));
        self.value("log", "format", &quoted(model.log.format.as_str()));
        match &model.log.output {
            LogOutput::Stderr => self.value("log", "output", &quoted("stderr")),
            LogOutput::Stdout => self.value("log", "output", &quoted("stdout")),
            LogOutput::File { path, rotation } => {
                self.value("log", "output", &quoted(&path.to_string_lossy()));
                self.value("log", "rotation", &rotation.to_string());
            }
        }
    }

    fn listeners(&mut self, model: &Model) {
        for listener in &model.listeners {
            let places = &listener.places;
            self.header("[[listener]]");
            self.placed(places, "name", &quoted(&listener.name));
            self.placed(places, "bind", &quoted(&listener.bind.to_string()));
            if let Bind::Unix { mode, owner, .. } = &listener.bind {
                self.placed(places, "mode", &format!("\"{mode:04o}\""));
                if let Some(owner) = owner {
                    self.placed(places, "owner", &quoted(owner));
                }
            }
            if let Some(announced) = &listener.proxy_protocol {
                let from = announced.from.iter().map(ToString::to_string);
                let unix = announced.unix.then(|| "unix".to_owned());
                let from = array(from.chain(unix));
                let required = announced.required;
                let timeout = announced
                    .timeout
                    .unwrap_or(model.server.limits.header_timeout);
                let timeout = duration(timeout);
                let table =
                    format!("{{ from = {from}, timeout = {timeout}, required = {required} }}");
                self.placed(places, "proxy_protocol", &table);
            }
            let protocols = listener.protocols.names().map(str::to_owned);
            self.placed(places, "protocols", &array(protocols));
            match &listener.tls {
                None => {}
                Some(Tls::SelfSigned) => self.placed(places, "tls", &quoted("self_signed")),
                Some(Tls::Files(files)) => {
                    let written = files.written.iter();
                    let written =
                        written.map(|(key, value)| (key.clone(), without_secrets(TLS, key, value)));
                    let value = toml::Value::Table(written.collect());
                    self.placed(places, "tls", &value.to_string());
                }
            }
        }
    }

    fn instance<T>(&mut self, table: &str, instance: &Instance<T>, with_type: bool) {
        self.header(&format!("[{table}.{}]", instance.name));
        if with_type {
            let place = instance.place.0.clone();
            self.line("type", &quoted(instance.kind.name), |origins| {
                if place == crate::build::Span::default() {
                    return "default".to_owned();
                }
                provenance::place(&place, origins.sources)
            });
        }
        for (key, value) in &instance.written {
            let value = without_secrets(instance.kind.keys, key, value);
            self.placed(&instance.places, key, &value.to_string());
        }
    }

    fn route(&mut self, model: &Model, route: &Route) {
        self.header("[[route]]");
        let places = &route.places;
        self.placed(places, "name", &quoted(&route.name));
        let listeners = array(model.listener_names(&route.listeners));
        self.placed(places, "listener", &listeners);
        if !route.hosts.is_empty() {
            let hosts = route.hosts.iter().map(ToString::to_string);
            self.placed(places, "host", &array(hosts));
        }
        let key = if route.path.is_regex() {
            "path_regex"
        } else {
            "path"
        };
        self.placed(places, key, &quoted(route.path.as_str()));
        if !route.methods.is_empty() {
            self.placed(
                places,
                "methods",
                &array(route.methods.iter().map(Method::as_str)),
            );
        }
        let headers = route.headers.iter();
        let headers = headers.map(|field| (field.name.as_str(), &field.test));
        self.tests(places, "headers", headers.collect());
        let query = route.query.iter();
        let query = query.map(|parameter| (&*parameter.name, &parameter.test));
        self.tests(places, "query", query.collect());
        if route.priority != 0 {
            self.placed(places, "priority", &route.priority.to_string());
        }
        let middleware = array(model.middleware_names(&route.middleware));
        self.placed(places, "middleware", &middleware);
        let handler = &route.handler;
        let value = toml::Value::Table(handler.written.clone()).to_string();
        self.placed(places, handler.kind.name, &value);
    }

    fn tests(&mut self, places: &Places, key: &str, tests: Vec<(&str, &Test)>) {
        if tests.is_empty() {
            return;
        }
        let tests: Vec<String> = tests
            .into_iter()
            .map(|(name, test)| {
                let value = match test {
                    Test::Present => "true".to_owned(),
                    Test::Exact(value) => quoted(&String::from_utf8_lossy(value)),
                    Test::Regex(regex) => format!("{{ regex = {} }}", quoted(regex.as_str())),
                };
                format!("{} = {value}", quoted(name))
            })
            .collect();
        self.placed(places, key, &format!("{{ {} }}", tests.join(", ")));
    }

    /// A value whose place, if it was written, is known by its key.
    fn placed(&mut self, places: &Places, key: &str, value: &str) {
        let place = places.of(key);
        self.line(key, value, |origins| match place {
            Some(span) => provenance::place(span, origins.sources),
            None => "default".to_owned(),
        });
    }
}

/// A value in which every string of a key that takes a secret is hidden.
fn without_secrets(keys: &[Key], name: &str, value: &toml::Value) -> toml::Value {
    let secret = keys.iter().any(|key| key.name == name && key.is_secret());
    match value {
        toml::Value::String(_) if secret => "(secret)".into(),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| without_secrets(keys, name, item))
            .collect::<Vec<_>>()
            .into(),
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, value)| {
                let inner = format!("{name}.{key}");
                // Where the file chooses the names, what holds for the table holds for each.
                let named = if secret { name } else { &inner };
                (key.clone(), without_secrets(keys, named, value))
            })
            .collect::<toml::Table>()
            .into(),
        value => value.clone(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn number(number: NonZeroU16) -> String {
    number.to_string()
}

fn duration(duration: std::time::Duration) -> String {
    quoted(&HumanDuration(duration).to_string())
}

fn array(items: impl Iterator<Item = impl Into<String>>) -> String {
    let items = items.map(|item| toml::Value::String(item.into()));
    toml::Value::Array(items.collect()).to_string()
}
