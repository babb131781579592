//! Files that kinds read while they are built: lists, pages, keys.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The files beside the configuration that something was built from, and what was in them. They
/// are watched: a change of one builds everything anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<u64>>);

impl Files {
    /// Reads a file, which is watched from now on, also if it cannot be read.
    ///
    /// # Errors
    /// It cannot be read, or holds more than so many bytes.
    pub fn read(&mut self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let content = read(path, bytes_max);
        let seen = content.as_ref().ok().map(|content| {
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            hasher.finish()
        });
        self.0.insert(path.to_path_buf(), seen);
        content
    }

    /// Their paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Those of them that hold something else than before, or were not there before.
    pub fn changed_since<'f>(&'f self, before: &Self) -> impl Iterator<Item = &'f Path> {
        let changed =
            move |(path, seen): &(&PathBuf, &Option<u64>)| before.0.get(*path) != Some(*seen);
        let changed: Vec<_> = self.0.iter().filter(changed).collect();
        changed.into_iter().map(|(path, _)| path.as_path())
    }
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        let message = format!("it is larger than {} MiB", bytes_max >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_known_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, none] = ["one", "two", "none"].map(|name| folder.path().join(name));
        let look = |bytes_max| {
            let mut files = Files::default();
            let read = [&one, &two, &none].map(|path| files.read(path, bytes_max).is_ok());
            (files, read)
        };
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&two, "22").unwrap();
        let (before, read) = look(2);
        assert_eq!(read, [true, true, false]);
        assert_eq!(before.paths().count(), 3);
        std::fs::write(&one, "1").unwrap();
        assert_eq!(look(2).0, before);
        std::fs::write(&two, "2 ").unwrap();
        std::fs::write(&none, "").unwrap();
        let (after, _) = look(2);
        let changed: Vec<_> = after.changed_since(&before).collect();
        assert_eq!(changed, [&none, &two]);
        assert_eq!(look(1).1, [true, false, true]);
    }
}
