//! Opening files beneath a directory, whatever their path holds and whoever moves things
//! meanwhile.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

/// Which symbolic links are followed beneath a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Symlinks {
    /// None: `ELOOP`.
    Deny,
    /// Those that stay beneath the root; others are `EXDEV`. Absolute ones count as leaving it.
    #[default]
    Within,
    /// All.
    Follow,
}

/// A directory that was opened once.
pub struct Root {
    directory: OwnedFd,
    /// Device and inode of the directory.
    identity: (u64, u64),
    path: PathBuf,
    symlinks: Symlinks,
    /// Whether this kernel has `openat2`, and lets us call it.
    in_kernel: bool,
}

/// A path through more links than this is a loop; the kernel's own number.
const LINKS_MAX: usize = 40;

/// The kernel's bound for a path.
const PATH_MAX: usize = 4096;

/// How often `openat2` is asked again when something moved while it looked.
const RACES_MAX: usize = 4;

/// A named pipe must not be waited for, and a terminal not become ours.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opens the directory. Its own path is trusted: links in it are followed.
    pub fn open(path: &Path, symlinks: Symlinks) -> Result<Self, Errno> {
        let directory = rustix::fs::open(path, PLACE, Mode::empty())?;
        let directory = File::from(directory);
        let metadata = directory.metadata().map_err(|error| errno(&error))?;
        let directory = OwnedFd::from(directory);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let probe = openat2(&directory, c".", PLACE, Mode::empty(), resolve);
        Ok(Self {
            directory,
            identity: (metadata.dev(), metadata.ino()),
            path: path.to_owned(),
            symlinks,
            // Sandboxes say EPERM to what they do not know.
            in_kernel: !matches!(probe, Err(Errno::NOSYS | Errno::PERM)),
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another root, if its path leads to another directory by now, as it does after a
    /// deployment that puts one in its place. `None` if all is as it was.
    pub fn renewed(&self) -> Result<Option<Self>, Errno> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| errno(&error))?;
        if (metadata.dev(), metadata.ino()) == self.identity {
            return Ok(None);
        }
        Self::open(&self.path, self.symlinks).map(Some)
    }

    /// Opens what this path, which has no slash at its start, leads to beneath the root: a
    /// file, a directory or anything else. Empty for the root itself.
    pub fn open_read(&self, path: &[u8]) -> Result<File, Errno> {
        if path.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let path = if path.is_empty() { b"." } else { path };
        let opened = match (self.in_kernel, self.symlinks) {
            (true, symlinks) => self.ask_kernel(path, symlinks),
            (false, Symlinks::Follow) => openat(&self.directory, path, READ, Mode::empty()),
            (false, Symlinks::Deny) => self.walk(path, 0),
            (false, Symlinks::Within) => self.walk(path, LINKS_MAX),
        };
        opened.map(File::from)
    }

    fn ask_kernel(&self, path: &[u8], symlinks: Symlinks) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::NO_MAGICLINKS
            | match symlinks {
                Symlinks::Deny => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                Symlinks::Within => ResolveFlags::BENEATH,
                Symlinks::Follow => ResolveFlags::empty(),
            };
        let mut races = 0;
        loop {
            match openat2(&self.directory, path, READ, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if races < RACES_MAX => races += 1,
                done => return done,
            }
        }
    }

    /// What `openat2` does, step by step: no step follows a link, and `..` goes back to a
    /// directory that was come through.
    fn walk(&self, path: &[u8], links_max: usize) -> Result<OwnedFd, Errno> {
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut ahead = steps(path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            if step == b".." {
                way.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let at = way.last().unwrap_or(&self.directory).as_fd();
            let is_last = ahead.is_empty();
            let flags = if is_last { READ } else { PLACE } | OFlags::NOFOLLOW;
            match openat(at, step.as_slice(), flags, Mode::empty()) {
                Ok(file) if is_last => return Ok(file),
                Ok(place) => way.push(place),
                // What stands at a link that is not followed: the one if it should be read, the
                // other if it should be a directory.
                Err(error @ (Errno::LOOP | Errno::NOTDIR)) => {
                    let target = link_target(at, &step).ok_or(error)?;
                    links += 1;
                    if links > links_max {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with(b"/") {
                        return Err(Errno::XDEV);
                    }
                    ahead.extend(steps(&target));
                }
                Err(error) => return Err(error),
            }
        }
        let at = way.last().unwrap_or(&self.directory);
        openat(at, c".", READ, Mode::empty())
    }
}

/// The steps of a path, the first one last.
fn steps(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|step| !matches!(*step, b"" | b"."))
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn link_target(at: BorrowedFd<'_>, step: &[u8]) -> Option<Vec<u8>> {
    let target = readlinkat(at, step, Vec::new()).ok()?;
    Some(target.into_bytes())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({}, {:?})", self.path.display(), self.symlinks)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn site() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        std::fs::write(at("secret"), "secret").unwrap();
        std::fs::write(at("root/file"), "file").unwrap();
        std::fs::write(at("root/a/b/deep"), "deep").unwrap();
        symlink("a/b", at("root/inside")).unwrap();
        symlink("../../file", at("root/a/b/up")).unwrap();
        symlink("../secret", at("root/outside")).unwrap();
        symlink("..", at("root/parent")).unwrap();
        symlink(at("root/file"), at("root/absolute")).unwrap();
        symlink("loop", at("root/loop")).unwrap();
        symlink("nothing", at("root/dangling")).unwrap();
        symlink("a/.", at("root/dotted")).unwrap();
        folder
    }

    /// What is read, by each policy: with the kernel and without.
    #[track_caller]
    fn check(path: &str, expected: [Result<&str, Errno>; 3]) {
        let folder = site();
        let policies = [Symlinks::Deny, Symlinks::Within, Symlinks::Follow];
        for (symlinks, expected) in policies.into_iter().zip(expected) {
            let mut root = Root::open(&folder.path().join("root"), symlinks).unwrap();
            for in_kernel in [root.in_kernel, false] {
                root.in_kernel = in_kernel;
                let read = root.open_read(path.as_bytes()).map(|mut file| {
                    let mut text = String::new();
                    match file.read_to_string(&mut text) {
                        Ok(_) => text,
                        Err(_) => "directory".to_owned(),
                    }
                });
                let expected = expected.map(str::to_owned);
                assert_eq!(read, expected, "{path} {symlinks:?} {in_kernel}");
            }
        }
    }

    #[test]
    fn what_is_beneath_is_opened() {
        check("file", [Ok("file"); 3]);
        check("a/b/deep", [Ok("deep"); 3]);
        check("a//b/./deep", [Ok("deep"); 3]);
        check("a/b/../b/deep", [Ok("deep"); 3]);
        check("", [Ok("directory"); 3]);
        check("a", [Ok("directory"); 3]);
        check("a/", [Ok("directory"); 3]);
        check("a/b/..", [Ok("directory"); 3]);
        check("none", [Err(Errno::NOENT); 3]);
        check("a/none/deep", [Err(Errno::NOENT); 3]);
        check("file/deep", [Err(Errno::NOTDIR); 3]);
        check(&"a/".repeat(2048), [Err(Errno::NAMETOOLONG); 3]);
    }

    #[test]
    fn links_are_followed_as_far_as_the_policy_goes() {
        let denied = Err(Errno::LOOP);
        let escaped = Err(Errno::XDEV);
        check("inside/deep", [denied, Ok("deep"), Ok("deep")]);
        check("inside/up", [denied, Ok("file"), Ok("file")]);
        check("a/b/up", [denied, Ok("file"), Ok("file")]);
        check("dotted", [denied, Ok("directory"), Ok("directory")]);
        check("dotted/b/deep", [denied, Ok("deep"), Ok("deep")]);
        check("outside", [denied, escaped, Ok("secret")]);
        check("parent/secret", [denied, escaped, Ok("secret")]);
        check("parent/root/file", [denied, escaped, Ok("file")]);
        check("absolute", [denied, escaped, Ok("file")]);
        check("loop", [Err(Errno::LOOP); 3]);
        check("dangling", [denied, Err(Errno::NOENT), Err(Errno::NOENT)]);
    }

    #[test]
    fn what_goes_up_above_the_root_is_refused() {
        let escaped = Err(Errno::XDEV);
        check("../secret", [escaped, escaped, Ok("secret")]);
        check("a/../../secret", [escaped, escaped, Ok("secret")]);
    }

    #[test]
    fn a_replaced_root_is_noticed() {
        let folder = site();
        let path = folder.path().join("root");
        let root = Root::open(&path, Symlinks::Within).unwrap();
        assert!(root.renewed().unwrap().is_none());
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        assert_eq!(root.renewed().err(), Some(Errno::NOENT));
        std::fs::create_dir(&path).unwrap();
        let renewed = root.renewed().unwrap().unwrap();
        assert!(root.open_read(b"file").is_ok());
        assert_eq!(renewed.open_read(b"file").err(), Some(Errno::NOENT));
        assert_eq!(root.path(), path);
        assert!(Root::open(&path.join("none"), Symlinks::Within).is_err());
    }

    #[test]
    fn a_pipe_does_not_block() {
        let folder = site();
        let root = Root::open(&folder.path().join("root"), Symlinks::Within).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        let pipe = folder.path().join("root/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let file = root.open_read(b"pipe").unwrap();
        assert!(!file.metadata().unwrap().is_file());
    }
}
