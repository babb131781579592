//! Where finished log lines go. The control plane owns the files; who logs is given a [`Sink`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Rotation;

/// What a log is written to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SinkTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to. Absolute.
    File(PathBuf, Rotation),
}

/// Takes lines over and never blocks.
///
/// What cannot be taken (a full queue) or written (a full disk) is lost, and the sink counts it
/// and reports it at a bounded rate.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Takes whole lines over, each ended by LF.
    fn write(&self, lines: &[u8]);

    /// How many writes were lost since the start.
    fn lost(&self) -> u64 {
        0
    }
}

/// Opens sinks. Lives as long as the process: the same target gives the same sink, also after a
/// reload, so that no file is opened twice and no line is lost between two generations.
pub trait Sinks: Send + Sync + fmt::Debug {
    /// The sink of a target.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    fn open(&self, target: &SinkTarget) -> io::Result<Arc<dyn Sink>>;
}

/// Sinks in memory: for tests, and for `check`, which must not touch a log file.
#[derive(Debug, Clone, Default)]
pub struct MemorySinks {
    opened: Arc<Mutex<BTreeMap<SinkTarget, Arc<MemorySink>>>>,
}

/// How many bytes a [`MemorySink`] keeps; what comes later is lost and counted. Far more than
/// any test writes.
const MEMORY_BYTES_MAX: usize = 1 << 20;

/// A sink that keeps what it is given.
#[derive(Debug, Default)]
pub struct MemorySink {
    kept: Mutex<Vec<u8>>,
    lost: std::sync::atomic::AtomicU64,
}

impl MemorySinks {
    /// Everything written to this target so far.
    pub fn written(&self, target: &SinkTarget) -> String {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = opened.get(target) else {
            return String::new();
        };
        let kept = sink.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl Sinks for MemorySinks {
    fn open(&self, target: &SinkTarget) -> io::Result<Arc<dyn Sink>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let sink: Arc<MemorySink> = Arc::clone(opened.entry(target.clone()).or_default());
        Ok(sink)
    }
}

impl Sink for MemorySink {
    fn write(&self, lines: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len().saturating_add(lines.len()) <= MEMORY_BYTES_MAX {
            kept.extend_from_slice(lines);
        } else {
            self.lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn lost(&self) -> u64 {
        self.lost.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_sink() {
        let sinks = MemorySinks::default();
        sinks.open(&SinkTarget::Stdout).unwrap().write(b"a\n");
        sinks.open(&SinkTarget::Stdout).unwrap().write(b"b\n");
        assert_eq!(sinks.written(&SinkTarget::Stdout), "a\nb\n");
        assert_eq!(sinks.written(&SinkTarget::Stderr), "");
    }

    #[test]
    fn memory_is_bounded_and_losses_are_counted() {
        let sink = MemorySinks::default().open(&SinkTarget::Stderr).unwrap();
        sink.write(&vec![b'a'; MEMORY_BYTES_MAX]);
        assert_eq!(sink.lost(), 0);
        sink.write(b"b\n");
        assert_eq!(sink.lost(), 1);
    }
}
