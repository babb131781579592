//! Where an exchange is served: a large future that serves one after the other.
//!
//! Most exchanges are over when they are polled once, on the spot. Only one that waits becomes a
//! task, and takes its seat along.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tracing::error;

use super::exchange::{self, Asked};
use super::session::Session;
use crate::http::RequestHead;

/// A head that has grown beyond so many fields is not kept for the next exchange.
const FIELDS_KEPT: usize = 128;

/// A future that is made once and serves one exchange after the other.
pub(super) struct Seat {
    serving: Pin<Box<dyn Future<Output = Infallible>>>,
    tray: Rc<Tray>,
}

/// What is handed to the future, and what it hands back.
#[derive(Default)]
struct Tray {
    next: Cell<Option<Asked>>,
    served: Cell<bool>,
    overgrown: Cell<bool>,
}

impl Default for Seat {
    fn default() -> Self {
        let tray = Rc::<Tray>::default();
        Self {
            serving: Box::pin(serve(Rc::clone(&tray))),
            tray,
        }
    }
}

/// Serves a request: on the spot if it need not wait, in a task of its own if it must.
pub(super) fn serve_asked(session: &Rc<Session>, asked: Asked) {
    let supplies = &session.connection.worker.http2;
    let mut seat = supplies.take_seat();
    seat.tray.next.set(Some(asked));
    // The task polls it again, with a waker that means it.
    match seat.poll(session, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(true) => supplies.give_seat(seat),
        Poll::Ready(false) => {}
        Poll::Pending => {
            let session = Rc::clone(session);
            tokio::task::spawn_local(async move {
                let whole = std::future::poll_fn(|cx| seat.poll(&session, cx)).await;
                if whole {
                    session.connection.worker.http2.give_seat(seat);
                }
            });
        }
    }
}

impl Seat {
    /// Ready when the exchange is over; `false` if a panic has ended it and the seat with it:
    /// what dispatch does not catch, in a hook or a body.
    fn poll(&mut self, session: &Session, cx: &mut Context<'_>) -> Poll<bool> {
        match catch_unwind(AssertUnwindSafe(|| self.serving.as_mut().poll(cx))) {
            Ok(Poll::Pending) if self.tray.served.take() => Poll::Ready(true),
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(never)) => match never {},
            Err(_) => {
                session.connection.worker.locals.counters.panics.add(1);
                error!(peer = %session.connection.info.peer, "a panic ended an exchange");
                Poll::Ready(false)
            }
        }
    }

    /// Whether it may be kept for the next exchange.
    pub(super) fn is_reusable(&self) -> bool {
        !self.tray.overgrown.take()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}

async fn serve(tray: Rc<Tray>) -> Infallible {
    let mut head = RequestHead::default();
    loop {
        // Polled only behind a `set`: nobody has to be woken.
        let next = std::future::poll_fn(|_| tray.next.take().map_or(Poll::Pending, Poll::Ready));
        let asked = next.await;
        exchange::serve(&mut head, asked).await;
        tray.overgrown.set(head.headers.len() > FIELDS_KEPT);
        head.clear();
        tray.served.set(true);
    }
}
