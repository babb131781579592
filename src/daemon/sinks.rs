//! The log files of the process: each opened once, shared, written by a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::log_file::{self, Place, Reopener};
use crate::build::{Sink, SinkTarget, Sinks};
use crate::exchange::Seldom;

/// How many writes may wait for a thread that writes. Workers write batches of lines, so a disk
/// that stalls is bridged for a second at full speed; what comes then is lost, not kept in
/// memory without end.
const WRITES_MAX: usize = 1024;

/// Every place that is logged to.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    opened: Mutex<BTreeMap<Place, Arc<LogFile>>>,
}

/// One place that is logged to. Dropping it writes everything and ends its thread.
pub(super) struct LogFile {
    writer: NonBlocking,
    reopener: Reopener,
    name: String,
    /// How many losses were said so far.
    complained: AtomicU64,
    complaints: Seldom,
    /// Ends the thread when it is dropped.
    guard: Mutex<Option<WorkerGuard>>,
}

impl LogFiles {
    /// The file of this place.
    pub(super) fn get(&self, place: &Place) -> io::Result<Arc<LogFile>> {
        let mut opened = self.lock();
        if let Some(known) = opened.get(place) {
            return Ok(Arc::clone(known));
        }
        let (writer, reopener) = log_file::open(place)?;
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(WRITES_MAX)
            .thread_name("log")
            .finish(writer);
        let file = Arc::new(LogFile {
            writer,
            reopener,
            name: place.name(),
            complained: AtomicU64::new(0),
            complaints: Seldom::default(),
            guard: Mutex::new(Some(guard)),
        });
        opened.insert(place.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// Opens every file anew. Goes on with the others, and with the old one, where one fails.
    pub(super) fn reopen(&self) {
        for file in self.lock().values() {
            if let Err(error) = file.reopener.reopen() {
                warn!(file = file.name, %error, "cannot open a log file anew, kept the old one");
            }
        }
    }

    /// Closes what nobody logs to any more.
    pub(super) fn prune(&self) {
        self.lock().retain(|_, file| Arc::strong_count(file) > 1);
    }

    /// Writes what is waiting and ends the threads, whoever still holds a file. What is logged
    /// after this is lost.
    pub(super) fn close(&self) {
        for file in self.lock().values() {
            drop(
                file.guard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<LogFile>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks for LogFiles {
    fn open(&self, target: &SinkTarget) -> io::Result<Arc<dyn Sink>> {
        let place = match target {
            SinkTarget::Stdout => Place::Stdout,
            SinkTarget::Stderr => Place::Stderr,
            SinkTarget::File(path, rotation) => Place::File(path.clone(), *rotation),
        };
        let file: Arc<dyn Sink> = self.get(&place)?;
        Ok(file)
    }
}

impl LogFile {
    /// A writer that never blocks.
    pub(super) fn writer(&self) -> NonBlocking {
        self.writer.clone()
    }

    /// Says that lines were lost, if that was not said just now.
    fn complain(&self, lost: u64) {
        if self.complaints.is_due() {
            let before = self.complained.swap(lost, Ordering::Relaxed);
            let writes = lost.saturating_sub(before);
            warn!(
                file = self.name,
                writes, "lost log lines: the disk is full or too slow"
            );
        }
    }
}

impl Sink for LogFile {
    fn write(&self, lines: &[u8]) {
        // Hands over, and never fails: what does not fit is counted.
        drop(self.writer.clone().write(lines));
        let lost = self.lost();
        if lost > self.complained.load(Ordering::Relaxed) {
            self.complain(lost);
        }
    }

    fn lost(&self) -> u64 {
        let dropped = self.writer.error_counter().dropped_lines();
        self.reopener.lost().saturating_add(dropped as u64)
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFile({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::build::Rotation;

    #[test]
    fn a_file_is_opened_once_and_closed_when_nobody_logs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let files = LogFiles::default();
        let target = SinkTarget::File(path.clone(), Rotation::default());
        let first = files.open(&target).unwrap();
        let second = files.open(&target).unwrap();
        first.write(b"a\n");
        second.write(b"b\n");
        files.prune();
        assert_eq!(files.lock().len(), 1);
        drop((first, second));
        files.prune();
        assert_eq!(files.lock().len(), 0);
        // Closing writes what was waiting.
        assert_eq!(fs::read_to_string(path).unwrap(), "a\nb\n");
    }
}
