//! The task that drives a shared connection, to its end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection as Engine;
use tracing::debug;

use super::Link;
use super::wire::Wire;
use crate::exchange::Deadline;
use crate::handlers::proxy::connect::Counted;
use crate::handlers::proxy::pool::IdleList;

/// Drives a connection.
pub(super) struct Driver {
    pub(super) engine: Engine<Wire, Bytes>,
    pub(super) link: Weak<Link>,
    pub(super) list: Weak<IdleList>,
    pub(super) deadline: Deadline,
    pub(super) idle_timeout: Duration,
    /// Nobody uses it: it waits for somebody, or to have said goodbye.
    pub(super) resting: bool,
    pub(super) _counted: Counted,
}

impl Driver {
    pub(super) async fn run(mut self) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        debug!(?ended, "an HTTP/2 connection to a server has ended");
        if let Some(link) = self.link.upgrade() {
            self.forget(&link);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut self.engine).poll(cx) {
                return Poll::Ready(ended);
            }
            let link = self.link.upgrade();
            if let Some(link) = &link {
                link.driver.replace(Some(cx.waker().clone()));
            }
            self.rest(link.as_deref().is_none_or(|link| link.open.get() == 0));
            if !self.resting || self.deadline.poll_past(cx).is_pending() {
                return Poll::Pending;
            }
            let Some(link) = link else {
                // The server has not taken the goodbye in all this time.
                return Poll::Ready(Ok(()));
            };
            self.forget(&link);
            // There is as long again to say so.
            self.resting = false;
        }
    }

    /// Sets the deadline of a connection that nobody uses.
    fn rest(&mut self, resting: bool) {
        if resting != self.resting {
            self.resting = resting;
            if resting {
                self.deadline.set(self.idle_timeout);
            } else {
                self.deadline.clear();
            }
        }
    }

    /// Nobody shall use it any more.
    fn forget(&self, link: &Rc<Link>) {
        link.ended.set(true);
        if let Some(list) = self.list.upgrade() {
            list.shared.tidy();
        }
    }
}
