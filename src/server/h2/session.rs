//! What all streams of a connection share.

use std::cell::Cell;
use std::rc::Rc;

use super::turns::Turns;
use super::wire::Wire;
use crate::exchange::Why;
use crate::server::connection::Connection;

/// One HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Rc<Connection>,
    pub(super) wire: Rc<Wire>,
    pub(super) turns: Rc<Turns>,
    /// Exchanges under way.
    pub(super) open: Cell<usize>,
}

impl Session {
    /// Why a stream has failed.
    pub(super) fn why(&self, error: &h2::Error) -> Why {
        if self.connection.is_cut() {
            Why::DrainTimeout
        } else if error.is_reset() && error.is_library() {
            // Content of another length than told, or fields that may not be where they are.
            Why::BadFraming
        } else {
            Why::ClientAbort
        }
    }
}

/// Counts an exchange as long as it lasts.
#[derive(Debug)]
pub(super) struct Open(Rc<Session>);

impl Open {
    pub(super) fn new(session: &Rc<Session>) -> Self {
        session.open.set(session.open.get() + 1);
        Self(Rc::clone(session))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}
