//! One request on one connection, up to the head of its answer. Sending and reading go on at the
//! same time: an upstream may answer before it has read all, or instead of reading it.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connect::Connection;
use super::incoming::{Head, HeadError, Incoming};
use super::outgoing::{Outgoing, SendError, Waits};
use super::upstream::Timeouts;
use crate::exchange::{Inform, Why};
use crate::http::h1::ParseError;
use crate::http::{Headers, StatusCode, name};

/// How long the content waits for a 100 (Continue) that does not come. RFC 9110 §10.1.1 asks
/// clients not to wait for ever, and curl waits a second.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) connection: Connection,
    pub(super) incoming: Incoming,
    /// The upstream takes no more of the request.
    pub(super) refused: bool,
    sending: bool,
    /// The content has been announced, and waits for a 100 (Continue).
    waiting: bool,
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
    pub(super) const fn new(connection: Connection, incoming: Incoming) -> Self {
        Self {
            connection,
            incoming,
            refused: false,
            sending: true,
            waiting: false,
            progress: None,
        }
    }

    /// Sends the request and waits for the head of the answer. Interim answers go to `inform`.
    pub(super) async fn answer(
        &mut self,
        outgoing: &mut Outgoing,
        timeouts: &Timeouts,
        inform: Option<&dyn Inform>,
    ) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_answer(cx, outgoing, timeouts, inform)).await
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        timeouts: &Timeouts,
        inform: Option<&dyn Inform>,
    ) -> Poll<Result<(), CallError>> {
        loop {
            if self.sending {
                self.poll_send(cx, outgoing, timeouts)?;
            }
            let head = self.incoming.poll_head(cx, self.connection.transport());
            match head {
                Poll::Ready(Ok(Head::Interim)) => {
                    self.interim(outgoing, inform);
                    continue;
                }
                Poll::Ready(Ok(Head::Final)) => {
                    // An answer to the head alone: the content is never sent, nor asked for.
                    self.refused |= outgoing.is_holding();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {}
            }
            if self.connection.deadline().poll_past(cx).is_pending() {
                return Poll::Pending;
            }
            if !outgoing.is_holding() {
                return Poll::Ready(Err(CallError::Upstream(self.late())));
            }
            self.proceed(outgoing);
        }
    }

    /// The endpoint has told something before its answer.
    fn interim(&mut self, outgoing: &mut Outgoing, inform: Option<&dyn Inform>) {
        let head = &self.incoming.head;
        if head.status == StatusCode::CONTINUE {
            // Whoever reads the client's content tells the client, when it is first read.
            self.proceed(outgoing);
        } else if let Some(inform) = inform {
            inform.inform(head.status, &interim_fields(&head.headers));
        }
    }

    /// Begins to send the content.
    fn proceed(&mut self, outgoing: &mut Outgoing) {
        if outgoing.is_holding() {
            outgoing.proceed();
            self.waiting = false;
            self.connection.deadline().clear();
        }
    }

    const fn late(&self) -> Why {
        if self.sending {
            Why::IdleTimeout
        } else {
            Why::FirstByteTimeout
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        timeouts: &Timeouts,
    ) -> Result<(), CallError> {
        let connection = &self.connection;
        let mut waits = Waits::Upstream;
        match outgoing.poll_send(cx, connection.transport(), &mut waits) {
            Poll::Ready(Err(SendError::Client(why))) => return Err(CallError::Client(why)),
            Poll::Ready(sent) => {
                self.refused = sent.is_err();
                self.sending = false;
                connection.deadline().set(timeouts.first_byte);
            }
            Poll::Pending if waits == Waits::Continue => {
                if !std::mem::replace(&mut self.waiting, true) {
                    self.progress = None;
                    connection.deadline().set(CONTINUE_TIMEOUT);
                }
            }
            // The client's slowness is measured where its bytes are read.
            Poll::Pending if waits == Waits::Client => {
                if self.progress.take().is_some() {
                    connection.deadline().clear();
                }
            }
            Poll::Pending => {
                let sent = outgoing.sent();
                if self.progress != Some(sent) {
                    self.progress = Some(sent);
                    connection.deadline().set(timeouts.idle);
                }
            }
        }
        Ok(())
    }
}

impl CallError {
    /// In a word.
    pub(super) const fn why(self) -> Why {
        match self {
            Self::Unanswered => Why::UpstreamReset,
            Self::BadHead(_) => Why::UpstreamBadHead,
            Self::Client(why) | Self::Upstream(why) => why,
        }
    }

    /// What the endpoint did wrong, in a word and for the log; nothing if it was the client.
    pub(super) const fn of_endpoint(self) -> Option<(Why, &'static str)> {
        match self {
            Self::Client(_) => None,
            Self::Unanswered => Some((Why::UpstreamReset, "closed without an answer")),
            Self::BadHead(error) => Some((Why::UpstreamBadHead, error.reason())),
            Self::Upstream(why) => Some((why, "did not answer")),
        }
    }
}

impl From<HeadError> for CallError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Nothing => Self::Unanswered,
            HeadError::Cut => Self::Upstream(Why::UpstreamReset),
            HeadError::Bad(error) => Self::BadHead(error),
        }
    }
}

/// The fields of an interim answer that are for the client: those about the connection or a
/// content, which it has none of, are not.
pub(super) fn interim_fields(headers: &Headers) -> Headers {
    let mut fields = headers.clone();
    let options: Vec<Box<[u8]>> = headers.list(&name::CONNECTION).map(Box::from).collect();
    fields.retain(|field, _| {
        let is = |own: &[u8]| field.eq_ignore_ascii_case(own);
        let own: [&[u8]; 7] = [
            b"connection",
            b"content-length",
            b"keep-alive",
            b"proxy-connection",
            b"trailer",
            b"transfer-encoding",
            b"upgrade",
        ];
        !own.into_iter().any(is) && !options.iter().any(|option| is(option))
    });
    fields
}
