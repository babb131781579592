//! What may be written: the tables of a configuration file, shaped like the file.
//!
//! Nothing has a default here, and no name is looked up: what was not written is `None`.

use std::fmt;
use std::num::NonZeroU16;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;
use toml::de::DeValue;

use crate::build::wording::{kind_in_words, unknown_key};
use crate::build::{ByteRate, ByteSize, HumanDuration, Network, Problem, Section, Span};
use crate::http::Method;

/// All tables of all files of a configuration, taken apart by what they are.
#[derive(Debug, Default)]
pub(super) struct File<'t> {
    /// `[server]`, `[server.limits]` and `[log]`, the weakest first.
    pub(super) tables: Vec<(Table, Section<'t>)>,
    /// `[[listener]]`
    pub(super) listeners: Vec<Section<'t>>,
    /// `[upstream.NAME]`
    pub(super) upstreams: Vec<Named<'t>>,
    /// `[middleware.NAME]`
    pub(super) middleware: Vec<Named<'t>>,
    /// `[[route]]`
    pub(super) routes: Vec<Section<'t>>,
}

/// A table that has a name in its header.
#[derive(Debug)]
pub(super) struct Named<'t> {
    pub(super) name: String,
    /// Where the name stands.
    pub(super) at: Span,
    pub(super) section: Section<'t>,
}

/// A table there is one of, that may be set from outside the file too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Server,
    Limits,
    Log,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Server, Self::Limits, Self::Log];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Limits => "server.limits",
            Self::Log => "log",
        }
    }

    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Server => "[server]",
            Self::Limits => "[server.limits]",
            Self::Log => "[log]",
        }
    }

    /// What may stand in it.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Server => &[
                "workers",
                "blocking_threads",
                "blocking_queue",
                "drain_timeout",
                "trusted_proxies",
                "middleware",
                "server_header",
            ],
            Self::Limits => &[
                "header_timeout",
                "keep_alive_timeout",
                "body_idle_timeout",
                "body_min_rate",
                "write_idle_timeout",
                "request_line",
                "headers",
                "header_count",
                "body",
                "connections",
                "requests_per_connection",
            ],
            Self::Log => &["level", "format", "output", "rotation"],
        }
    }
}

/// The keys of a file, outside of any table.
const TOP: [&str; 6] = [
    "include",
    "server",
    "log",
    "listener",
    "upstream",
    "middleware",
];

impl<'t> File<'t> {
    /// Takes the tables of one file apart.
    pub(super) fn add(
        &mut self,
        file: usize,
        table: Spanned<DeValue<'t>>,
        problems: &mut Vec<Problem>,
    ) {
        let mut top = Section::new(file, "the file", table);
        let keys: Vec<(String, std::ops::Range<usize>)> = top
            .entries()
            .into_iter()
            .map(|(key, range, _)| (key.to_owned(), range))
            .collect();
        for (key, range) in keys {
            let at = Span { file, range };
            let Some((_, value)) = top.take(&key) else {
                continue;
            };
            match key.as_str() {
                // Read before anything else was.
                "include" => {}
                "server" => self.server(file, value, problems),
                "log" => {
                    let section = table_section(file, Table::Log.header(), value, problems);
                    self.tables.extend(section.map(|log| (Table::Log, log)));
                }
                "listener" => list(file, "[[listener]]", value, &mut self.listeners, problems),
                "route" => list(file, "[[route]]", value, &mut self.routes, problems),
                "upstream" => named(file, "upstream", value, &mut self.upstreams, problems),
                "middleware" => named(file, "middleware", value, &mut self.middleware, problems),
                "test" => problems.push(not_yet(at, "[[test]]")),
                _ => {
                    let mut known = TOP.to_vec();
                    known.push("route");
                    let misplaced = misplaced(&key);
                    let problem = unknown_key(at, &key, "the file", &known);
                    problems.push(match misplaced {
                        Some(hint) => problem.hint(hint),
                        None => problem,
                    });
                }
            }
        }
    }

    fn server(&mut self, file: usize, value: Spanned<DeValue<'t>>, problems: &mut Vec<Problem>) {
        let section = table_section(file, Table::Server.header(), value, problems);
        let Some(mut server) = section else { return };
        if let Some((_, limits)) = server.take("limits") {
            let section = table_section(file, Table::Limits.header(), limits, problems);
            self.tables
                .extend(section.map(|limits| (Table::Limits, limits)));
        }
        self.tables.push((Table::Server, server));
    }
}

/// Where a key belongs that stands outside of its table.
fn misplaced(key: &str) -> Option<String> {
    if let Some(table) = Table::ALL.iter().find(|table| table.keys().contains(&key)) {
        return Some(format!("`{key}` belongs into {}", table.header()));
    }
    match key {
        "limits" => Some("it is called [server.limits]".to_owned()),
        "listeners" | "bind" => Some("a listener is written [[listener]]".to_owned()),
        "routes" | "path" | "host" => Some("a route is written [[route]]".to_owned()),
        "upstreams" => Some("an upstream is written [upstream.NAME]".to_owned()),
        _ => None,
    }
}

/// What the language will have, and this version does not.
pub(super) fn not_yet(at: Span, what: &str) -> Problem {
    Problem::error("E0303", at, format!("{what} is not supported yet"))
        .label("not supported yet")
        .hint("take it out; this version cannot do it, and will not pretend to")
}

fn table_section<'t>(
    file: usize,
    name: &'static str,
    value: Spanned<DeValue<'t>>,
    problems: &mut Vec<Problem>,
) -> Option<Section<'t>> {
    if value.get_ref().is_table() {
        return Some(Section::new(file, name, value));
    }
    problems.push(not_a_table(file, name, &value));
    None
}

fn not_a_table(file: usize, name: &str, value: &Spanned<DeValue<'_>>) -> Problem {
    let range = value.span();
    let found = kind_in_words(value.get_ref());
    Problem::error(
        "E0001",
        Span { file, range },
        format!("{name} must be a table, found {found}"),
    )
    .label("must be a table")
}

/// The tables of `[[name]]`.
fn list<'t>(
    file: usize,
    name: &'static str,
    value: Spanned<DeValue<'t>>,
    into: &mut Vec<Section<'t>>,
    problems: &mut Vec<Problem>,
) {
    let range = value.span();
    match value.into_inner() {
        DeValue::Array(items) => {
            for item in items {
                into.extend(table_section(file, name, item, problems));
            }
        }
        other => {
            let found = kind_in_words(&other);
            let message = format!("{name} must be an array of tables, found {found}");
            problems.push(
                Problem::error("E0001", Span { file, range }, message).hint(format!(
                    "there may be several: write {name}, in double brackets"
                )),
            );
        }
    }
}

/// The tables of `[kind.NAME]`.
fn named<'t>(
    file: usize,
    kind: &'static str,
    value: Spanned<DeValue<'t>>,
    into: &mut Vec<Named<'t>>,
    problems: &mut Vec<Problem>,
) {
    let range = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        let message = format!("`{kind}` must hold tables with a name each");
        problems.push(
            Problem::error("E0001", Span { file, range }, message)
                .hint(format!("write [{kind}.NAME], and give it a name")),
        );
        return;
    };
    let mut tables: Vec<_> = table.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in tables {
        let at = Span {
            file,
            range: name.span(),
        };
        let name = name.into_inner().into_owned();
        let header = format!("[{kind}.{name}]");
        if value.get_ref().is_table() {
            into.push(Named {
                name,
                at,
                section: Section::new(file, header, value),
            });
        } else {
            let problem = not_a_table(file, &format!("`{name}` in [{kind}]"), &value);
            problems.push(problem.hint(format!("write [{kind}.NAME], and give it a name")));
        }
    }
}

/// `[server]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the file calls it server_header, as the field is called"
)]
pub(super) struct Server {
    pub(super) workers: Option<Spanned<Workers>>,
    pub(super) blocking_threads: Option<Spanned<NonZeroU16>>,
    pub(super) blocking_queue: Option<Spanned<NonZeroU16>>,
    pub(super) drain_timeout: Option<Spanned<HumanDuration>>,
    pub(super) trusted_proxies: Option<Spanned<Vec<Network>>>,
    pub(super) middleware: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) server_header: Option<Spanned<ServerHeader>>,
}

/// `[server.limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) header_timeout: Option<Spanned<HumanDuration>>,
    pub(super) keep_alive_timeout: Option<Spanned<HumanDuration>>,
    pub(super) body_idle_timeout: Option<Spanned<HumanDuration>>,
    pub(super) body_min_rate: Option<Spanned<ByteRate>>,
    pub(super) write_idle_timeout: Option<Spanned<HumanDuration>>,
    pub(super) request_line: Option<Spanned<ByteSize>>,
    pub(super) headers: Option<Spanned<ByteSize>>,
    pub(super) header_count: Option<Spanned<u32>>,
    pub(super) body: Option<Spanned<ByteSize>>,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) requests_per_connection: Option<Spanned<u32>>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Spanned<String>>,
    pub(super) format: Option<Spanned<String>>,
    pub(super) output: Option<Spanned<String>>,
    pub(super) rotation: Option<Spanned<String>>,
}

/// `[[listener]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Option<Spanned<String>>,
    pub(super) bind: Spanned<String>,
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) owner: Option<Spanned<String>>,
}

/// `[[route]]`, without its handler.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    pub(super) name: Option<Spanned<String>>,
    pub(super) listener: Vec<Spanned<String>>,
    pub(super) host: Vec<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) path_regex: Option<Spanned<String>>,
    pub(super) methods: Vec<Spanned<Method>>,
    pub(super) priority: Option<i32>,
    pub(super) middleware: Vec<Spanned<String>>,
}

/// `{ regex = "…" }` of a header or a parameter of the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) regex: Spanned<String>,
}

/// How many workers: `"auto"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// As many as this process may use cores.
    Auto,
    /// So many.
    Number(NonZeroU16),
}

/// What the `Server` field says; `None` for no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerHeader(pub(super) Option<String>);

/// Permission bits: `"0660"`. No number: 440 would pass and mean 0670.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a whole number, 1 or more")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Workers, E> {
                match text {
                    "auto" => Ok(Workers::Auto),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Workers, E> {
                let number = u16::try_from(number).ok().and_then(NonZeroU16::new);
                number.map(Workers::Number).ok_or_else(|| {
                    E::custom("there must be 1 to 65535 workers\nwrite \"auto\" for one a core")
                })
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for ServerHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = ServerHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ServerHeader, E> {
                let visible = |byte: u8| matches!(byte, b' '..=b'~');
                if text.trim().is_empty() || !text.bytes().all(visible) {
                    return Err(E::custom(
                        "a header holds visible ASCII and cannot be empty\n\
                         write false for no such header",
                    ));
                }
                Ok(ServerHeader(Some(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<ServerHeader, E> {
                if truth {
                    return Err(E::custom(
                        "true says nothing\nwrite what the header shall say",
                    ));
                }
                Ok(ServerHeader(None))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        const FORM: &str = "permission bits are \"0000\" to \"0777\"\nwrite it like \"0660\"";

        impl Visitor<'_> for Read {
            type Value = Mode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("permission bits such as \"0660\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Mode, E> {
                let mode = u32::from_str_radix(text, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
                mode.map(Mode).ok_or_else(|| E::custom(FORM))
            }
        }
        deserializer.deserialize_str(Read)
    }
}
