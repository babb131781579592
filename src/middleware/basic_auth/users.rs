//! Who there is: users and their hashes, from the configuration and from a file that is watched.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::hash::Hash;
use crate::build::Probe;
use crate::build::secret::read_secret_file;

/// Users and the hashes of their passwords.
#[derive(Debug, Default, Clone)]
pub(super) struct Users {
    by_name: HashMap<Box<str>, Hash>,
    /// Every hash, for those who are nobody to be measured by.
    all: Vec<Hash>,
    key: RandomState,
}

/// How often a file is looked at; who adds a user does not notice.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Users {
    /// Adds a user; `false` if there is one of this name.
    pub(super) fn add(&mut self, name: &str, hash: Hash) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        self.all.push(hash.clone());
        self.by_name.insert(name.into(), hash);
        true
    }

    /// Adds those of a file of lines such as `alice:$2y$…`.
    ///
    /// # Errors
    /// The first line that is wrong, without what it holds.
    pub(super) fn add_lines(&mut self, text: &str) -> Result<(), (String, String)> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong =
                |(message, hint): (String, String)| (format!("line {number}: {message}"), hint);
            let Some((name, hash)) = line.split_once(':') else {
                return Err(wrong((
                    "there is no colon".to_owned(),
                    "write a user and a hash: alice:$2y$…".to_owned(),
                )));
            };
            // Behind a second colon some programs keep remarks.
            let hash = hash.split(':').next().unwrap_or_default();
            if !is_name(name) {
                return Err(wrong(bad_name()));
            }
            let hash = Hash::parse(hash).map_err(wrong)?;
            if !self.add(name, hash) {
                return Err(wrong((
                    format!("there is another user `{name}`"),
                    "keep one of the two".to_owned(),
                )));
            }
        }
        Ok(())
    }

    /// The hash of a user.
    pub(super) fn hash_of(&self, name: &str) -> Option<&Hash> {
        self.by_name.get(name)
    }

    /// What a stranger is measured by: always the same for one name, so that neither the time
    /// that an answer takes nor its changes tell who there is.
    pub(super) fn stand_in(&self, name: &str) -> Option<&Hash> {
        let count = u64::try_from(self.all.len())
            .ok()
            .filter(|&count| count > 0)?;
        let at = self.key.hash_one(name) % count;
        self.all.get(usize::try_from(at).unwrap_or(0))
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// What a user may be called (RFC 7617 §2).
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control())
}

pub(super) fn bad_name() -> (String, String) {
    (
        "a user without a name, or with one that no client could send".to_owned(),
        "names have no colon and no control characters".to_owned(),
    )
}

/// The users as they are now. Shared by all workers; each asks for the number first, which is
/// written only when the users change.
#[derive(Debug)]
pub(super) struct Directory {
    version: AtomicU64,
    users: Mutex<Arc<Users>>,
    inline: Users,
    file: Option<PathBuf>,
    /// What the file looked like when it was last read.
    seen: Mutex<Option<Look>>,
}

/// Counts every state of any directory, so that none is taken for another.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

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

impl Directory {
    /// Those of the configuration, and those of a file if there is one, as it was read.
    ///
    /// # Errors
    /// What is wrong in the file.
    pub(super) fn new(
        inline: Users,
        file: Option<(PathBuf, &str)>,
    ) -> Result<Self, (String, String)> {
        let mut users = inline.clone();
        if let Some((_, text)) = &file {
            users.add_lines(text)?;
        }
        let file = file.map(|(path, _)| path);
        Ok(Self {
            version: AtomicU64::new(VERSIONS.fetch_add(1, Ordering::Relaxed)),
            users: Mutex::new(Arc::new(users)),
            inline,
            seen: Mutex::new(file.as_deref().and_then(Look::at)),
            file,
        })
    }

    /// A number that no other state of the users has.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The users, and the number of this state.
    pub(super) fn users(&self) -> (u64, Arc<Users>) {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        (self.version(), Arc::clone(&users))
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    fn replace(&self, users: Users) {
        let mut place = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(users);
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        self.version.store(version, Ordering::Release);
    }
}

impl Probe for Directory {
    fn name(&self) -> String {
        let file = self.file.as_deref().map(Path::display);
        file.map_or_else(String::new, |file| format!("users of {file}"))
    }

    fn interval(&self) -> Duration {
        LOOK_EVERY
    }

    /// Reads the file if it has changed. What cannot be read leaves the users as they are.
    fn run(&self) {
        let Some(path) = &self.file else { return };
        let look = Look::at(path);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == look {
                return;
            }
            *seen = look;
        }
        let file = path.display();
        let mut users = self.inline.clone();
        let read = read_secret_file(path).map_err(|error| error.to_string());
        let read = read.and_then(|text| users.add_lines(&text).map_err(|(problem, _)| problem));
        if let Err(problem) = read {
            warn!(%file, problem, "cannot read the users; they stay as they were");
            return;
        }
        info!(%file, users = users.len(), "the users changed");
        self.replace(users);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e";

    #[test]
    fn lines() {
        let mut users = Users::default();
        let text = format!("# staff\n\nalice:{HASH}\r\nböb:{HASH}:remark\n");
        users.add_lines(&text).unwrap();
        assert_eq!(users.len(), 2);
        assert!(users.hash_of("böb").is_some() && users.hash_of("carol").is_none());
        for (text, expected) in [
            ("alice".to_owned(), "line 1: there is no colon"),
            (format!("\n:{HASH}"), "line 2: a user without a name"),
            (
                format!("alice:{HASH}"),
                "line 1: there is another user `alice`",
            ),
            ("carol:$apr1$x$y".to_owned(), "line 1: a hash of MD5"),
        ] {
            let (message, _) = users.clone().add_lines(&text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_stranger_is_always_measured_by_the_same_hash() {
        let mut users = Users::default();
        assert_eq!(users.stand_in("x"), None);
        for (name, hash) in [
            ("a", HASH),
            (
                "b",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
            ),
        ] {
            users.add(name, Hash::parse(hash).unwrap());
        }
        let first = users.stand_in("x").unwrap();
        assert!((0..10).all(|_| users.stand_in("x") == Some(first)));
        assert!((0..64).any(|n| users.stand_in(&n.to_string()) != Some(first)));
    }

    #[test]
    fn a_file_is_read_when_it_changes_and_kept_while_it_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let line = |name: &str| format!("{name}:{HASH}\n");
        let write = |text: &str| {
            let beside = folder.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, &path).unwrap();
        };
        write(&line("alice"));
        let mut inline = Users::default();
        inline.add("root", Hash::parse(HASH).unwrap());
        let directory = Directory::new(inline, Some((path.clone(), &line("alice")))).unwrap();
        let first = directory.version();
        directory.run();
        assert_eq!(directory.version(), first);
        write(&line("bob"));
        directory.run();
        let (second, users) = directory.users();
        assert!(second != first && users.hash_of("bob").is_some());
        assert!(users.hash_of("alice").is_none() && users.hash_of("root").is_some());
        for bad in ["nonsense", &line("root")] {
            write(bad);
            directory.run();
            assert_eq!(directory.version(), second);
        }
        fs::remove_file(&path).unwrap();
        directory.run();
        assert_eq!(directory.version(), second);
    }
}
