//! Which file answers for a path.

use std::borrow::Cow;
use std::fs::{File, Metadata};

use rustix::io::Errno;

use super::representation::Identity;
use crate::sys::beneath::Root;

/// What of the settings decides which file answers.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// What answers for a directory, the first there is.
    pub(super) index: Vec<Box<str>>,
    /// What answers for a path, the first there is.
    pub(super) attempts: Vec<Attempt>,
    /// What answers if nothing else does.
    pub(super) fallback: Option<Box<str>>,
    /// Whether directories without an index are listed.
    pub(super) listing: bool,
    /// Whether names that start with a dot exist.
    pub(super) dotfiles: bool,
}

/// A member of `try`: what stands around `{path}`.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    before: Box<[u8]>,
    /// `None` if there is no `{path}`: a fixed file.
    after: Option<Box<[u8]>>,
}

impl Attempt {
    pub(super) fn new(text: &str) -> Self {
        match text.split_once("{path}") {
            None => Self {
                before: text.as_bytes().into(),
                after: None,
            },
            Some((before, after)) => Self {
                before: before.as_bytes().into(),
                after: Some(after.as_bytes().into()),
            },
        }
    }

    fn apply<'p>(&'p self, path: &'p [u8]) -> Cow<'p, [u8]> {
        match &self.after {
            None => Cow::Borrowed(&self.before),
            Some(after) if self.before.is_empty() && after.is_empty() => Cow::Borrowed(path),
            Some(after) => Cow::Owned([&self.before, path, after].concat()),
        }
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// This file.
    File(Hit),
    /// A directory to be listed.
    Listing(File),
    /// A directory that was asked for without the slash at its end.
    Directory,
}

/// A file that answers.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// Its path beneath the root, without a slash at its start.
    pub(super) name: Vec<u8>,
    /// The path it is kept under: that of the request, unless the same file answers for
    /// countless paths, as a fallback does.
    pub(super) key: Vec<u8>,
}

/// Why nothing answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// There is nothing.
    Nothing,
    /// A directory that is not listed and has no index.
    Unlisted,
    /// The permissions, or the policy for symbolic links, forbid it.
    Refused(Errno),
    /// The file system failed.
    Failed(Errno),
}

impl From<Errno> for Missed {
    fn from(error: Errno) -> Self {
        match error {
            // EINVAL and EILSEQ: a name this file system could not have. ENXIO and ENODEV: a
            // socket, a device without a driver.
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::ILSEQ
            | Errno::NXIO
            | Errno::NODEV => Self::Nothing,
            Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::XDEV => Self::Refused(error),
            other => Self::Failed(other),
        }
    }
}

impl Site {
    /// Finds what answers for a path, which starts with a slash or is empty: the root asked for
    /// without the slash at its end.
    pub(super) fn find(&self, root: &Root, path: &[u8]) -> Result<Found, Missed> {
        let mut missed = Missed::Nothing;
        for attempt in &self.attempts {
            let candidate = attempt.apply(path);
            let key = match attempt.after {
                Some(_) => path,
                None => &*candidate,
            };
            match self.find_one(root, &candidate, key) {
                // Only the path itself can be redirected.
                Ok(Found::Directory) if *candidate != *path => {}
                Err(Missed::Nothing) => {}
                Err(Missed::Unlisted) => missed = Missed::Unlisted,
                done => return done,
            }
        }
        match &self.fallback {
            Some(fallback) => self.find_one(root, fallback.as_bytes(), fallback.as_bytes()),
            None => Err(missed),
        }
    }

    fn find_one(&self, root: &Root, path: &[u8], key: &[u8]) -> Result<Found, Missed> {
        if self.is_hidden(path) {
            return Err(Missed::Nothing);
        }
        let name = beneath(path);
        let (name, wants_directory) = match name.strip_suffix(b"/") {
            Some(name) => (name, true),
            None => (name, name.is_empty() && !path.is_empty()),
        };
        let (file, metadata) = open(root, name)?;
        if metadata.is_dir() {
            return self.in_directory(root, file, name, key, wants_directory);
        }
        if wants_directory {
            return Err(Missed::Nothing);
        }
        if !metadata.is_file() {
            return Err(Missed::Refused(Errno::ACCESS));
        }
        Ok(Found::File(Hit {
            file,
            identity: Identity::of(&metadata),
            name: name.to_vec(),
            key: key.to_vec(),
        }))
    }

    fn in_directory(
        &self,
        root: &Root,
        directory: File,
        name: &[u8],
        key: &[u8],
        wants_directory: bool,
    ) -> Result<Found, Missed> {
        let index = self.index_of(root, name)?;
        if !wants_directory && (index.is_some() || self.listing) {
            return Ok(Found::Directory);
        }
        match index {
            Some((file, identity, name)) => Ok(Found::File(Hit {
                file,
                identity,
                name,
                key: key.to_vec(),
            })),
            None if self.listing => Ok(Found::Listing(directory)),
            None => Err(Missed::Unlisted),
        }
    }

    fn index_of(
        &self,
        root: &Root,
        directory: &[u8],
    ) -> Result<Option<(File, Identity, Vec<u8>)>, Missed> {
        for index in &self.index {
            let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            let name = [directory, separator, index.as_bytes()].concat();
            match open(root, &name) {
                Ok((file, metadata)) if metadata.is_file() => {
                    return Ok(Some((file, Identity::of(&metadata), name)));
                }
                Ok(_) | Err(Missed::Nothing) => {}
                Err(missed) => return Err(missed),
            }
        }
        Ok(None)
    }

    /// Whether a segment starts with a dot and such names do not exist here. `.well-known` does
    /// at the root: being found there is what it is for (RFC 8615). `..` never gets this far,
    /// and would not be let through.
    pub(super) fn is_hidden(&self, path: &[u8]) -> bool {
        let mut segments = beneath(path).split(|&byte| byte == b'/');
        let first = segments.next().unwrap_or_default();
        self.is_hidden_name(first) && first != b".well-known"
            || segments.any(|segment| self.is_hidden_name(segment))
    }

    /// Whether this name does not exist here, wherever it stands.
    pub(super) fn is_hidden_name(&self, name: &[u8]) -> bool {
        name.starts_with(b".") && (!self.dotfiles || matches!(name, b"." | b".."))
    }
}

/// Opens a file or directory beneath the root and looks at it.
pub(super) fn open(root: &Root, name: &[u8]) -> Result<(File, Metadata), Missed> {
    let file = root.open_read(name)?;
    match file.metadata() {
        Ok(metadata) => Ok((file, metadata)),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO).into()),
    }
}

/// Without the slash at its start.
fn beneath(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}
