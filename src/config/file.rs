//! The tables of a file, taken apart by what they are. What may stand in each is in `written`.

use toml::Spanned;
use toml::de::DeValue;

use super::keys;
use crate::build::wording::{kind_in_words, unknown_key};
use crate::build::{Key, Problem, Section, Span};

/// All tables of all files of a configuration, taken apart by what they are.
#[derive(Debug, Default)]
pub(super) struct File<'t> {
    /// `[server]`, `[server.limits]` and `[log]`, the weakest first.
    pub(super) tables: Vec<(Table, Section<'t>)>,
    /// Whether any file has the key, rightly written or not.
    pub(super) names_listeners: bool,
    /// The same for routes.
    pub(super) names_routes: bool,
    /// `[[listener]]`
    pub(super) listeners: Vec<Section<'t>>,
    /// `[upstream.NAME]`
    pub(super) upstreams: Vec<Named<'t>>,
    /// `[middleware.NAME]`
    pub(super) middleware: Vec<Named<'t>>,
    /// `[[route]]`
    pub(super) routes: Vec<Section<'t>>,
    /// `[[test]]`
    pub(super) tests: Vec<Section<'t>>,
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
    pub(super) const fn keys(self) -> &'static [Key] {
        match self {
            Self::Server => keys::SERVER,
            Self::Limits => keys::LIMITS,
            Self::Log => keys::LOG,
        }
    }

    /// Whether this key may stand in it.
    pub(super) fn has_key(self, name: &str) -> bool {
        self.keys().iter().any(|key| key.name == name)
    }
}

/// The keys of a file, outside of any table.
const TOP: [&str; 8] = [
    "include",
    "server",
    "log",
    "listener",
    "upstream",
    "middleware",
    "route",
    "test",
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
                    self.table(file, Table::Log, value, problems);
                }
                "listener" => {
                    self.names_listeners = true;
                    list(file, "[[listener]]", value, &mut self.listeners, problems);
                }
                "route" => {
                    self.names_routes = true;
                    list(file, "[[route]]", value, &mut self.routes, problems);
                }
                "upstream" => named(file, "upstream", value, &mut self.upstreams, problems),
                "middleware" => named(file, "middleware", value, &mut self.middleware, problems),
                "test" => list(file, "[[test]]", value, &mut self.tests, problems),
                _ => {
                    let problem = unknown_key(at, &key, "the file", &TOP);
                    problems.push(match misplaced(&key) {
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
            self.table(file, Table::Limits, limits, problems);
        }
        take_misplaced(&mut server, Table::Server, problems);
        self.tables.push((Table::Server, server));
    }

    fn table(
        &mut self,
        file: usize,
        table: Table,
        value: Spanned<DeValue<'t>>,
        problems: &mut Vec<Problem>,
    ) {
        let section = table_section(file, table.header(), value, problems);
        let Some(mut section) = section else { return };
        take_misplaced(&mut section, table, problems);
        self.tables.push((table, section));
    }
}

/// Takes out the keys of other tables, and says where they belong.
fn take_misplaced(section: &mut Section<'_>, table: Table, problems: &mut Vec<Problem>) {
    let strangers: Vec<_> = section
        .entries()
        .into_iter()
        .filter(|(key, ..)| !table.has_key(key))
        .filter_map(|(key, range, _)| Some((key.to_owned(), range, misplaced(key)?)))
        .collect();
    for (key, range, hint) in strangers {
        section.take(&key);
        let at = section.at(range);
        problems.push(unknown_key(at, &key, table.header(), &[]).hint(hint));
    }
}

/// Where a key belongs that stands outside of its table.
fn misplaced(key: &str) -> Option<String> {
    if let Some(table) = Table::ALL.iter().find(|table| table.has_key(key)) {
        return Some(format!("`{key}` belongs in {}", table.header()));
    }
    match key {
        "limits" => Some("it is called [server.limits]".to_owned()),
        "listeners" | "bind" => Some("a listener is written [[listener]]".to_owned()),
        "routes" | "path" | "host" => Some("a route is written [[route]]".to_owned()),
        "upstreams" => Some("an upstream is written [upstream.NAME]".to_owned()),
        _ => None,
    }
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
