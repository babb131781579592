//! From a file to something that can be published. Whatever goes wrong leaves no trace.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;

use super::listening::{Added, Listening};
use super::log_file::Place;
use super::logging::{LogSettings, Logging};
use super::sinks::{LogFile, LogFiles};
use crate::build::{CarryOver, Sinks};
use crate::config::model::{Level, LogFormat, LogOutput};
use crate::config::{self, Inputs, Loaded, Main, Model, Report, Surroundings};
use crate::generation::Generation;
use crate::telemetry::Metrics;

/// Where the configuration is.
#[derive(Debug, Clone)]
pub enum Configuration {
    /// In a file, and in what it includes.
    File(PathBuf),
    /// In no file.
    Text {
        /// How messages call it.
        name: String,
        /// What would stand in the file.
        text: String,
        /// Where relative paths start.
        base: PathBuf,
    },
}

/// Loads the configuration, again and again.
#[derive(Debug)]
pub(super) struct Loader {
    configuration: Configuration,
    inputs: Inputs,
    carry_over: CarryOver,
    files: Arc<LogFiles>,
}

/// A configuration that can be published: nothing that comes after can fail.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) loaded: Loaded,
    pub(super) added: Added,
    pub(super) log: LogSettings,
    pub(super) log_file: Arc<LogFile>,
}

/// Why a configuration cannot be published.
#[derive(Debug)]
pub enum Refusal {
    /// It is wrong.
    Configuration(Report),
    /// It is right, but something it names cannot be had. One line each.
    System(Vec<String>),
}

impl Loader {
    pub(super) fn new(configuration: Configuration, inputs: Inputs, files: Arc<LogFiles>) -> Self {
        Self {
            configuration,
            inputs,
            carry_over: CarryOver::default(),
            files,
        }
    }

    /// Loads and compiles.
    pub(super) fn load(&mut self, id: u64) -> Result<Loaded, Report> {
        self.carry_over.prune();
        let around = Surroundings {
            carry_over: &mut self.carry_over,
            sinks: Arc::<LogFiles>::clone(&self.files) as Arc<dyn Sinks>,
            id,
        };
        config::load(self.configuration.as_main(), &self.inputs, around)
    }

    /// Binds what is new, and opens the log.
    pub(super) fn prepare(
        &self,
        loaded: Loaded,
        listening: &Listening,
        logging: &Logging,
    ) -> Result<Prepared, Refusal> {
        let log = self.log_settings(&loaded.model);
        let log_file = logging.open(&log);
        let added = listening.prepare(&loaded.generation);
        match (added, log_file) {
            (Ok(added), Ok(log_file)) => Ok(Prepared {
                loaded,
                added,
                log,
                log_file,
            }),
            (added, log_file) => {
                let mut errors = added.err().unwrap_or_default();
                errors.extend(log_file.err().map(|error| no_log(&log.place, &error)));
                Err(Refusal::System(errors))
            }
        }
    }

    /// The numbers of every generation.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.carry_over.metrics
    }

    /// A path of the configuration's: from its folder, if it is relative.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.configuration.folder().join(path)
    }

    /// The file that names all others, if there is one.
    pub(super) fn main_file(&self) -> Option<&Path> {
        match &self.configuration {
            Configuration::File(path) => Some(path),
            Configuration::Text { .. } => None,
        }
    }

    /// How the daemon logs under this model.
    pub(super) fn log_settings(&self, model: &Model) -> LogSettings {
        let place = match &model.log.output {
            LogOutput::Stderr => Place::Stderr,
            LogOutput::Stdout => Place::Stdout,
            LogOutput::File { path, rotation } => {
                Place::File(self.configuration.folder().join(path), *rotation)
            }
        };
        LogSettings {
            level: match model.log.level {
                Level::Error => LevelFilter::ERROR,
                Level::Warn => LevelFilter::WARN,
                Level::Info => LevelFilter::INFO,
                Level::Debug => LevelFilter::DEBUG,
                Level::Trace => LevelFilter::TRACE,
            },
            json: model.log.format == LogFormat::Json,
            place,
        }
    }
}

impl Configuration {
    /// How messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text { name, .. } => name.clone(),
        }
    }

    /// As it is loaded.
    pub(crate) fn as_main(&self) -> Main<'_> {
        match self {
            Self::File(path) => Main::File(path),
            Self::Text { name, text, base } => Main::Text { name, text, base },
        }
    }

    /// Where relative paths start.
    fn folder(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or_else(|| Path::new("")),
            Self::Text { base, .. } => base,
        }
    }
}

/// Why there is no log at this place.
pub(super) fn no_log(place: &Place, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; the user that the daemon runs as must write there",
        io::ErrorKind::ReadOnlyFilesystem => "; nothing can be written there",
        _ => "",
    };
    format!("cannot open the log, {}: {error}{hint}", place.name())
}

/// What of a generation cannot change while the process runs: one line for each thing that the
/// new one wants otherwise.
pub(super) fn unchangeable(first: &Generation, new: &Generation) -> Vec<String> {
    let values = |generation: &Generation| {
        [
            ("workers", generation.workers.get()),
            ("blocking_threads", generation.blocking_threads),
            ("blocking_queue", generation.blocking_queue),
        ]
    };
    values(first)
        .into_iter()
        .zip(values(new))
        .filter(|(running, wanted)| running != wanted)
        .map(|((key, running), (_, wanted))| {
            format!("server.{key} stays {running} until the next start; then it is {wanted}")
        })
        .collect()
}
