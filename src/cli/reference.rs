//! `reference`: every key of the configuration, as a page.

use std::io::{self, Write};

use crate::config::reference::reference;

/// Prints the page.
pub(super) fn print(out: &mut impl Write) -> io::Result<u8> {
    out.write_all(reference().as_bytes())?;
    Ok(0)
}
