//! Model → Generation. The only step that does I/O: roots are opened, files read.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::model::{Bind, Instance, Model, Route, Workers};
use super::unreached::Unreached;
use super::{Surroundings, encryption, model};
use crate::build::problem::Severity;
use crate::build::{BuildContext, Files, Problem};
use crate::exchange::Middleware;
use crate::generation::acme::{Tokens, Wanted};
use crate::generation::{self, Generation, Listener, Tls};
use crate::handlers;
use crate::routing::{self, Chain, Rule, Table};
use crate::sys::accounts;

/// What a model runs as, or `None` if something of it could not be made; every such thing is
/// reported, but for what could not be made only because another thing was not. `files` are
/// given what was read.
pub(super) fn compile(
    model: &Model,
    base: PathBuf,
    around: Surroundings<'_>,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Option<Generation> {
    let generation = build(model, base, around, files, problems);
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error && problem.code != FOLLOWS)
    {
        problems.retain(|problem| problem.code != FOLLOWS);
    }
    generation
}

/// The code of what could not be built because something it needs could not.
const FOLLOWS: &str = "E0202";

fn build(
    model: &Model,
    base: PathBuf,
    around: Surroundings<'_>,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Option<Generation> {
    let mut cx = BuildContext::new(around.carry_over, base);
    cx.sinks = around.sinks;
    let mut compiler = Compiler {
        model,
        cx,
        wanted: Vec::new(),
        problems,
    };
    compiler.upstreams();
    let middleware = compiler.middleware();
    let routes = compiler.routes(&middleware);
    let binds = compiler.binds();
    let encrypted = compiler.encryption();
    files.clone_from(&compiler.cx.files);
    let refused = chain(&middleware, model.server.middleware.iter())?;
    let listeners = compiler.listeners(binds, encrypted, &routes?, &refused)?;
    let limits = model.server.limits.clone();
    Some(Generation {
        id: around.id,
        listeners,
        workers: workers(model.server.workers),
        blocking_threads: model.server.blocking_threads.get().into(),
        blocking_queue: model.server.blocking_queue.get().into(),
        limits,
        trusted_proxies: model.server.trusted_proxies.clone(),
        server_header: model.server.server_header.as_deref().map(Into::into),
        drain_timeout: model.server.drain_timeout,
        drain_delay: model.server.drain_delay,
        probes: compiler.cx.probes,
        toggles: compiler.cx.toggles,
        files: compiler.cx.files,
        tokens: (!compiler.wanted.is_empty())
            .then(|| compiler.cx.carry_over.keep("acme", Tokens::default)),
        wanted: compiler.wanted,
        refused,
    })
}

struct Compiler<'c, 's> {
    model: &'c Model,
    cx: BuildContext<'s>,
    /// What is to be ordered of authorities.
    wanted: Vec<Wanted>,
    problems: &'c mut Vec<Problem>,
}

/// What was built, by index; `None` where it could not be.
type Built<T> = Vec<Option<T>>;

impl Compiler<'_, '_> {
    fn build<T>(&mut self, instance: &Instance<T>) -> Option<T> {
        self.cx.name = Arc::clone(&instance.name);
        let built = instance.settings.build(&mut self.cx);
        self.problems.append(&mut self.cx.warnings);
        match built {
            Ok(built) => Some(built),
            Err(mut problem) => {
                problem.message = without_number(&problem.message);
                // A kind that knows no better place is spoken of where it stands.
                if problem.span.is_none() {
                    problem.span = Some(instance.place.0.clone());
                }
                self.problems.push(*problem);
                None
            }
        }
    }

    /// Upstreams first: handlers and middleware ask for them by name.
    fn upstreams(&mut self) {
        let model = self.model;
        for instance in &model.upstreams {
            if let Some(upstream) = self.build(instance) {
                let fetcher = Arc::new(handlers::proxy::fetcher(&upstream));
                self.cx.provide(&instance.name, fetcher);
                self.cx.provide(&instance.name, upstream);
            }
        }
    }

    fn middleware(&mut self) -> Built<Arc<dyn Middleware>> {
        let model = self.model;
        let instances = model.middleware.iter();
        instances
            .map(|instance| self.build(instance).map(Arc::from))
            .collect()
    }

    fn routes(
        &mut self,
        middleware: &Built<Arc<dyn Middleware>>,
    ) -> Option<Vec<Arc<routing::Route>>> {
        let model = self.model;
        let mut chains: HashMap<&[usize], Chain> = HashMap::new();
        let mut routes = Vec::with_capacity(model.routes.len());
        // Numbers that nothing can read are not counted.
        let read = |route: &Route| route.handler.kind.name == handlers::metrics::KIND.name;
        let counted = model.routes.iter().any(read);
        for route in &model.routes {
            let handler = self.build(&route.handler);
            // Routes with the same middleware share one chain.
            let known = chains.get(&*route.middleware).cloned();
            let chain = known.or_else(|| {
                let links = model.server.middleware.iter().chain(&route.middleware);
                let made = chain(middleware, links)?;
                chains.insert(&*route.middleware, made.clone());
                Some(made)
            });
            if let Some((chain, handler)) = chain.zip(handler) {
                routes.push(Arc::new(routing::Route {
                    name: Arc::clone(&route.name),
                    chain,
                    handler,
                    numbers: counted.then(|| self.cx.carry_over.metrics.routes.keep(&route.name)),
                }));
            }
        }
        (routes.len() == model.routes.len()).then_some(routes)
    }

    fn listeners(
        &mut self,
        binds: Built<generation::Bind>,
        encrypted: Built<Option<Arc<Tls>>>,
        routes: &[Arc<routing::Route>],
        misses: &Chain,
    ) -> Option<Vec<Listener>> {
        let model = self.model;
        // Listeners that serve the same routes share one table.
        let mut tables: Vec<(Vec<usize>, Arc<Table>)> = Vec::new();
        let mut unreached = Unreached::default();
        let mut listeners = Vec::with_capacity(model.listeners.len());
        let places = binds.into_iter().zip(encrypted);
        for (index, (listener, (bind, tls))) in model.listeners.iter().zip(places).enumerate() {
            let routes_served = (0..).zip(&model.routes);
            let served: Vec<usize> = routes_served
                .filter(|(_, route)| route.listeners.contains(&index))
                .map(|(position, _)| position)
                .collect();
            let known = tables.iter().find(|(known, _)| *known == served);
            let known = known.map(|(_, table)| Arc::clone(table));
            let table = known.unwrap_or_else(|| {
                let rules = served
                    .iter()
                    .filter_map(|&at| Some(rule(at, model.routes.get(at)?, routes.get(at)?)));
                let rules: Vec<Rule> = rules.collect();
                unreached.add(&rules);
                let table = Arc::new(Table::new(&rules, misses.clone()));
                tables.push((served, Arc::clone(&table)));
                table
            });
            listeners.push(Listener {
                name: Arc::clone(&listener.name),
                bind: bind?,
                tls: tls?,
                table,
                proxy_protocol: listener.proxy_protocol.clone().map(Arc::new),
                protocols: listener.protocols,
            });
        }
        self.problems.extend(unreached.problems(model));
        Some(listeners)
    }

    /// What each listener is encrypted with.
    fn encryption(&mut self) -> Built<Option<Arc<Tls>>> {
        let model = self.model;
        let before = self.problems.len();
        let encryption = |listener: &model::Listener| match &listener.tls {
            None => Some(None),
            Some(tls) => {
                encryption::build(&mut self.cx, listener, tls, &mut self.wanted, self.problems)
                    .map(Some)
            }
        };
        let built = model.listeners.iter().map(encryption).collect();
        for problem in self.problems.iter_mut().skip(before) {
            problem.message = without_number(&problem.message);
        }
        built
    }

    fn binds(&mut self) -> Built<generation::Bind> {
        let model = self.model;
        model
            .listeners
            .iter()
            .map(|listener| match &listener.bind {
                Bind::Tcp(address) => Some(generation::Bind::Tcp(*address)),
                Bind::Systemd(name) => Some(generation::Bind::Systemd(Arc::clone(name))),
                Bind::Unix { path, mode, owner } => {
                    let owner = match owner.as_deref().map(accounts::ids) {
                        None => None,
                        Some(Ok(ids)) => Some(ids),
                        Some(Err(message)) => {
                            let at = listener.places.of("owner").unwrap_or(&listener.place.0);
                            let at = at.clone();
                            self.problems
                                .push(Problem::error("E0307", at, message).hint(
                                    "users and groups of /etc/passwd and /etc/group are known by \
                                 name, all others by number: \"1000:1000\"",
                                ));
                            return None;
                        }
                    };
                    Some(generation::Bind::Unix {
                        path: self.cx.path(path),
                        mode: *mode,
                        owner,
                    })
                }
            })
            .collect()
    }
}

/// Without the number that the system's errors bring along: "(os error 2)" helps nobody.
fn without_number(message: &str) -> String {
    match message.split_once(" (os error ") {
        Some((before, after)) => {
            let after = after.split_once(')').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => message.to_owned(),
    }
}

/// The rule of a route.
fn rule(position: usize, route: &Route, compiled: &Arc<routing::Route>) -> Rule {
    Rule {
        hosts: route.hosts.clone(),
        path: route.path.clone(),
        methods: route.methods.clone(),
        headers: route.headers.clone(),
        query: route.query.clone(),
        priority: route.priority,
        position,
        route: Arc::clone(compiled),
    }
}

/// The chain of these, if all of them could be built.
fn chain<'i>(
    middleware: &Built<Arc<dyn Middleware>>,
    indexes: impl Iterator<Item = &'i usize>,
) -> Option<Chain> {
    let links: Option<Vec<_>> = indexes
        .map(|&index| middleware.get(index).cloned().flatten())
        .collect();
    links.map(Chain::new)
}

fn workers(workers: Workers) -> NonZeroUsize {
    match workers {
        Workers::Number(number) => number.into(),
        // Where the kernel does not tell, one worker serves.
        Workers::Auto => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_lose_their_numbers() {
        for (message, expected) in [
            (
                "cannot open x: No such file (os error 2)",
                "cannot open x: No such file",
            ),
            ("cannot (os error 13): so there", "cannot: so there"),
            ("nothing to lose", "nothing to lose"),
        ] {
            assert_eq!(without_number(message), expected);
        }
    }
}
