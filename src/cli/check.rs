//! `httpserverd check`: what is wrong with a configuration, before it runs.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use super::explain_code;
use crate::build::problem::Severity;
use crate::build::{CarryOver, MemorySinks};
use crate::config::{self, Inputs, Loaded, Report, Surroundings};
use crate::daemon::Configuration;

/// A configuration that cannot run (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIGURATION: u8 = 78;

/// How problems are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people: drawn, on standard error.
    #[default]
    Text,
    /// For programs: one object, on standard output.
    Json,
}

/// What `check` was asked to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How problems are written.
    pub format: Format,
    /// Whether to print every value that is in effect, and where it was set.
    pub effective: bool,
}

/// Checks a configuration; the exit code: 0, or 78 if it cannot run.
///
/// # Errors
/// The output cannot be written.
pub fn check(
    configuration: &Configuration,
    inputs: &Inputs,
    options: &Options,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let name = configuration.name();
    let loaded = load(configuration, inputs);
    let report = match &loaded {
        Ok(loaded) => &loaded.warnings,
        Err(report) => report,
    };
    match options.format {
        Format::Json => writeln!(out, "{}", report.json())?,
        Format::Text => write_report(&name, report, err)?,
    }
    let Ok(loaded) = &loaded else {
        return Ok(EXIT_CONFIGURATION);
    };
    if options.effective {
        let origins = config::effective::Origins {
            provenance: &loaded.provenance,
            sources: &loaded.sources,
        };
        let text = config::effective::effective(&loaded.model, Some(origins));
        out.write_all(text.as_bytes())?;
    } else if options.format == Format::Text {
        writeln!(out, "{}", good(&name, loaded))?;
    }
    Ok(0)
}

/// Loads a configuration as the daemon would, and opens no log.
pub(super) fn load(configuration: &Configuration, inputs: &Inputs) -> Result<Loaded, Report> {
    let mut carry_over = CarryOver::default();
    let around = Surroundings {
        carry_over: &mut carry_over,
        sinks: Arc::new(MemorySinks::default()),
        id: 1,
    };
    config::load(configuration.as_main(), inputs, around)
}

/// Problems as a person reads them, with colours on a terminal that wants them.
pub(super) fn write_report(name: &str, report: &Report, err: &mut impl Write) -> io::Result<()> {
    if report.is_empty() {
        return Ok(());
    }
    err.write_all(report.text(wants_colour()).as_bytes())?;
    writeln!(err, "{name}: {}", report.summary())?;
    if report.count(Severity::Error) > 0 {
        let first = report
            .problems()
            .iter()
            .find(|problem| problem.severity == Severity::Error);
        if let Some(problem) = first {
            writeln!(err, "{}", explain_code::pointer(problem.code))?;
        }
    }
    Ok(())
}

/// Standard error is a terminal, and nobody asked for no colours (<https://no-color.org>).
fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

fn good(name: &str, loaded: &Loaded) -> String {
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let tests = match loaded.model.own_tests.len() {
        0 => String::new(),
        tests => format!(", {} passed", count(tests, "test")),
    };
    format!(
        "{name} is good: {}, {}{tests}",
        count(loaded.model.listeners.len(), "listener"),
        count(loaded.model.routes.len(), "route")
    )
}
