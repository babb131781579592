//! What a reload adds, drops and changes: one line each, for the log.

use std::collections::HashMap;

use super::model::{Instance, Model, Route};

/// What is different between two models, in the words of the log. Empty if they mean the same.
pub fn changes(old: &Model, new: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    compare(
        "listener",
        &old.listeners,
        &new.listeners,
        |listener| &listener.name,
        |a, b| a == b,
        &mut lines,
    );
    instances("upstream", &old.upstreams, &new.upstreams, &mut lines);
    instances("middleware", &old.middleware, &new.middleware, &mut lines);
    compare(
        "route",
        &old.routes,
        &new.routes,
        |route| &route.name,
        |a, b| same_route(old, a, new, b),
        &mut lines,
    );
    if moved(&old.routes, &new.routes) {
        lines.push("the order of routes changed".to_owned());
    }
    tables(old, new, &mut lines);
    lines
}

fn instances<T>(what: &str, old: &[Instance<T>], new: &[Instance<T>], lines: &mut Vec<String>) {
    compare(what, old, new, |one| &one.name, |a, b| a == b, lines);
}

/// Things by their names: those only in the old, in both but different, and only in the new.
fn compare<'m, T>(
    what: &str,
    old: &'m [T],
    new: &'m [T],
    name: impl Fn(&'m T) -> &'m str,
    same: impl Fn(&T, &T) -> bool,
    lines: &mut Vec<String>,
) {
    let before: HashMap<&str, &T> = old.iter().map(|one| (name(one), one)).collect();
    let after: HashMap<&str, &T> = new.iter().map(|one| (name(one), one)).collect();
    for one in old {
        match after.get(name(one)) {
            None => lines.push(format!("{what} `{}` dropped", name(one))),
            Some(now) if !same(one, now) => lines.push(format!("{what} `{}` changed", name(one))),
            Some(_) => {}
        }
    }
    for one in new.iter().filter(|one| !before.contains_key(name(one))) {
        lines.push(format!("{what} `{}` added", name(one)));
    }
}

/// Routes name listeners and middleware by index, and an index shifts when another thing is
/// added: so the names are compared.
fn same_route(old: &Model, a: &Route, new: &Model, b: &Route) -> bool {
    let named = Route {
        listeners: a.listeners.clone(),
        middleware: a.middleware.clone(),
        ..b.clone()
    };
    *a == named
        && old
            .listener_names(&a.listeners)
            .eq(new.listener_names(&b.listeners))
        && old
            .middleware_names(&a.middleware)
            .eq(new.middleware_names(&b.middleware))
}

/// Whether the routes that both have stand in another order, which decides between equals.
fn moved(old: &[Route], new: &[Route]) -> bool {
    let before: HashMap<&str, usize> = old.iter().map(|route| &*route.name).zip(0..).collect();
    let places: Vec<usize> = new
        .iter()
        .filter_map(|route| before.get(&*route.name).copied())
        .collect();
    !places.is_sorted()
}

/// What there is one of: `[server]`, `[server.limits]`, `[log]`.
fn tables(old: &Model, new: &Model, lines: &mut Vec<String>) {
    let (a, b) = (&old.server, &new.server);
    let chains = |model: &Model| -> Vec<String> {
        let names = model.middleware_names(&model.server.middleware);
        names.map(str::to_owned).collect()
    };
    let fixed = " takes effect with the next start";
    for (key, changed, note) in [
        ("server.workers", a.workers != b.workers, fixed),
        (
            "server.blocking_threads",
            a.blocking_threads != b.blocking_threads,
            fixed,
        ),
        (
            "server.blocking_queue",
            a.blocking_queue != b.blocking_queue,
            fixed,
        ),
        (
            "server.drain_timeout",
            a.drain_timeout != b.drain_timeout,
            "",
        ),
        ("server.drain_delay", a.drain_delay != b.drain_delay, ""),
        ("server.watch", a.watch != b.watch, ""),
        (
            "server.control_socket",
            a.control_socket != b.control_socket,
            fixed,
        ),
        (
            "server.trusted_proxies",
            a.trusted_proxies != b.trusted_proxies,
            "",
        ),
        ("server.middleware", chains(old) != chains(new), ""),
        (
            "server.server_header",
            a.server_header != b.server_header,
            "",
        ),
        ("server.limits", a.limits != b.limits, ""),
        ("log", old.log != new.log, ""),
        ("test", old.own_tests != new.own_tests, ""),
    ] {
        if changed {
            let comma = if note.is_empty() { "" } else { ";" };
            lines.push(format!("{key} changed{comma}{note}"));
        }
    }
}
