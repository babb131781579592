//! Hears of changes of the configuration's files.
//!
//! Folders are watched, not files: an editor that renames a new file over the old one, or a
//! symbolic link that is turned to another folder, leaves a watched file behind. Whether
//! anything has really changed is then seen by looking at the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::warn;

use super::event::{Event, Events};
use crate::config::Report;

/// As many symbolic links as the kernel follows (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// Watches files.
#[derive(Debug)]
pub(super) struct Watcher {
    /// `None` where the kernel gives no more watches; then only signals reload.
    notify: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    interest: Arc<Mutex<Interest>>,
    /// Set with an event, so that there is one at a time.
    touched: Arc<AtomicBool>,
    seen: Seen,
}

/// What matters of all that happens in the watched folders.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Files, and links on the way to them.
    entries: BTreeSet<PathBuf>,
    /// Folders of which any new file matters.
    folders: BTreeSet<PathBuf>,
}

/// What tells one state of a file from another; `None` if it is not there.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64, u32)>;

/// The state of files at some moment.
pub(super) type Seen = BTreeMap<PathBuf, Stamp>;

/// The state of these files now.
pub(super) fn look<'p>(files: impl IntoIterator<Item = &'p Path>) -> Seen {
    let state = |path: &Path| (path.to_path_buf(), stamp(path));
    files.into_iter().map(state).collect()
}

impl Watcher {
    /// Watches nothing yet.
    pub(super) fn new(events: Events) -> Self {
        let interest = Arc::<Mutex<Interest>>::default();
        let touched = Arc::<AtomicBool>::default();
        let (hears, tells) = (Arc::clone(&interest), Arc::clone(&touched));
        let notify = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = match &event {
                Ok(event) => {
                    let interest = hears.lock().unwrap_or_else(PoisonError::into_inner);
                    interest.matters(event)
                }
                // Events were lost: better to look once too often.
                Err(_) => true,
            };
            if matters && !tells.swap(true, Ordering::Relaxed) {
                events.send(Event::FilesTouched);
            }
        });
        let notify = notify
            .map_err(|error| warn!(%error, "cannot watch files: only SIGHUP reloads"))
            .ok();
        Self {
            notify,
            watched: BTreeSet::new(),
            interest,
            touched,
            seen: BTreeMap::new(),
        }
    }

    /// The event was taken: the next change is a new one.
    pub(super) fn taken(&self) {
        self.touched.store(false, Ordering::Relaxed);
    }

    /// The state of the files now, to be taken before they are read.
    pub(super) fn look(&self) -> Seen {
        look(self.seen.keys().map(PathBuf::as_path))
    }

    /// Whether the files are in another state than the one they were read in.
    pub(super) fn has_changed(&self) -> bool {
        self.look() != self.seen
    }

    /// Watches what a configuration was read from, or nothing if that is not wanted.
    pub(super) fn follow(&mut self, wanted: bool, report: &Report, before: &Seen) {
        if wanted {
            let folders = report.sources().directories();
            self.watch(&report.watched(), folders, before);
        } else {
            self.watch(&[], &[], before);
        }
    }

    /// Watches these files and folders from now on, and no others. `before` is what
    /// [`Self::look`] gave before they were read: what changed since then counts as a change.
    pub(super) fn watch(&mut self, files: &[PathBuf], folders: &[PathBuf], before: &Seen) {
        let mut interest = Interest::default();
        let mut wanted = BTreeSet::new();
        for path in files.iter().chain(folders) {
            way_to(path, LINKS_MAX, &mut interest.entries);
        }
        interest.folders = folders.iter().map(|folder| spelled(folder)).collect();
        wanted.extend(interest.entries.iter().filter_map(|entry| {
            let folder = entry.parent()?;
            Some(folder.to_path_buf())
        }));
        wanted.extend(interest.folders.iter().cloned());
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        self.set_watches(wanted);
        self.seen = files
            .iter()
            .chain(folders)
            .map(|path| {
                let known = before.get(path).copied();
                (path.clone(), known.unwrap_or_else(|| stamp(path)))
            })
            .collect();
    }

    fn set_watches(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(notify) = &mut self.notify else {
            return;
        };
        for gone in self.watched.difference(&wanted) {
            // The folder may be gone, and its watch with it.
            drop(notify.unwatch(gone));
        }
        for folder in &wanted {
            // Also those that were watched before: there may be another folder of that name now.
            // One that is not there is no mistake: the folder above says when it comes.
            if let Err(error) = notify.watch(folder, RecursiveMode::NonRecursive)
                && folder.exists()
            {
                let folder = folder.display();
                warn!(%folder, %error, "cannot watch a folder: changes there need SIGHUP");
            }
        }
        self.watched = wanted;
    }
}

impl Interest {
    fn matters(&self, event: &notify::Event) -> bool {
        let changes = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Any
            | EventKind::Other => true,
        };
        let known = |path: &PathBuf| {
            let folder = path.parent();
            self.entries.contains(path)
                || folder.is_some_and(|folder| self.folders.contains(folder))
        };
        changes && (event.paths.is_empty() || event.paths.iter().any(known))
    }
}

/// Adds the file, and every symbolic link that is followed to reach it, as they stand in their
/// folders.
fn way_to(path: &Path, links: usize, entries: &mut BTreeSet<PathBuf>) {
    let path = spelled(path);
    let mut reached = PathBuf::new();
    let mut rest = path.components();
    while let Some(component) = rest.next() {
        match component {
            Component::ParentDir => {
                reached.pop();
                continue;
            }
            component => reached.push(component),
        }
        let Ok(target) = fs::read_link(&reached) else {
            continue;
        };
        entries.insert(reached.clone());
        let folder = reached.parent().unwrap_or_else(|| Path::new("/"));
        if links > 0 {
            way_to(
                &folder.join(target).join(rest.as_path()),
                links - 1,
                entries,
            );
        }
        return;
    }
    entries.insert(reached);
}

/// The path from the root, as events name it.
fn spelled(path: &Path) -> PathBuf {
    // Fails only for an empty path, or without a current folder; then nothing can be watched.
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn stamp(path: &Path) -> Stamp {
    let of = |file: Metadata| {
        let (seconds, nanoseconds) = (file.mtime(), file.mtime_nsec());
        let (device, inode) = (file.dev(), file.ino());
        (
            device,
            inode,
            file.size(),
            seconds,
            nanoseconds,
            file.mode(),
        )
    };
    fs::metadata(path).ok().map(of)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::daemon::event::Inbox;

    struct Watched {
        folder: tempfile::TempDir,
        watcher: Watcher,
        inbox: Inbox,
    }

    impl Watched {
        /// A watcher of `c.toml` and `conf.d` in a folder that `prepare` has filled.
        fn new(prepare: impl FnOnce(&Path)) -> Self {
            let folder = tempfile::tempdir().unwrap();
            prepare(folder.path());
            let (events, inbox) = Events::new();
            let mut watched = Self {
                watcher: Watcher::new(events),
                folder,
                inbox,
            };
            watched.watch();
            watched
        }

        fn watch(&mut self) {
            let files = [self.folder.path().join("c.toml")];
            let folders = [self.folder.path().join("conf.d")];
            let before = self.watcher.look();
            self.watcher.watch(&files, &folders, &before);
        }

        /// Waits until a change is seen; takes it.
        #[track_caller]
        fn expect_change(&mut self) {
            loop {
                let event = self.inbox.recv_timeout(Duration::from_secs(20));
                assert_eq!(event, Ok(Event::FilesTouched));
                self.watcher.taken();
                if self.watcher.has_changed() {
                    break;
                }
            }
            self.watch();
            assert!(!self.watcher.has_changed());
        }
    }

    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("c.toml"), "1").unwrap();
            fs::create_dir(folder.join("conf.d")).unwrap();
        });
        let folder = watched.folder.path().to_path_buf();
        let file = folder.join("c.toml");
        fs::write(&file, "in place").unwrap();
        watched.expect_change();
        fs::write(folder.join("c.new"), "renamed over").unwrap();
        fs::rename(folder.join("c.new"), &file).unwrap();
        watched.expect_change();
        fs::remove_file(&file).unwrap();
        watched.expect_change();
        fs::write(&file, "back again").unwrap();
        watched.expect_change();
        fs::write(folder.join("conf.d/new.toml"), "").unwrap();
        watched.expect_change();
    }

    #[test]
    fn links_on_the_way_are_watched() {
        // As Kubernetes mounts a ConfigMap.
        let mut watched = Watched::new(|folder| {
            for version in ["v1", "v2"] {
                fs::create_dir(folder.join(version)).unwrap();
                fs::write(folder.join(version).join("c.toml"), version).unwrap();
            }
            symlink("v1", folder.join("..data")).unwrap();
            symlink("..data/c.toml", folder.join("c.toml")).unwrap();
        });
        let folder = watched.folder.path().to_path_buf();
        symlink("v2", folder.join("new")).unwrap();
        fs::rename(folder.join("new"), folder.join("..data")).unwrap();
        watched.expect_change();
        fs::write(folder.join("v2/c.toml"), "changed in the folder").unwrap();
        watched.expect_change();
    }

    #[test]
    fn what_does_not_matter_is_not_heard() {
        let mut watched = Watched::new(|folder| fs::write(folder.join("c.toml"), "1").unwrap());
        let folder = watched.folder.path().to_path_buf();
        fs::write(folder.join("access.log"), "a line").unwrap();
        fs::read(folder.join("c.toml")).unwrap();
        fs::write(folder.join("c.toml"), "changed").unwrap();
        watched.expect_change();
        let interest = watched.watcher.interest.lock().unwrap();
        let log = notify::Event::new(EventKind::Any).add_path(folder.join("access.log"));
        assert!(!interest.matters(&log));
    }

    #[test]
    fn a_change_between_reading_and_watching_counts() {
        let mut watched = Watched::new(|folder| fs::write(folder.join("c.toml"), "1").unwrap());
        let before = watched.watcher.look();
        let file = watched.folder.path().join("c.toml");
        fs::write(&file, "changed").unwrap();
        watched.watcher.watch(&[file], &[], &before);
        assert!(watched.watcher.has_changed());
    }
}
