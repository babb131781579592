//! Where the answer of a stream goes: interim responses first, then the head of the final one.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;

use super::fields;
use super::session::Session;
use super::turns::Piece;
use crate::exchange::{Inform, Why};
use crate::http::{Headers, StatusCode};

/// How many interim responses a stream sends. They are kept until the client takes them; one of
/// hints is usual.
const INTERIM_MAX: u8 = 16;

/// The answering side of a stream.
#[derive(Debug)]
pub(super) struct Respond {
    stream: RefCell<SendResponse<Piece>>,
    informed: Cell<u8>,
}

impl Respond {
    pub(super) fn new(stream: SendResponse<Piece>) -> Self {
        Self {
            stream: RefCell::new(stream),
            informed: Cell::new(0),
        }
    }

    /// Sends the head of the final response; no content follows if it `ends` with that.
    pub(super) fn send(
        &self,
        status: StatusCode,
        fields: HeaderMap,
        ends: bool,
    ) -> Result<SendStream<Piece>, h2::Error> {
        let mut response = http::Response::new(());
        *response.status_mut() = fields::status(status);
        *response.headers_mut() = fields;
        self.stream.borrow_mut().send_response(response, ends)
    }

    /// Ready when the client has reset the stream, or is gone, before the response.
    pub(super) fn poll_gone(&self, session: &Session, cx: &mut Context<'_>) -> Poll<Why> {
        match self.stream.borrow_mut().poll_reset(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Why::ClientAbort),
            Poll::Ready(Err(error)) => Poll::Ready(session.why(&error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Inform for Respond {
    fn inform(&self, status: StatusCode, headers: &Headers) {
        if self.informed.get() >= INTERIM_MAX {
            return;
        }
        self.informed.set(self.informed.get() + 1);
        let mut response = http::Response::new(());
        *response.status_mut() = fields::status(status);
        *response.headers_mut() = fields::of(headers, 0);
        // Fails on a stream that is gone, which its exchange will notice.
        drop(self.stream.borrow_mut().send_informational(response));
    }
}
