//! Lines for systemd's journal: the level in front, as sd-daemon(3) has it, and no time, which
//! the journal knows.

use std::env;
use std::fmt;

use rustix::fs::fstat;
use rustix::stdio::stderr;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Where systemd says which device and inode the journal's end of a stream has.
const STREAM: &str = "JOURNAL_STREAM";

/// Whether standard error goes to the journal. It may have been sent elsewhere since the
/// variable was set.
pub(super) fn hears_stderr() -> bool {
    let Ok(stream) = env::var(STREAM) else {
        return false;
    };
    fstat(stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// How a line looks.
pub(super) struct ForJournal(Format<Full, ()>);

impl Default for ForJournal {
    fn default() -> Self {
        let format = tracing_subscriber::fmt::format().without_time();
        Self(format.with_level(false).with_target(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The level in syslog's numbers: debug is 7, errors are 3.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::{error, info, subscriber, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_goes_in_front_and_the_time_is_left_out() {
        let lines = Lines::default();
        let shared = lines.clone();
        let logger = tracing_subscriber::fmt()
            .with_writer(move || shared.clone())
            .event_format(ForJournal::default())
            .finish();
        subscriber::with_default(logger, || {
            error!(worker = 1, "gone");
            warn!("careful");
            info!("ready");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>gone worker=1\n<4>careful\n<6>ready\n");
    }
}
