//! Files without a name: gone when the last who has them open closes them.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A new file in this folder, for reading and writing, by nobody else.
///
/// # Errors
/// The folder is not there or cannot be written to, or its file system knows no such files
/// (Linux: all common ones since 3.11 do).
pub fn file(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_file_has_no_name_and_keeps_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path()).unwrap();
        file.write_all_at(b"ab", 0).unwrap();
        let mut read = [0; 2];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"ab");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(super::file(&folder.path().join("none")).is_err());
    }
}
