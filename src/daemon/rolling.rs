//! Log files that end: by size and numbered, or by the time and dated; the oldest go.

use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use tracing::warn;
use tracing_appender::rolling::{RollingFileAppender, Rotation as Turns};

use super::log_file::append;
use crate::clock;

/// A file of at most so many bytes. The last one is `NAME.1`, the one before it `NAME.2`.
#[derive(Debug)]
pub(super) struct Numbered {
    path: PathBuf,
    file: File,
    written: u64,
    size: u64,
    keep: u16,
}

/// Files whose names end in the day or the hour they are of.
#[derive(Debug)]
pub(super) struct Dated {
    files: RollingFileAppender,
    folder: PathBuf,
    name: String,
    /// How many there may be, the one that is written included.
    keep: Option<usize>,
    /// The hour, since 1970, in which old ones were last looked for.
    pruned_in: u64,
}

impl Numbered {
    pub(super) fn open(path: &Path, size: u64, keep: Option<NonZeroU16>) -> io::Result<Self> {
        let file = append(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            written: file.metadata()?.len(),
            file,
            size,
            keep: keep.map_or(1, NonZeroU16::get),
        })
    }

    /// Writes, to a new file if this one would become too large. Never parts what it is given.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        if self.written > 0 && self.written.saturating_add(len) > self.size {
            if let Err(error) = self.begin() {
                let file = self.path.display();
                warn!(%file, %error, "cannot begin a new log file, goes on with the old one");
            }
            // What failed is tried again when as much was written once more.
            self.written = 0;
        }
        self.written = self.written.saturating_add(len);
        self.file.write_all(bytes)
    }

    fn begin(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = append(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: u16) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

impl Dated {
    /// A new one every day.
    pub(super) fn daily(path: &Path, keep: Option<NonZeroU16>) -> io::Result<Self> {
        Self::open(path, Turns::DAILY, keep)
    }

    /// A new one every hour.
    pub(super) fn hourly(path: &Path, keep: Option<NonZeroU16>) -> io::Result<Self> {
        Self::open(path, Turns::HOURLY, keep)
    }

    fn open(path: &Path, turns: Turns, keep: Option<NonZeroU16>) -> io::Result<Self> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // It could keep so many itself, but would count whatever begins with the name.
        let files = RollingFileAppender::builder()
            .rotation(turns)
            .filename_prefix(&*name)
            .build(folder)
            .map_err(io::Error::other)?;
        Ok(Self {
            files,
            folder: folder.to_path_buf(),
            name: name.into_owned(),
            keep: keep.map(|keep| usize::from(keep.get()) + 1),
            pruned_in: 0,
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.files.write_all(bytes);
        let hour = clock::unix_now().as_secs() / 3600;
        if let Some(keep) = self.keep.filter(|_| hour != self.pruned_in) {
            self.pruned_in = hour;
            if let Err(error) = prune(&self.folder, &self.name, keep) {
                let folder = self.folder.display();
                warn!(%folder, %error, "cannot remove old log files");
            }
        }
        written
    }
}

/// Leaves so many of the files that are called `NAME.2026-11-24` or `NAME.2026-11-24-17`: those
/// of the latest times.
fn prune(folder: &Path, name: &str, keep: usize) -> io::Result<()> {
    // What `Path::parent` says of a name alone.
    let here = Path::new(".");
    let folder = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    let mut dated = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.file_name();
        let date = found
            .to_str()
            .and_then(|found| found.strip_prefix(name)?.strip_prefix('.'));
        if date.is_some_and(is_date) && entry.file_type()?.is_file() {
            dated.push(entry.path());
        }
    }
    // Their names are in the order of their times.
    dated.sort();
    let surplus = dated.len().saturating_sub(keep);
    dated.iter().take(surplus).try_for_each(fs::remove_file)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().copied().all(digits)
        && matches!(
            *parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [4, 2, 2] | [4, 2, 2, 2]
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_of_a_size_are_numbered_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "earlier\n").unwrap();
        let mut log = Numbered::open(&path, 10, NonZeroU16::new(2)).unwrap();
        for line in ["1\n", "two\n", "three\n", "longer than any file\n", "end\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(names(folder.path()), ["log", "log.1", "log.2"]);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("log"), "end\n");
        assert_eq!(read("log.1"), "longer than any file\n", "in one piece");
        assert_eq!(read("log.2"), "two\nthree\n");
    }

    #[test]
    fn what_cannot_be_moved_away_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::create_dir_all(folder.path().join("log.1/x")).unwrap();
        let mut log = Numbered::open(&path, 4, None).unwrap();
        for line in ["one\n", "two\n", "3\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n3\n");
    }

    #[test]
    fn of_dated_files_the_latest_are_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let dated = ["2020-01-02", "2020-01-03", "2020-01-04-07"].map(|at| format!("log.{at}"));
        let others = ["log", "log.1", "log.2020-01-01.gz", "login.2020-01-01"];
        for name in dated.iter().map(String::as_str).chain(others) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("log.2020-01-01")).unwrap();
        let path = folder.path().join("log");
        let mut log = Dated::daily(&path, NonZeroU16::new(1)).unwrap();
        log.write_all(b"line\n").unwrap();
        let mut left = names(folder.path());
        left.retain(|name| !others.contains(&name.as_str()));
        let [folder, kept, today] = left.as_slice() else {
            panic!("{left:?}");
        };
        assert_eq!((folder.as_str(), kept), ("log.2020-01-01", &dated[2]));
        assert!(is_date(today.strip_prefix("log.").unwrap()), "{today}");
    }
}
