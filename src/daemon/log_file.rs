//! What log lines are written to at last, by the one thread that writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::rolling::{Dated, Numbered};
use crate::build::{Rotation, Turn};

/// What is written to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf, Rotation),
}

/// The writer of a place, and a way to have it write elsewhere from the next write on.
pub(super) fn open(place: &Place) -> io::Result<(Writer, Reopener)> {
    let next = Arc::new(Mutex::new(None));
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Writer {
        output: Output::open(place)?,
        next: Arc::clone(&next),
        lost: Arc::clone(&lost),
    };
    let reopener = Reopener {
        place: place.clone(),
        next,
        lost,
    };
    Ok((writer, reopener))
}

/// Writes; what cannot be written is lost and counted.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    next: Arc<Mutex<Option<Output>>>,
    lost: Arc<AtomicU64>,
}

/// Opens the file anew.
#[derive(Debug)]
pub(super) struct Reopener {
    place: Place,
    next: Arc<Mutex<Option<Output>>>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Output {
    Stdout,
    Stderr,
    File(File),
    Numbered(Numbered),
    Dated(Dated),
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let next = self
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(next) = next {
            self.output = next;
        }
        // An error would end the batch: what comes after may fit again.
        if self.output.write_all(bytes).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is kept back: every write is a write of the file.
        Ok(())
    }
}

impl Reopener {
    /// Opens the file of this name anew, which by now may be another one. Created at once, not
    /// at the next line: whoever moved the old one may be waiting for it.
    pub(super) fn reopen(&self) -> io::Result<()> {
        if matches!(self.place, Place::File(..)) {
            let output = Output::open(&self.place)?;
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
        }
        Ok(())
    }

    /// How many writes failed so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Output {
    fn open(place: &Place) -> io::Result<Self> {
        let (path, Rotation { turn, keep }) = match place {
            Place::Stdout => return Ok(Self::Stdout),
            Place::Stderr => return Ok(Self::Stderr),
            Place::File(path, rotation) => (path, *rotation),
        };
        match turn {
            Turn::Never => append(path).map(Self::File),
            Turn::Daily => Dated::daily(path, keep).map(Self::Dated),
            Turn::Hourly => Dated::hourly(path, keep).map(Self::Dated),
            Turn::Size(size) => Numbered::open(path, size, keep).map(Self::Numbered),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout()
                .write_all(bytes)
                .and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
            Self::Numbered(file) => file.write_all(bytes),
            Self::Dated(files) => files.write_all(bytes),
        }
    }
}

/// Opens a file to append to it; its folder is made if it is not there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

impl Place {
    /// As an operator would call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".into(),
            Self::Stderr => "standard error".into(),
            Self::File(path, _) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turning(turn: Turn) -> Rotation {
        Rotation { turn, keep: None }
    }

    #[test]
    fn a_file_of_a_size_that_was_moved_away_is_begun_anew_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("moved"));
        let (mut writer, reopener) =
            open(&Place::File(path.clone(), turning(Turn::Size(4)))).unwrap();
        writer.write_all(b"1\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        reopener.reopen().unwrap();
        for line in [b"2\n", b"3\n", b"4\n"] {
            writer.write_all(line).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("moved").as_str(), read("log").as_str()),
            ("1\n", "4\n")
        );
        assert_eq!(read("log.1"), "2\n3\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_left_at_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a/log"), folder.path().join("moved"));
        let place = Place::File(path.clone(), Rotation::default());
        let (mut writer, reopener) = open(&place).unwrap();
        writer.write_all(b"1\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        writer.write_all(b"2\n").unwrap();
        reopener.reopen().unwrap();
        assert!(path.exists(), "created at once");
        writer.write_all(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_is_tried() {
        let full = Place::File("/dev/full".into(), Rotation::default());
        let (mut writer, reopener) = open(&full).unwrap();
        writer.write_all(b"1\n").unwrap();
        writer.write_all(b"2\n").unwrap();
        assert_eq!(reopener.lost(), 2);
    }

    #[test]
    fn rotated_files_are_named_by_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("d.log"), turning(Turn::Daily));
        let (mut writer, reopener) = open(&place).unwrap();
        writer.write_all(b"1\n").unwrap();
        reopener.reopen().unwrap();
        writer.write_all(b"2\n").unwrap();
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        let name = files[0].as_ref().unwrap().file_name();
        assert!(name.to_string_lossy().starts_with("d.log.2"), "{files:?}");
        let path = folder.path().join(name);
        assert_eq!(fs::read_to_string(path).unwrap(), "1\n2\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        assert!(open(&Place::File("/proc/no/such".into(), Rotation::default())).is_err());
    }
}
