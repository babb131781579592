//! Hearing what a process says to the service manager, and waiting for its end.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{deadline, left};

/// Waits until a process has ended.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    let left = left(deadline()).map(|left| left.try_into().unwrap());
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref());
    ended == Ok(1)
}

/// Takes what the process says to the service manager, on a thread of its own: a sender whose
/// messages nobody takes would wait. An empty message is the last: the process has ended.
pub(super) fn hear(notify: UnixDatagram, pidfd: OwnedFd) -> Receiver<String> {
    let (sender, messages) = channel();
    let thread = move || {
        loop {
            let message = PollFd::new(&notify, PollFlags::IN);
            let end = PollFd::new(&pidfd, PollFlags::IN);
            let mut polled = [message, end];
            poll(&mut polled, None).unwrap();
            let heard = if polled[0].revents().is_empty() {
                String::new()
            } else {
                let mut bytes = [0; 4096];
                let length = notify.recv(&mut bytes).unwrap();
                String::from_utf8(bytes[..length].to_vec()).unwrap()
            };
            let last = heard.is_empty();
            if sender.send(heard).is_err() || last {
                return;
            }
        }
    };
    let builder = thread::Builder::new().name("notify".into());
    builder.spawn(thread).unwrap();
    messages
}

/// Waits until a process has ended; its exit code (none if a signal killed it). `None` if it
/// runs on.
pub(super) fn wait_exit(child: &mut Child) -> Option<Option<i32>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    has_ended(&pidfd).then(|| child.wait().unwrap().code())
}
