//! The daemon's own log: level, format and place can change with every reload.

use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing::error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as format, reload};

use super::journal::{self, ForJournal};
use super::log_file::Place;
use super::sinks::{LogFile, LogFiles};

/// How the daemon logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogSettings {
    pub(super) level: LevelFilter,
    pub(super) json: bool,
    pub(super) place: Place,
}

type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// The log, set up once a process.
pub(super) struct Logging {
    files: Arc<LogFiles>,
    settings: LogSettings,
    /// What is logged to now; the layer holds only its writer.
    file: Arc<LogFile>,
    output: reload::Handle<Output, Registry>,
    level: reload::Handle<Targets, reload_stack::Inner>,
}

/// The type of what stands under the level, which the handle of the level must name.
mod reload_stack {
    use tracing_subscriber::layer::Layered;

    pub(super) type Inner =
        Layered<tracing_subscriber::reload::Layer<super::Output, super::Registry>, super::Registry>;
}

impl Logging {
    /// Logs from now on; panics too.
    ///
    /// # Errors
    /// The place cannot be opened, or the process logs already.
    pub(super) fn start(files: Arc<LogFiles>, settings: LogSettings) -> io::Result<Self> {
        let file = files.get(&settings.place)?;
        let (output, output_handle) = reload::Layer::new(layer(&settings, &file));
        let (level, level_handle) = reload::Layer::new(heard(settings.level));
        tracing_subscriber::registry()
            .with(output)
            .with(level)
            .try_init()
            .map_err(io::Error::other)?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(Self {
            files,
            settings,
            file,
            output: output_handle,
            level: level_handle,
        })
    }

    /// Every file that is logged to.
    pub(super) fn files(&self) -> &LogFiles {
        &self.files
    }

    /// Opens the place, to be logged to later.
    ///
    /// # Errors
    /// The place cannot be opened.
    pub(super) fn open(&self, settings: &LogSettings) -> io::Result<Arc<LogFile>> {
        self.files.get(&settings.place)
    }

    /// Logs like this from now on, to a place that was opened before.
    pub(super) fn apply(&mut self, settings: LogSettings, file: Arc<LogFile>) {
        if settings == self.settings {
            return;
        }
        // Both fail only if the subscriber is gone, and then nobody logs.
        drop(self.output.reload(layer(&settings, &file)));
        drop(self.level.reload(heard(settings.level)));
        self.settings = settings;
        self.file = file;
    }
}

/// Who is heard at this level: the daemon itself. What libraries say is for those who debug them,
/// HTTP/2 with every frame, and only `trace` has it all; their warnings are heard as ours are.
fn heard(level: LevelFilter) -> Targets {
    let libraries = match level {
        LevelFilter::TRACE => LevelFilter::TRACE,
        level => level.min(LevelFilter::WARN),
    };
    Targets::new()
        .with_default(libraries)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

fn layer(settings: &LogSettings, file: &LogFile) -> Output {
    let colours = settings.place == Place::Stderr && io::stderr().is_terminal();
    let layer = format::layer()
        .with_writer({
            let writer = file.writer();
            move || writer.clone()
        })
        .with_ansi(colours)
        .with_target(false)
        .with_span_events(FmtSpan::NONE);
    if settings.json {
        layer.json().flatten_event(true).boxed()
    } else if settings.place == Place::Stderr && journal::hears_stderr() {
        layer.event_format(ForJournal::default()).boxed()
    } else {
        layer.boxed()
    }
}

/// A panic is an error in the log like any other, with its place.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    error!(thread, "panicked at {place}: {message}");
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logging({:?}, {:?})", self.settings, self.file)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[track_caller]
    fn check(level: LevelFilter, ours: Level, theirs: Level) {
        let targets = heard(level);
        for (target, expected) in [("httpserverd::server::h2", ours), ("h2::codec", theirs)] {
            let all = [
                Level::ERROR,
                Level::WARN,
                Level::INFO,
                Level::DEBUG,
                Level::TRACE,
            ];
            for said in all {
                let enabled = targets.would_enable(target, &said);
                assert_eq!(enabled, said <= expected, "{level}: {target} says {said}");
            }
        }
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        check(LevelFilter::ERROR, Level::ERROR, Level::ERROR);
        check(LevelFilter::WARN, Level::WARN, Level::WARN);
        check(LevelFilter::INFO, Level::INFO, Level::WARN);
        check(LevelFilter::DEBUG, Level::DEBUG, Level::WARN);
        check(LevelFilter::TRACE, Level::TRACE, Level::TRACE);
    }
}
