//! What the service manager is told. Without one (no `NOTIFY_SOCKET`), nothing is said.

use std::time::Duration;

use std::os::fd::BorrowedFd;

use sd_notify::NotifyState;
use tracing::warn;

/// After how long without a word the service manager replaces the daemon. `None` if it does not
/// watch.
pub(super) fn watchdog_time() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The daemon is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Ready: at the start, and again after every reload, refused or not.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // systemd would kill who reloads without saying since when.
        Err(error) => warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// The daemon ends.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Another process is the daemon from now on.
pub(super) fn replaced_by(process: u32) {
    tell(&[NotifyState::MainPid(process)]);
}

/// The end will take this long, and no longer.
pub(super) fn ending_within(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Keep these listening sockets for the next process, under this name.
pub(super) fn keep(name: &str, sockets: &[BorrowedFd<'_>]) {
    // As many as a message may carry.
    for sockets in sockets.chunks(crate::sys::handover::DESCRIPTORS_MAX) {
        let states = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify_with_fds(&states, sockets) {
            warn!(%error, "cannot hand sockets to the service manager for keeping");
        }
    }
}

/// Do not keep the sockets of this name any longer.
pub(super) fn let_go(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot tell the service manager");
    }
}
