//! Secrets: what no log, no diagnostic and no printed configuration may show.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Deserialize;

use super::{BuildContext, Problem, Span};

/// A secret as the file writes it. It cannot be printed by accident.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The permissions that a file of secrets may have: its owner's, and reading for its group.
const MODE_MAX: u32 = 0o640;

/// How large a file of secrets may be: a hundred thousand users with their hashes.
pub const SECRET_FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file of secrets.
///
/// # Errors
/// It cannot be read, is too large, or is not UTF-8.
pub fn read_secret_file(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut text = String::new();
    let limit = SECRET_FILE_BYTES_MAX.saturating_add(1);
    file.take(limit).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(text)
}

impl BuildContext<'_> {
    /// Reads a file that may be read by everyone: public keys.
    pub fn text_file(&self, path: &Path, span: &Span) -> Result<String, Box<Problem>> {
        let path = self.path(path);
        read_secret_file(&path).map_err(|error| unreadable(&path, span, &error))
    }

    /// Reads a file of secrets, and warns if too many may read it too.
    pub fn secret_file(&mut self, path: &Path, span: &Span) -> Result<String, Box<Problem>> {
        let text = self.text_file(path, span)?;
        self.warn_if_open(path, span)?;
        Ok(text)
    }

    /// Warns if too many may read a file of secrets.
    pub fn warn_if_open(&mut self, path: &Path, span: &Span) -> Result<(), Box<Problem>> {
        let path = self.path(path);
        let metadata = std::fs::metadata(&path);
        let metadata = metadata.map_err(|error| unreadable(&path, span, &error))?;
        let mode = metadata.permissions();
        let mode = mode.mode() & 0o777;
        if mode & !MODE_MAX != 0 {
            let message = format!(
                "{} holds secrets and has the permissions {mode:04o}",
                path.display()
            );
            self.warnings.push(
                Problem::warning("W0203", span.clone(), message)
                    .hint(format!("chmod 0640 {}", path.display())),
            );
        }
        Ok(())
    }
}

fn unreadable(path: &Path, span: &Span, error: &io::Error) -> Box<Problem> {
    let message = format!("cannot read {}: {error}", path.display());
    Box::new(Problem::error("E0201", span.clone(), message).hint(
        "it must be readable for the user that the daemon runs as; under systemd, \
         LoadCredential= puts it into ${CREDENTIALS_DIRECTORY}",
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::build::CarryOver;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::from(String::from("s3"));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.expose(), "s3");
    }

    #[test]
    fn a_file_that_others_may_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "s3").unwrap();
        for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o400, 0), (0o644, 1), (0o660, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let mut carry_over = CarryOver::default();
            let mut cx = BuildContext::new(&mut carry_over, folder.path().into());
            let text = cx.secret_file(Path::new("secret"), &Span::default());
            assert_eq!(text.unwrap(), "s3");
            assert_eq!(cx.warnings.len(), warnings, "{mode:o}");
        }
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, folder.path().into());
        assert!(cx.secret_file(Path::new("none"), &Span::default()).is_err());
    }
}
