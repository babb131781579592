//! Where a busy connection is served.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::Connection;
use super::h1;
use crate::http::RequestHead;
use crate::http::h1::head::RequestParser;
use crate::http::h1::state::State;

/// A buffer that has grown beyond this is not kept for the next connection.
const KEPT_MAX: usize = 64 * 1024;

/// What a busy connection borrows from its worker: buffers, and the large future that serves it.
///
/// The future serves one connection after the other and is never done, so that it is made, in
/// its several KiB, once and not for every request.
pub struct Desk {
    serving: Pin<Box<dyn Future<Output = Infallible>>>,
    tray: Rc<Tray>,
}

/// What is handed to the future, and what it hands back.
#[derive(Default)]
struct Tray {
    next: Cell<Option<(Rc<Connection>, State)>>,
    served: Cell<Option<State>>,
    /// The buffers have grown too much to be kept.
    overgrown: Cell<bool>,
}

/// The buffers of a busy connection.
#[derive(Debug, Default)]
pub struct Buffers {
    /// The head of the request being served.
    pub head: RequestHead,
    /// How far the head has been read.
    pub parser: RequestParser,
    /// Bytes to be written.
    pub output: Vec<u8>,
    /// The memory of the connection's input.
    pub input: Vec<u8>,
}

impl Default for Desk {
    fn default() -> Self {
        let tray = Rc::<Tray>::default();
        Self {
            serving: Box::pin(work(Rc::clone(&tray))),
            tray,
        }
    }
}

impl Desk {
    /// Serves a connection that has something to read, until it is idle again or over.
    pub async fn serve(&mut self, connection: &Rc<Connection>, state: State) -> State {
        self.tray.next.set(Some((Rc::clone(connection), state)));
        std::future::poll_fn(|cx| self.poll_served(cx)).await
    }

    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        match self.serving.as_mut().poll(cx) {
            Poll::Pending => match self.tray.served.take() {
                Some(state) => Poll::Ready(state),
                None => Poll::Pending,
            },
            Poll::Ready(never) => match never {},
        }
    }

    /// Whether it may be kept for the next connection.
    pub fn is_reusable(&self) -> bool {
        !self.tray.overgrown.get()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

async fn work(tray: Rc<Tray>) -> Infallible {
    let mut buffers = Buffers::default();
    loop {
        // Polled only behind a `set`: nobody has to be woken.
        let next = std::future::poll_fn(|_| tray.next.take().map_or(Poll::Pending, Poll::Ready));
        let (connection, state) = next.await;
        let state = h1::serve(&connection, &mut buffers, state).await;
        tray.overgrown.set(!buffers.recycle());
        tray.served.set(Some(state));
    }
}

impl Buffers {
    /// Empties them for the next connection; `false` if they have grown too much to be kept.
    fn recycle(&mut self) -> bool {
        self.head.clear();
        self.parser.reset();
        self.output.clear();
        self.input.clear();
        self.output.capacity() <= KEPT_MAX && self.input.capacity() <= KEPT_MAX
    }
}
