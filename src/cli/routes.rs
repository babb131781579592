//! `httpserverd routes`: which route answers which requests.

use std::io::{self, Write};

use super::check::{EXIT_CONFIGURATION, load, write_report};
use crate::config::Inputs;
use crate::config::model::{Model, Route};
use crate::daemon::Configuration;

/// Prints the routes as a table; the exit code: 0, or 78 if it cannot run.
///
/// # Errors
/// The output cannot be written.
pub fn routes(
    configuration: &Configuration,
    inputs: &Inputs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match load(configuration, inputs) {
        Ok(loaded) => {
            write_report(&configuration.name(), &loaded.warnings, err)?;
            out.write_all(table(&loaded.model).as_bytes())?;
            Ok(0)
        }
        Err(report) => {
            write_report(&configuration.name(), &report, err)?;
            Ok(EXIT_CONFIGURATION)
        }
    }
}

const HEADINGS: [&str; 7] = [
    "LISTENER",
    "HOST",
    "METHODS",
    "PATH",
    "HANDLER",
    "MIDDLEWARE",
    "NAME",
];

/// One line a route, in the order of the file; the columns as wide as they must be.
pub fn table(model: &Model) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(model.routes.iter().map(|route| row(model, route)));
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(model: &Model, route: &Route) -> [String; HEADINGS.len()] {
    let or_any = |words: Vec<String>| {
        if words.is_empty() {
            "*".to_owned()
        } else {
            words.join(",")
        }
    };
    let listeners: Vec<String> = if route.listeners.len() == model.listeners.len() {
        Vec::new()
    } else {
        let names = model.listener_names(&route.listeners);
        names.map(str::to_owned).collect()
    };
    let chain = model
        .middleware_names(&model.server.middleware)
        .chain(model.middleware_names(&route.middleware));
    let chain: Vec<&str> = chain.collect();
    let path = if route.path.is_regex() {
        format!("~ {}", route.path.as_str())
    } else {
        route.path.as_str().to_owned()
    };
    [
        or_any(listeners),
        or_any(route.hosts.iter().map(ToString::to_string).collect()),
        or_any(route.methods.iter().map(ToString::to_string).collect()),
        path,
        route.handler.kind.name.to_owned(),
        if chain.is_empty() {
            "-".to_owned()
        } else {
            chain.join(" > ")
        },
        route.name.to_string(),
    ]
}
