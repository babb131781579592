//! Reading small files without stalling the worker.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

use crate::exchange::{BlockingPool, PoolFull};

/// Files up to this size are kept in memory. Sending one takes a `writev` less than with
/// `sendfile`; beyond some tens of kilobytes copying costs more than that saves.
pub(super) const SMALL: u64 = 32 << 10;

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The file system failed.
    Failed(Errno),
    /// It must be waited for, and too many wait already.
    Overloaded,
}

/// Reads a file of this size. Empty or short if the file has become so.
///
/// What the page cache has is read at once; what would have to come from the disk is waited
/// for on a thread that may.
pub(super) async fn read(
    file: &Arc<File>,
    size: usize,
    pool: &BlockingPool,
) -> Result<Bytes, ReadError> {
    let mut buffer = vec![0; size];
    if read_ready(file, &mut buffer) {
        return Ok(buffer.into());
    }
    let file = Arc::clone(file);
    let read = pool.run(move || {
        let length = read_all(&file, &mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    });
    match read.await {
        Ok(Ok(buffer)) => Ok(buffer.into()),
        Ok(Err(error)) => Err(ReadError::Failed(error)),
        Err(PoolFull) => Err(ReadError::Overloaded),
    }
}

/// Fills the buffer with what can be had without waiting; whether that was all of it. Any
/// error here is met again, and reported, by the read that may wait.
fn read_ready(file: &File, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let slices = &mut [IoSliceMut::new(rest)];
        match rustix::io::preadv2(file, slices, filled as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(_) => return false,
            Ok(read) => filled += read,
        }
    }
    true
}

fn read_all(file: &File, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
    Ok(filled)
}
