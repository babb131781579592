//! From the text of a file to a [`Generation`].
//!
//! ```text
//! text ──▶ File (what was written) ──▶ Model (what is meant; pure) ──▶ Generation (what runs)
//! ```
//!
//! Every mistake is reported at once, at its place, with a way out.

pub mod changes;
pub mod codes;
pub mod compile;
pub mod effective;
mod encryption;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod keys;
pub mod model;
mod orders;
mod overrides;
pub mod own_tests;
pub mod provenance;
pub mod reference;
pub mod report;
mod resolve;
pub mod sources;
pub mod substitute;
mod syntax;
mod unreached;
mod veil;
mod written;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use changes::changes;
pub use model::Model;
pub use overrides::Setting;
pub use provenance::Provenance;
pub use report::Report;
pub use sources::Sources;
pub use substitute::Environment;

use crate::build::problem::Severity;
use crate::build::{CarryOver, Files, ParseContext, Problem, Sinks};
use crate::generation::Generation;

/// Where a configuration is.
#[derive(Debug, Clone, Copy)]
pub enum Main<'m> {
    /// In a file, and in what it includes.
    File(&'m Path),
    /// In no file: this text, shown under this name; relative paths start at the folder.
    Text {
        /// How messages call it.
        name: &'m str,
        /// What would stand in the file.
        text: &'m str,
        /// Where relative paths start.
        base: &'m Path,
    },
}

/// What outranks the file, and what its strings may name.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The environment: `${VAR}` and `HTTPSERVER_…`.
    pub environment: Environment,
    /// Options that set something.
    pub command_line: Vec<Setting>,
}

/// What a configuration is built into.
#[derive(Debug)]
pub struct Surroundings<'s> {
    /// State kept from the generation before.
    pub carry_over: &'s mut CarryOver,
    /// Where logs are opened.
    pub sinks: Arc<dyn Sinks>,
    /// The number of the generation.
    pub id: u64,
}

/// A configuration that can run.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub generation: Arc<Generation>,
    /// What is meant.
    pub model: Model,
    /// Where each value was set.
    pub provenance: Provenance,
    /// What is hardly meant, but can run.
    pub warnings: Report,
    /// What was read.
    pub sources: Arc<Sources>,
}

/// Reads a configuration and makes it ready to run.
///
/// # Errors
/// All that is wrong with it, warnings included, and which files were read.
pub fn load(main: Main<'_>, inputs: &Inputs, around: Surroundings<'_>) -> Result<Loaded, Report> {
    let mut problems = Vec::new();
    let (mut sources, base) = read(main, inputs, &mut problems);
    let overrides = overrides::gather(
        &mut sources,
        &inputs.environment,
        &inputs.command_line,
        &mut problems,
    );
    let sources = Arc::new(sources);

    let resolved = understand(&sources, &overrides, inputs, &mut problems);

    let mut files = Files::default();
    let generation = resolved.as_ref().and_then(|resolved| {
        compile::compile(&resolved.model, base, around, &mut files, &mut problems)
    });

    if let Some((resolved, generation)) = resolved.as_ref().zip(generation.as_ref())
        && resolved.complete
        && !failed(&problems)
    {
        problems.extend(own_tests::run(&resolved.model, &generation.listeners));
    }
    let failed = failed(&problems);
    let report = Report::new(problems, Arc::clone(&sources)).with_files(files);
    match resolved.zip(generation) {
        Some((resolved, generation)) if resolved.complete && !failed => Ok(Loaded {
            generation: Arc::new(generation),
            model: resolved.model,
            provenance: resolved.provenance,
            warnings: report,
            sources,
        }),
        _ => Err(report),
    }
}

fn failed(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}

/// The texts, and the folder where relative paths start.
fn read(main: Main<'_>, inputs: &Inputs, problems: &mut Vec<Problem>) -> (Sources, PathBuf) {
    match main {
        Main::File(path) => {
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            let sources = Sources::read(path, &inputs.environment, problems);
            (sources, folder.to_path_buf())
        }
        Main::Text { name, text, base } => (Sources::text(name, text), base.to_path_buf()),
    }
}

/// Parses and resolves.
fn understand(
    sources: &Sources,
    overrides: &[overrides::Override],
    inputs: &Inputs,
    problems: &mut Vec<Problem>,
) -> Option<resolve::Resolved> {
    if sources
        .iter()
        .all(|(_, source)| source.origin != sources::Origin::File)
    {
        // The file could not be read, which was reported; that it is empty would be a lie.
        return None;
    }
    let mut parsed = syntax::parse(sources, problems);
    let tables = std::mem::take(&mut parsed.tables);
    let mut substituted = substitute::Substituted::default();
    for (file, table) in &tables {
        let text = sources.get(*file).map_or("", |source| &source.text);
        substituted.collect(*file, text, table, &inputs.environment, problems);
    }
    let mut next = 0;
    let mut found = Vec::new();
    let mut file = file::File::default();
    for (number, mut table) in tables {
        substituted.put_in(&mut table, &mut next);
        file.add(number, table, &mut found);
    }
    file.tables.extend(overrides::sections(sources, overrides));
    let names: Vec<Arc<str>> = file
        .upstreams
        .iter()
        .map(|named| named.name.as_str().into())
        .collect();
    let mut cx = ParseContext {
        upstreams: &names,
        substituted: &substituted.places,
        ..ParseContext::default()
    };
    let resolved = resolve::resolve(&file, sources, &mut cx);
    found.append(&mut cx.problems);
    found.retain(|problem| !parsed.explains(problem, sources) && !substituted.explains(problem));
    problems.append(&mut found);
    Some(resolved)
}
