//! Signals become events, on a thread of their own.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::event::{EndSignal, Event, Events};

/// Hears signals from now on.
///
/// # Errors
/// The handlers cannot be installed or the thread not be started.
pub(super) fn listen(events: Events) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                let event = match signal {
                    SIGTERM => Event::End(EndSignal::Terminate),
                    SIGINT => Event::End(EndSignal::Interrupt),
                    SIGHUP => Event::Reload,
                    SIGUSR1 => Event::Reopen,
                    SIGUSR2 => Event::Upgrade,
                    _ => continue,
                };
                if !events.send(event) {
                    return;
                }
            }
        })?;
    Ok(())
}
