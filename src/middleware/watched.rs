//! A file of secrets that is read again when it changes.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::current::Current;
use crate::build::Probe;
use crate::build::secret::read_secret_file;

/// How often a file is looked at; who changes it does not notice.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads the text of a file; what is wrong in it, without showing it.
type Read<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// Puts what a file holds in place of what it held.
pub(super) struct Watched<T> {
    path: PathBuf,
    what: &'static str,
    read: Read<T>,
    current: Arc<Current<T>>,
    /// What the file looked like when it was last read; `None` before the first run, which reads
    /// it in any case: it may have changed right after it was read.
    seen: Mutex<Option<Seen>>,
}

/// What a file looked like; nothing if it was not there.
type Seen = Option<Look>;

/// What tells a file from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Look {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl<T> Watched<T> {
    /// Watches a file that was read when the configuration was.
    pub(super) fn new(
        path: PathBuf,
        what: &'static str,
        current: &Arc<Current<T>>,
        read: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            seen: Mutex::new(None),
            path,
            what,
            read: Box::new(read),
            current: Arc::clone(current),
        }
    }
}

impl<T: Send + Sync + 'static> Probe for Watched<T> {
    fn name(&self) -> String {
        format!("the {} of {}", self.what, self.path.display())
    }

    fn interval(&self) -> Duration {
        LOOK_EVERY
    }

    /// Reads the file if it has changed. What cannot be read leaves everything as it is.
    fn run(&self) {
        let look = Look::at(&self.path);
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.replace(look)
        };
        if before == Some(look) {
            return;
        }
        let (file, what) = (self.path.display(), self.what);
        let text = read_secret_file(&self.path).map_err(|error| error.to_string());
        match text.and_then(|text| (self.read)(&text)) {
            Ok(value) => {
                self.current.set(value);
                if before.is_some() {
                    info!(%file, what, "read again what changed");
                }
            }
            Err(problem) => warn!(%file, what, problem, "cannot be read; all stays as it was"),
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    #[test]
    fn a_file_is_read_when_it_changes_and_what_it_held_kept_while_it_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let write = |text: &str| {
            let beside = folder.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, &path).unwrap();
        };
        write("1");
        let current = Arc::new(Current::new(0));
        let read = |text: &str| text.parse::<u8>().map_err(|error| error.to_string());
        let watched = Watched::new(path.clone(), "number", &current, read);
        let request = TestRequest::get("/");
        let check = |expected| {
            watched.run();
            assert_eq!(*current.get(&request.locals), expected);
        };
        // The first run reads what was there when it was built, whatever came between.
        check(1);
        check(1);
        write("2");
        check(2);
        write("nonsense");
        check(2);
        write("3");
        check(3);
        fs::remove_file(&path).unwrap();
        check(3);
    }
}
