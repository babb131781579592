//! Compares what a test made with what a file says it must be. `BLESS=1` rewrites the file.

use std::fs;
use std::path::Path;

/// Compares; what is different comes back, for all of a folder to be told at once.
pub(crate) fn compare(path: &Path, made: &str) -> Result<(), String> {
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(path, made).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == made {
        return Ok(());
    }
    Err(format!(
        "{} differs (BLESS=1 rewrites it)\n--- expected\n{expected}\n--- made\n{made}",
        path.display()
    ))
}
