//! Kinds with settings: middleware, upstreams, and how their names are looked up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::Resolver;
use crate::build::context::nearest;
use crate::build::wording::{list, one_of, unknown_key};
use crate::build::{Kind, Problem, Section, Span};
use crate::config::file::{File, Named};
use crate::config::model::{Instance, Place, Places};
use crate::exchange::Middleware;
use crate::handlers::UPSTREAM;
use crate::handlers::proxy::Upstream;
use crate::middleware::REGISTRY;

/// The longest name: it stands in every line of the access log and as a label of metrics.
const NAME_BYTES_MAX: usize = 100;

/// The middleware there is, by name.
#[derive(Default)]
pub(super) struct Links {
    pub(super) instances: Vec<Instance<Box<dyn Middleware>>>,
    /// `None` for one that has mistakes: they are reported where it is defined.
    by_name: BTreeMap<String, Option<usize>>,
    /// Used by the server or a route.
    used: Vec<bool>,
}

impl Links {
    fn add(
        &mut self,
        name: &str,
        instance: Option<Instance<Box<dyn Middleware>>>,
    ) -> Option<usize> {
        let index = instance.map(|instance| {
            self.instances.push(instance);
            self.used.push(false);
            self.instances.len() - 1
        });
        self.by_name.insert(name.to_owned(), index);
        index
    }
}

impl Resolver<'_, '_> {
    /// Reads `[upstream.NAME]`.
    pub(super) fn upstreams(&mut self, file: &File<'_>) -> Vec<Instance<Arc<Upstream>>> {
        let mut upstreams = Vec::new();
        for named in self.each_once("upstreams", &file.upstreams) {
            upstreams.extend(self.instance(&UPSTREAM, &named.name, &named.section, named));
        }
        upstreams
    }

    /// Reads `[middleware.NAME]`.
    pub(super) fn middleware(&mut self, file: &File<'_>) -> Links {
        let mut links = Links::default();
        for named in self.each_once("middleware", &file.middleware) {
            let mut section = named.section.clone();
            let kind = self.kind_of(&mut section, named);
            let instance = kind.and_then(|kind| self.instance(kind, &named.name, &section, named));
            links.add(&named.name, instance);
        }
        links
    }

    /// The tables whose name is not taken; the others are reported.
    pub(super) fn each_once<'n, 't>(
        &mut self,
        what: &str,
        all: &'n [Named<'t>],
    ) -> Vec<&'n Named<'t>> {
        let mut first: HashMap<&str, &Span> = HashMap::new();
        let mut once = Vec::new();
        for named in all {
            self.check_name(&named.name, &named.at);
            if let Some(before) = first.get(named.name.as_str()) {
                let before = (*before).clone();
                let message = format!("there are two {what} called `{}`", named.name);
                self.report(defined_twice(named.at.clone(), message, before));
            } else {
                first.insert(&named.name, &named.at);
                once.push(named);
            }
        }
        once
    }

    /// Names stand in logs, metrics and commands.
    pub(super) fn check_name(&mut self, name: &str, at: &Span) {
        let good = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'\'');
        if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(good) {
            return;
        }
        let message = format!("\"{}\" cannot be a name", name.escape_debug());
        let hint = format!(
            "a name has 1 to {NAME_BYTES_MAX} visible ASCII characters, without quotes and blanks"
        );
        self.report(Problem::error("E0106", at.clone(), message).hint(hint));
    }

    /// Which kind a `[middleware.NAME]` is: its `type`, or what its name says.
    fn kind_of(
        &mut self,
        section: &mut Section<'_>,
        named: &Named<'_>,
    ) -> Option<&'static Kind<Box<dyn Middleware>>> {
        let kind = |name: &str| REGISTRY.iter().find(|kind| kind.name == name);
        let kinds: Vec<&str> = REGISTRY.iter().map(|kind| kind.name).collect();
        let Some((_, written)) = section.take("type") else {
            let own = kind(&named.name);
            if own.is_none() {
                let header = section.name().to_owned();
                self.report(
                    Problem::error("E0004", named.at.clone(), format!("{header} needs `type`"))
                        .label("`type` is missing")
                        .hint(format!("the types are {}", list(&kinds, '"'))),
                );
            }
            return own;
        };
        let span = section.at(written.span());
        let DeValue::String(wanted) = written.get_ref() else {
            self.report(Problem::error("E0001", span, "`type` must be a string"));
            return None;
        };
        let found = kind(wanted);
        if found.is_none() {
            let problem = one_of(span, "`type`", wanted, &kinds);
            self.report(Problem {
                code: "E0105",
                message: format!("there is no middleware of type \"{wanted}\""),
                ..problem
            });
        }
        found
    }

    /// Reads the settings of an instance.
    pub(super) fn instance<T>(
        &mut self,
        kind: &'static Kind<T>,
        name: &str,
        section: &Section<'_>,
        named: &Named<'_>,
    ) -> Option<Instance<T>> {
        let settings = (kind.parse)(section, self.cx)?;
        Some(Instance {
            name: name.into(),
            kind,
            settings: settings.into(),
            written: section.written(&self.cx.unquoted),
            places: places(section),
            place: Place(named.at.clone()),
        })
    }

    /// The middleware that a list names, inside of these.
    pub(super) fn links(
        &mut self,
        names: &[Spanned<String>],
        file: usize,
        outer: &[usize],
        links: &mut Links,
    ) -> Vec<usize> {
        let mut indexes = Vec::new();
        for name in names {
            let span = Span {
                file,
                range: name.span(),
            };
            match self.link(name.get_ref(), &span, links) {
                Some(index) if outer.contains(&index) || indexes.contains(&index) => {
                    let name = name.get_ref();
                    let message = if outer.contains(&index) {
                        format!("`{name}` runs for every route already: [server] lists it")
                    } else {
                        format!("`{name}` is listed twice")
                    };
                    self.report(
                        Problem::warning("W0109", span, message)
                            .label("does nothing more here")
                            .hint("take it out here"),
                    );
                }
                Some(index) => indexes.push(index),
                None => {}
            }
        }
        indexes
    }

    /// Kinds under their own names, which the file did not have to write.
    pub(super) fn default_links(&mut self, names: &[&str], links: &mut Links) -> Vec<usize> {
        names
            .iter()
            .filter_map(|name| self.link(name, &Span::default(), links))
            .collect()
    }

    fn link(&mut self, name: &str, at: &Span, links: &mut Links) -> Option<usize> {
        let known = links.by_name.get(name).copied();
        let known = known.unwrap_or_else(|| self.implied(name, at, links));
        if let Some(used) = known.and_then(|index| links.used.get_mut(index)) {
            *used = true;
        }
        known
    }

    /// A kind under its own name, with its defaults.
    fn implied(&mut self, name: &str, at: &Span, links: &mut Links) -> Option<usize> {
        let Some(kind) = REGISTRY.iter().find(|kind| kind.name == name) else {
            self.report(unknown_middleware(name, at, links));
            return None;
        };
        let section = Section::empty(at.clone(), format!("`{name}`"));
        let settings = (kind.parse)(&section, self.cx);
        let instance = settings.map(|settings| Instance {
            name: name.into(),
            kind,
            settings: settings.into(),
            written: toml::Table::new(),
            places: Places::default(),
            place: Place(at.clone()),
        });
        links.add(name, instance)
    }

    /// Takes out of a route the keys that are types of middleware, which stand elsewhere.
    pub(super) fn take_middleware(&mut self, section: &mut Section<'_>) {
        for kind in REGISTRY {
            let Some((at, _)) = section.take(kind.name) else {
                continue;
            };
            let (name, table) = (kind.name, section.name());
            let problem = unknown_key(section.at(at), name, table, &[]);
            self.report(problem.hint(format!(
                "it is a type of middleware: write middleware = [\"{name}\"], \
                 and its settings into [middleware.{name}]"
            )));
        }
    }

    /// Warns of what is defined and never used.
    pub(super) fn unused(&mut self, file: &File<'_>, links: &Links) {
        let unused: Vec<Arc<str>> = links
            .instances
            .iter()
            .zip(&links.used)
            .filter(|(_, used)| !**used)
            .map(|(instance, _)| Arc::clone(&instance.name))
            .collect();
        for named in &file.upstreams {
            if !self.cx.upstreams_used.contains(named.name.as_str()) {
                let message = format!("no route uses the upstream `{}`", named.name);
                self.report(
                    Problem::warning("W0107", named.at.clone(), message)
                        .label("never used")
                        .hint(format!(
                            "a route uses it with proxy = {{ upstream = \"{}\" }}",
                            named.name
                        )),
                );
            }
        }
        for named in &file.middleware {
            if unused.iter().any(|name| **name == *named.name) {
                self.report(
                    Problem::warning(
                        "W0108",
                        named.at.clone(),
                        format!("no route uses the middleware `{}`", named.name),
                    )
                    .label("never used")
                    .hint("name it in `middleware` of a route or of [server], or take it out"),
                );
            }
        }
    }
}

pub(super) fn places(section: &Section<'_>) -> Places {
    let entries = section.entries().into_iter();
    Places(
        entries
            .map(|(key, range, _)| (key.to_owned(), section.at(range)))
            .collect(),
    )
}

pub(super) fn defined_twice(at: Span, message: String, first: Span) -> Problem {
    Problem::error("E0101", at, message)
        .label("defined again here")
        .note(first, "first defined here")
}

fn unknown_middleware(name: &str, at: &Span, links: &Links) -> Problem {
    let message = format!("there is no middleware `{name}`");
    let problem = Problem::error("E0103", at.clone(), message).label("not known");
    let kinds = REGISTRY.iter().map(|kind| kind.name);
    let named = links.by_name.keys().map(String::as_str);
    if let Some(near) = nearest(name, kinds.clone().chain(named)) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let kinds: Vec<&str> = kinds.collect();
    let kinds = list(&kinds, '"');
    problem.hint(format!(
        "define it as [middleware.{name}]; the types are {kinds}"
    ))
}
