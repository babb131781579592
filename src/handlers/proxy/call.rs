//! One request on one connection, up to the head of its answer. Sending and reading go on at the
//! same time: an upstream may answer before it has read all, or instead of reading it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::connect::Connection;
use super::incoming::{HeadError, Incoming};
use super::outgoing::{Outgoing, SendError, Waits};
use super::upstream::Timeouts;
use crate::exchange::Why;
use crate::http::h1::ParseError;

/// What is under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) connection: Connection,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// The upstream takes no more of the request.
    pub(super) refused: bool,
    sending: bool,
    /// What had been sent when the deadline was set; `None` if it is not set.
    progress: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallError {
    /// The connection ended before a byte of an answer came: perhaps it had already ended before
    /// the request was sent.
    Unanswered,
    /// The client's body broke off.
    Client(Why),
    /// The head broke the grammar or its limits.
    BadHead(ParseError),
    /// The upstream failed.
    Upstream(Why),
}

impl Call {
    pub(super) const fn new(
        connection: Connection,
        outgoing: Outgoing,
        incoming: Incoming,
    ) -> Self {
        Self {
            connection,
            outgoing,
            incoming,
            refused: false,
            sending: true,
            progress: None,
        }
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn answer(&mut self, timeouts: &Timeouts) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_answer(cx, timeouts)).await
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        timeouts: &Timeouts,
    ) -> Poll<Result<(), CallError>> {
        if self.sending {
            self.poll_send(cx, timeouts)?;
        }
        let head = self.incoming.poll_head(cx, &self.connection.transport);
        if let Poll::Ready(head) = head {
            return Poll::Ready(head.map_err(|error| match error {
                HeadError::Nothing => CallError::Unanswered,
                HeadError::Cut => CallError::Upstream(Why::UpstreamReset),
                HeadError::Bad(error) => CallError::BadHead(error),
            }));
        }
        self.connection.deadline.poll_past(cx).map(|()| {
            let why = if self.sending {
                Why::IdleTimeout
            } else {
                Why::FirstByteTimeout
            };
            Err(CallError::Upstream(why))
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, timeouts: &Timeouts) -> Result<(), CallError> {
        let Self {
            connection,
            outgoing,
            ..
        } = self;
        let mut waits = Waits::Upstream;
        match outgoing.poll_send(cx, &connection.transport, &mut waits) {
            Poll::Ready(Err(SendError::Client(why))) => return Err(CallError::Client(why)),
            Poll::Ready(sent) => {
                self.refused = sent.is_err();
                self.sending = false;
                connection.deadline.set(timeouts.first_byte);
            }
            // The client's slowness is measured where its bytes are read.
            Poll::Pending if waits == Waits::Client => {
                if self.progress.take().is_some() {
                    connection.deadline.clear();
                }
            }
            Poll::Pending => {
                let sent = outgoing.sent();
                if self.progress != Some(sent) {
                    self.progress = Some(sent);
                    connection.deadline.set(timeouts.idle);
                }
            }
        }
        Ok(())
    }
}
