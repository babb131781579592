//! `[[route]]`: what answers which requests.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Resolver;
use super::instances::{Links, defined_twice, places};
use super::listeners::Listeners;
use crate::build::context::nearest;
use crate::build::wording::{kind_in_words, list};
use crate::build::{Kind, Problem, Section, Span};
use crate::config::file::File;
use crate::config::model::{Instance, Place, Route};
use crate::config::written;
use crate::handlers::{Handler, REGISTRY};
use crate::routing::{HostPattern, PathPattern, PatternError};

/// Keys whose value may be one string instead of an array of them.
const LISTS: [&str; 4] = ["listener", "host", "methods", "middleware"];

/// What routes refer to.
struct Known<'k> {
    listeners: &'k Listeners,
    /// The middleware around every route.
    outer: &'k [usize],
    links: &'k mut Links,
    /// The names of the routes before.
    names: &'k mut HashMap<Arc<str>, Span>,
}

impl Resolver<'_, '_> {
    /// All routes that have no mistakes.
    pub(super) fn routes(
        &mut self,
        file: &File<'_>,
        listeners: &Listeners,
        outer: &[usize],
        links: &mut Links,
    ) -> Vec<Route> {
        let mut names: HashMap<Arc<str>, Span> = HashMap::new();
        let mut routes = Vec::with_capacity(file.routes.len());
        for section in &file.routes {
            let mut known = Known {
                listeners,
                outer,
                links,
                names: &mut names,
            };
            routes.extend(self.route(section, &mut known));
        }
        routes
    }

    fn route(&mut self, section: &Section<'_>, known: &mut Known<'_>) -> Option<Route> {
        let places = places(section);
        let mut section = listed(section.clone());
        let mut handlers: Vec<_> = REGISTRY
            .iter()
            .filter_map(|kind| section.take(kind.name).map(|(at, value)| (kind, at, value)))
            .collect();
        handlers.sort_by_key(|(_, at, _)| at.start);
        let headers = self.fields(&mut section);
        let query = self.query(&mut section);
        let mut beside: Vec<&str> = REGISTRY.iter().map(|kind| kind.name).collect();
        beside.extend(["headers", "query"]);
        let before = self.cx.problems.len();
        self.take_middleware(&mut section);
        let (written, good) = self.cx.settings_mended::<written::Route>(&section, &beside);
        let written = written?;
        // A misspelt key may be the one that would be missed below.
        let misspelt = self.cx.problems.iter().skip(before);
        let misspelt = misspelt.filter(|problem| problem.code == "E0003").count() > 0;
        let path = match (&written.path, &written.path_regex) {
            (None, None) if misspelt || self.spoke_of("path", before) => None,
            _ => self.path(&written, &section),
        };
        let hosts = self.hosts(&written, &section);
        let served = self.served(&written, &section, known.listeners);
        let names = &written.middleware;
        let middleware = self.links(names, section.span().file, known.outer, known.links);
        let name = self.route_name(&written, &section, known.names);
        self.cx.captures = path.as_ref().map(captured);
        let handler = self.handler(handlers, &section, &name, misspelt);
        self.cx.captures = None;
        if !good {
            return None;
        }
        Some(Route {
            name,
            listeners: served?,
            hosts: hosts?,
            path: path?,
            headers: headers?,
            query: query?,
            methods: written
                .methods
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            priority: written.priority.unwrap_or(0),
            middleware,
            handler: handler?,
            places,
            place: Place(section.span()),
        })
    }

    /// Exactly one key of a route says what answers.
    fn handler(
        &mut self,
        found: Vec<(&'static Kind<Handler>, Range<usize>, Spanned<DeValue<'_>>)>,
        section: &Section<'_>,
        name: &str,
        misspelt: bool,
    ) -> Option<Instance<Handler>> {
        let mut found = found.into_iter();
        let Some((kind, at, value)) = found.next() else {
            if !misspelt {
                self.report(no_handler(section));
            }
            return None;
        };
        let at = section.at(at);
        if let Some((other, other_at, _)) = found.next() {
            let message = format!("a route answers with `{}` or `{}`", kind.name, other.name);
            self.report(
                Problem::error("E0402", section.at(other_at), message)
                    .label("a second answer")
                    .note(at, "the first")
                    .hint("take one of them out, or make it a route of its own"),
            );
            return None;
        }
        if !value.get_ref().is_table() {
            let found = kind_in_words(value.get_ref());
            let message = format!("`{}` must be a table, found {found}", kind.name);
            let example = kind.example.trim().lines().next().unwrap_or_default();
            let example = example.split(" #").next().unwrap_or_default().trim();
            self.report(
                Problem::error("E0001", section.at(value.span()), message)
                    .label("must be a table")
                    .hint(format!("write it like {} = {{ {example} }}", kind.name)),
            );
            return None;
        }
        let table = Section::new(section.span().file, format!("`{}`", kind.name), value);
        let settings = (kind.parse)(&table, self.cx)?;
        Some(Instance {
            name: name.into(),
            kind,
            settings: settings.into(),
            written: table.written(&self.cx.unquoted),
            places: places(&table),
            place: Place(at),
        })
    }

    fn path(&mut self, written: &written::Route, section: &Section<'_>) -> Option<PathPattern> {
        match (&written.path, &written.path_regex) {
            (Some(path), None) => {
                let pattern = PathPattern::parse(path.get_ref());
                self.pattern("E0404", "`path`", pattern, section.at(path.span()))
            }
            (None, Some(regex)) => {
                let pattern = PathPattern::regex(regex.get_ref());
                self.pattern("E0406", "`path_regex`", pattern, section.at(regex.span()))
            }
            (Some(path), Some(regex)) => {
                self.report(
                    Problem::error(
                        "E0403",
                        section.at(regex.span()),
                        "a route has `path` or `path_regex`, not both",
                    )
                    .label("a second pattern")
                    .note(section.at(path.span()), "the first"),
                );
                None
            }
            (None, None) => {
                self.report(
                    Problem::error("E0403", section.span(), "[[route]] needs `path`")
                        .label("`path` is missing")
                        .hint("path = \"/*\" answers for every path"),
                );
                None
            }
        }
    }

    /// The pattern, or its mistake, with the caret below what is wrong within it.
    pub(super) fn pattern<T>(
        &mut self,
        code: &'static str,
        key: &str,
        parsed: Result<T, PatternError>,
        at: Span,
    ) -> Option<T> {
        match parsed {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let message = format!("{key}: {}", error.message);
                let at = self.within(at, &error.message);
                let problem = Problem::error(code, at, message);
                self.report(if error.hint.is_empty() {
                    problem
                } else {
                    problem.hint(error.hint)
                });
                None
            }
        }
    }

    /// The part of a string that a message names in backticks, if it stands there as it is.
    fn within(&self, at: Span, message: &str) -> Span {
        let Some(source) = self.sources.get(at.file) else {
            return at;
        };
        let raw = source.text.get(at.range.clone()).unwrap_or_default();
        let named = message.split('`').nth(1).filter(|part| !part.is_empty());
        match named.and_then(|part| Some((raw.find(part)?, part.len()))) {
            Some((offset, length)) => Span {
                file: at.file,
                range: at.range.start + offset..at.range.start + offset + length,
            },
            None => at,
        }
    }

    fn hosts(
        &mut self,
        written: &written::Route,
        section: &Section<'_>,
    ) -> Option<Vec<HostPattern>> {
        let hosts: Vec<_> = written
            .host
            .iter()
            .filter_map(|host| {
                if host.get_ref().is_empty() {
                    let at = section.at(host.span());
                    let problem = Problem::error("E0405", at, "`host` holds an empty string");
                    self.report(problem.hint("leave `host` out for every host"));
                    return None;
                }
                let pattern = HostPattern::parse(host.get_ref());
                self.pattern("E0405", "`host`", pattern, section.at(host.span()))
            })
            .collect();
        (hosts.len() == written.host.len()).then_some(hosts)
    }

    /// The listeners of a route: those it names, or all.
    fn served(
        &mut self,
        written: &written::Route,
        section: &Section<'_>,
        listeners: &Listeners,
    ) -> Option<Vec<usize>> {
        if written.listener.is_empty() {
            return Some((0..listeners.good.len()).collect());
        }
        let mut served = Vec::new();
        let mut all = true;
        for name in &written.listener {
            let without = "a route without `listener` serves all";
            match self.listener_named(name, section, listeners, without) {
                Some(index) => served.push(index),
                None => all = false,
            }
        }
        served.sort_unstable();
        served.dedup();
        all.then_some(served)
    }

    /// The listener of this name, as an index. One with mistakes is reported where it stands.
    /// `without` says what holds where none is named.
    pub(super) fn listener_named(
        &mut self,
        name: &Spanned<String>,
        section: &Section<'_>,
        listeners: &Listeners,
        without: &str,
    ) -> Option<usize> {
        let wanted = name.get_ref().as_str();
        let mut good = listeners.good.iter();
        let index = good.position(|known| &*known.name == wanted);
        let names = || listeners.names.iter().map(|(name, _)| &**name);
        if index.is_some() || names().any(|name| name == wanted) {
            return index;
        }
        let message = format!("there is no listener `{wanted}`");
        let problem = Problem::error("E0104", section.at(name.span()), message);
        let problem = problem.label("not known");
        self.report(match nearest(wanted, names()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint(format!(
                "the listeners are {}; {without}",
                list(&names().collect::<Vec<_>>(), '`')
            )),
        });
        None
    }

    /// The name of a route: what was written, or its pattern. Made names are made unique;
    /// written ones must be.
    fn route_name(
        &mut self,
        written: &written::Route,
        section: &Section<'_>,
        names: &mut HashMap<Arc<str>, Span>,
    ) -> Arc<str> {
        if let Some(name) = &written.name {
            let at = section.at(name.span());
            let name: Arc<str> = name.get_ref().as_str().into();
            self.check_name(&name, &at);
            match names.get(&name) {
                Some(first) => {
                    let message = format!("there are two routes called `{name}`");
                    self.report(defined_twice(at, message, first.clone()));
                }
                None => {
                    names.insert(Arc::clone(&name), at);
                }
            }
            return name;
        }
        let host = written
            .host
            .first()
            .map_or("", |host| host.get_ref().as_str());
        let path = written.path.as_ref().or(written.path_regex.as_ref());
        let made = format!("{host}{}", path.map_or("", |path| path.get_ref().as_str()));
        let mut name: Arc<str> = made.as_str().into();
        let mut count = 1_u32;
        while names.contains_key(&name) {
            count += 1;
            name = format!("{made}#{count}").into();
        }
        names.insert(Arc::clone(&name), section.span());
        name
    }
}

fn no_handler(section: &Section<'_>) -> Problem {
    let kinds: Vec<&str> = REGISTRY.iter().map(|kind| kind.name).collect();
    Problem::error(
        "E0401",
        section.span(),
        "this route does not say what answers",
    )
    .label("nothing answers")
    .hint(format!("add one of {}", list(&kinds, '`')))
}

fn captured(path: &PathPattern) -> Vec<Arc<str>> {
    path.names().into_iter().map(Arc::from).collect()
}

/// The same table, with an array where one string stands for an array of one.
fn listed(section: Section<'_>) -> Section<'_> {
    let file = section.span().file;
    let name = section.name().to_owned();
    let whole = section.value().clone();
    let span = whole.span();
    let DeValue::Table(table) = whole.into_inner() else {
        return section;
    };
    let table: DeTable<'_> = table
        .into_iter()
        .map(|(key, value)| {
            let is_list = LISTS.contains(&&**key.get_ref()) && value.get_ref().is_str();
            let value = if is_list {
                let span = value.span();
                Spanned::new(span, DeValue::Array(DeArray::from_iter([value])))
            } else {
                value
            };
            (key, value)
        })
        .collect();
    Section::new(file, name, Spanned::new(span, DeValue::Table(table)))
}
