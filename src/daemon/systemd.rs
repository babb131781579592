//! What the service manager is told. Without one (no `NOTIFY_SOCKET`), nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// How often to say that the daemon is alive: twice in the time after which the service manager
/// would replace it. `None` if it does not watch.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|time| time / 2)
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

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot tell the service manager");
    }
}
