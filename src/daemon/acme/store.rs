//! What is kept on disk: accounts, certificates with their keys, and when which was tried.
//!
//! ```text
//! /var/lib/httpserverd/acme/                     0700
//!   acme-v02.api.letsencrypt.org_directory/      0700, one folder an authority
//!     account.json                               0600, the account and its key
//!     example.com.pem                            0600, a key and its chain: always of one piece
//!     example.com.tries                          0600, when it was ordered, a time a line
//!     lock                                       0600, locked by the daemon that orders
//! ```
//!
//! Every file is written beside its place and then renamed: whatever happens, there is the old
//! one or the new one. Daemons that share a folder order one after the other, and find what the
//! one before has had issued.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::generation::acme::Authority;
use crate::sys::tls::Certificate;

/// How large a file may be that is read: a chain with its key has some 6 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder of one authority.
#[derive(Debug, Clone)]
pub(super) struct Store(PathBuf);

/// The right to order in a folder, until this is dropped or the daemon ends, however it does.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Store {
    /// That of this authority; nothing is made yet.
    pub(super) fn of(authority: &Authority) -> Self {
        Self(authority.store.join(folder_of(&authority.directory)))
    }

    /// The right to order there, for as long as it is kept; `None` while another daemon has it.
    pub(super) fn turn(&self) -> Result<Option<Turn>, String> {
        let path = self.0.join("lock");
        let locked = || {
            let file = self.open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(Turn { _lock: file })),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        };
        locked().map_err(|error| failed("write", &path, &error))
    }

    /// The account there, as it was written, if there is one.
    pub(super) fn account(&self) -> Result<Option<Vec<u8>>, String> {
        self.read("account.json")
    }

    /// Keeps an account.
    pub(super) fn keep_account(&self, account: &[u8]) -> Result<(), String> {
        self.write("account.json", account)
    }

    /// Forgets the account: the authority does not know it any more. What was known of it stays
    /// in a file that nothing reads.
    pub(super) fn forget_account(&self) -> Result<(), String> {
        let path = self.0.join("account.json");
        let old = self.0.join("account.json.old");
        fs::rename(&path, old).map_err(|error| failed("move", &path, &error))
    }

    /// The certificate of this name, if there is one.
    pub(super) fn certificate(&self, name: &str) -> Result<Option<Certificate>, String> {
        let file = format!("{name}.pem");
        let Some(text) = self.read(&file)? else {
            return Ok(None);
        };
        match Certificate::from_pem(&text, &text) {
            Ok(certificate) => Ok(Some(certificate)),
            Err(mistake) => {
                let path = self.0.join(file);
                Err(format!("{} {}", path.display(), mistake.what))
            }
        }
    }

    /// Keeps a certificate and its key.
    pub(super) fn keep_certificate(
        &self,
        name: &str,
        key: &str,
        chain: &str,
    ) -> Result<(), String> {
        self.write(&format!("{name}.pem"), format!("{key}{chain}").as_bytes())
    }

    /// When this certificate was tried to be had.
    pub(super) fn tries(&self, name: &str) -> Result<Vec<Duration>, String> {
        let file = format!("{name}.tries");
        let Some(text) = self.read(&file)? else {
            return Ok(Vec::new());
        };
        let text = String::from_utf8_lossy(&text);
        let times: Result<Vec<u64>, _> = text.lines().map(str::parse).collect();
        let times = times.map_err(|_| {
            let path = self.0.join(&file);
            format!("{} holds something else than times", path.display())
        })?;
        let mut times: Vec<_> = times.into_iter().map(Duration::from_secs).collect();
        times.sort_unstable();
        Ok(times)
    }

    /// Keeps when this certificate was tried to be had.
    pub(super) fn keep_tries(&self, name: &str, tries: &[Duration]) -> Result<(), String> {
        let lines = tries.iter().map(|time| format!("{}\n", time.as_secs()));
        let text: String = lines.collect();
        self.write(&format!("{name}.tries"), text.as_bytes())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.0.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let mut content = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut content);
        read.map_err(|error| failed("read", &path, &error))?;
        Ok(Some(content))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let path = self.0.join(name);
        let whole = || {
            let beside = self.0.join(format!("{name}.new"));
            let mut file = self.open(&beside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            // The name, too, shall be there after the machine lost its power.
            File::open(&self.0)?.sync_all()
        };
        whole().map_err(|error: io::Error| failed("write", &path, &error))
    }

    /// Opens a file to be written from its start, and makes the folder for it.
    fn open(&self, path: &Path) -> io::Result<File> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

/// The name of an authority's folder: its URL, with other signs for those that a name of a file
/// cannot have. No two URLs give the same.
fn folder_of(directory: &str) -> String {
    let mut name = String::new();
    for byte in directory.trim_start_matches("https://").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            b'/' => name.push('_'),
            b':' => name.push('+'),
            _ => name.extend(percent_encoded(byte)),
        }
    }
    name
}

fn percent_encoded(byte: u8) -> [char; 3] {
    let digit = |nibble| char::from_digit(nibble, 16).unwrap_or('0');
    let byte = u32::from(byte);
    ['%', digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store(folder: &Path) -> Store {
        Store::of(&Authority {
            directory: "https://ca.example:14000/dir".into(),
            contact: Vec::new(),
            roots: None,
            account: None,
            store: folder.join("acme"),
        })
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_kept_is_there_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(store.account(), Ok(None));
        assert!(store.certificate("a.example").unwrap().is_none());
        assert_eq!(store.tries("a.example"), Ok(Vec::new()));

        store.keep_account(b"{}").unwrap();
        store.keep_account(b"{1}").unwrap();
        assert_eq!(store.account().unwrap().unwrap(), b"{1}");
        let times = [7, 9].map(Duration::from_secs);
        store.keep_tries("a.example", &times).unwrap();
        assert_eq!(store.tries("a.example").unwrap(), times);

        let root = folder.path().join("acme");
        let own = root.join("ca.example+14000_dir");
        assert_eq!((mode(&root), mode(&own)), (0o700, 0o700));
        let mut files: Vec<_> = fs::read_dir(&own).unwrap().map(|e| e.unwrap()).collect();
        files.sort_by_key(fs::DirEntry::file_name);
        let names: Vec<_> = files.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(names, ["a.example.tries", "account.json"]);
        assert!(files.iter().all(|file| mode(&file.path()) == 0o600));

        store.forget_account().unwrap();
        assert_eq!(store.account(), Ok(None));
    }

    #[test]
    fn one_at_a_time_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| store(folder.path()));
        let turn = one.turn().unwrap();
        assert!(turn.is_some());
        assert!(other.turn().unwrap().is_none());
        drop(turn);
        assert!(other.turn().unwrap().is_some());
        let lock = folder.path().join("acme/ca.example+14000_dir/lock");
        assert_eq!(mode(&lock), 0o600);
    }

    #[test]
    fn what_is_spoilt_is_told_and_nothing_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.keep_account(b"").unwrap();
        let own = folder.path().join("acme/ca.example+14000_dir");
        for content in ["", "-----BEGIN CERTIFICATE-----\nAA", "\0\u{1}\n", "x"] {
            fs::write(own.join("a.pem"), content).unwrap();
            let told = store.certificate("a").unwrap_err();
            assert!(told.contains("a.pem"), "{told}");
        }
        fs::write(own.join("a.tries"), "17\nyesterday\n").unwrap();
        assert!(store.tries("a").unwrap_err().contains("a.tries"));
        fs::create_dir(own.join("b.pem")).unwrap();
        assert!(store.certificate("b").unwrap_err().contains("b.pem"));
        // A file stands where the folder should.
        fs::remove_dir_all(&own).unwrap();
        fs::write(&own, "").unwrap();
        assert!(
            store
                .keep_account(b"")
                .unwrap_err()
                .contains("cannot write")
        );
    }

    #[test]
    fn every_authority_has_a_folder_of_its_own() {
        let letsencrypt = "https://acme-v02.api.letsencrypt.org/directory";
        assert_eq!(
            folder_of(letsencrypt),
            "acme-v02.api.letsencrypt.org_directory"
        );
        assert_eq!(folder_of("https://../a"), "%2e._a");
        let urls = [
            "https://a/b",
            "https://a_b",
            "https://a:b",
            "https://a+b",
            "https://a%2Fb",
        ];
        let mut names = urls.map(folder_of).to_vec();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), urls.len());
        assert!(names.iter().all(|name| !name.contains('/')));
    }
}
