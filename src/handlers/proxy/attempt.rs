//! One try of a request on one endpoint: a connection, the request on it, the head of the answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::call::{Call, CallError};
use super::connect::Connection;
use super::endpoint::EndpointId;
use super::incoming::Incoming;
use super::lease::{Lease, Witness};
use super::outgoing::Outgoing;
use super::pool::Pool;
use super::shared::{Asking, Leased, SharedCall, Slot, Tried, obtain};
use super::view::{Affinity, EndpointView, Refused, View};
use crate::clock;
use crate::exchange::{Deadlines, Inform, UpstreamTrail, Why};
use crate::http::StatusCode;
use crate::sys::tls::{Session, explained};

/// What all tries of a request have in common.
pub(super) struct Sending<'s> {
    pub(super) view: &'s Rc<View>,
    pub(super) pool: &'s Rc<Pool>,
    pub(super) deadlines: &'s Rc<Deadlines>,
    /// How long one try may take to the head of its answer.
    pub(super) per_try: Option<Duration>,
    pub(super) affinity: Affinity,
    /// Sent twice is as good as sent once (RFC 9110 §9.2.2).
    pub(super) idempotent: bool,
    /// What a connection begins with; then each try needs one of its own.
    pub(super) preface: Option<Vec<u8>>,
    /// When the exchange began.
    pub(super) started: Instant,
    /// Where interim answers go.
    pub(super) inform: Option<&'s dyn Inform>,
    /// The endpoint that was last asked for a connection and gave one.
    pub(super) trying: Cell<Option<EndpointId>>,
}

/// What happened, for the log; written while it happens, since a client may leave at any time.
pub(super) type Trail<'t> = RefCell<&'t mut UpstreamTrail>;

/// What a try came to.
pub(super) struct Attempted {
    /// Who was tried; nobody if there was none to try.
    pub(super) endpoint: Option<Rc<EndpointView>>,
    pub(super) began: Instant,
    /// The answer's head has come, or why not.
    pub(super) outcome: Result<Reply, Failure>,
}

/// An answer whose head has come.
pub(super) enum Reply {
    /// On a connection of its own.
    Own(Box<Call>),
    /// On one that others share.
    Shared(Box<SharedCall>),
}

impl Reply {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Own(call) => call.incoming.head.status,
            Self::Shared(call) => call.status,
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        match self {
            Self::Own(call) => &call.connection.lease,
            Self::Shared(call) => &call.lease,
        }
    }
}

/// How often a request is sent again to a server that says it has not looked at it, or goes.
const UNTOUCHED_MAX: u8 = 3;

/// Why a try came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no endpoint to try, or none that may be.
    Unavailable(Why),
    /// There is no connection to the endpoint: nothing was sent.
    Refused(Why),
    /// The endpoint did not answer as it should. `unsent`: nothing of the request reached it.
    Failed { error: CallError, unsent: bool },
    /// The client's body broke off.
    Client(Why),
}

impl Sending<'_> {
    /// Tries the endpoint whose turn it is, among those not yet tried. What was sent of
    /// `outgoing` tells whether it can be sent again.
    pub(super) async fn attempt(
        &self,
        trail: &Trail<'_>,
        tried: &[EndpointId],
        outgoing: &mut Outgoing,
    ) -> Attempted {
        match self.per_try {
            None => {
                let mut untold = None;
                self.attempt_now(trail, tried, outgoing, &mut untold).await
            }
            // Boxed, so that nobody else's future is larger for it.
            Some(per_try) => Box::pin(self.attempt_within(per_try, trail, tried, outgoing)).await,
        }
    }

    async fn attempt_within(
        &self,
        per_try: Duration,
        trail: &Trail<'_>,
        tried: &[EndpointId],
        outgoing: &mut Outgoing,
    ) -> Attempted {
        let began = clock::now();
        let deadline = self.deadlines.register();
        deadline.set(per_try);
        let mut trying = None;
        let attempted = deadline
            .limit(self.attempt_now(trail, tried, outgoing, &mut trying))
            .await;
        attempted.unwrap_or_else(|_| {
            let why = Why::FirstByteTimeout;
            if let Some(witness) = &trying {
                witness.failed(why, "took too long for one try");
            }
            Attempted {
                endpoint: trying.map(|witness| witness.endpoint),
                began,
                outcome: Err(Failure::Failed {
                    error: CallError::Upstream(why),
                    unsent: outgoing.is_unsent(),
                }),
            }
        })
    }

    async fn attempt_now(
        &self,
        trail: &Trail<'_>,
        tried: &[EndpointId],
        outgoing: &mut Outgoing,
        trying: &mut Option<Witness>,
    ) -> Attempted {
        let began = clock::now();
        let repeatable = self.idempotent && !outgoing.has_body();
        let unconnected = |refused: Refused| Attempted {
            outcome: Err(match refused.endpoint {
                Some(_) => Failure::Refused(refused.why),
                None => Failure::Unavailable(refused.why),
            }),
            endpoint: refused.endpoint,
            began,
        };
        let preface = self.preface.as_deref();
        let lease = self.view.lease(&self.affinity, tried, repeatable, preface);
        let mut leased = match lease.await {
            Ok(leased) => leased,
            Err(error) => {
                if let Some(endpoint) = &error.endpoint {
                    note(trail, &endpoint.name);
                }
                return unconnected(error);
            }
        };
        let endpoint = Rc::clone(&leased.lease().endpoint);
        note(trail, leased.lease().name());
        self.trying.set(Some(endpoint.id));
        if self.per_try.is_some() {
            *trying = Some(leased.lease().witness());
        }
        let mut untouched = 0;
        let outcome = loop {
            self.connected(trail);
            match leased {
                Leased::Own(connection) => match self.ask(connection, outgoing, trail).await {
                    Ok(outcome) => break outcome.map(Reply::Own),
                    Err(refused) => return unconnected(refused),
                },
                Leased::Shared(lease, slot) => {
                    let asked = Box::pin(self.ask_shared(lease, slot, outgoing)).await;
                    let lease = match asked {
                        Ok(outcome) => break outcome.map(Reply::Shared),
                        Err(lease) => lease,
                    };
                    untouched += 1;
                    if untouched > UNTOUCHED_MAX {
                        lease
                            .witness()
                            .failed(Why::UpstreamReset, "takes no request");
                        break Err(Failure::Failed {
                            error: CallError::Unanswered,
                            unsent: true,
                        });
                    }
                    outgoing.rewind();
                    leased = match Box::pin(obtain(lease, repeatable, preface)).await {
                        Ok(leased) => leased,
                        Err(refused) => return unconnected(refused),
                    };
                }
            }
        };
        Attempted {
            endpoint: Some(endpoint),
            began,
            outcome,
        }
    }

    fn connected(&self, trail: &Trail<'_>) {
        let connected = clock::now().saturating_duration_since(self.started);
        trail.borrow_mut().connected = Some(connected);
    }

    /// Asks on a connection of its own; on another one if it had ended before.
    async fn ask(
        &self,
        mut connection: Connection,
        outgoing: &mut Outgoing,
        trail: &Trail<'_>,
    ) -> Result<Result<Box<Call>, Failure>, Refused> {
        loop {
            outgoing.address(connection.lease.authority());
            // Boxed: it is handed on until the answer is a response.
            let incoming = Incoming::new(self.pool.buffers.take());
            let mut call = Box::new(Call::new(connection, incoming));
            let timeouts = &self.view.timeouts;
            let result = call.answer(outgoing, timeouts, self.inform).await;
            if self.is_stale(&call, outgoing, result) {
                outgoing.rewind();
                connection = self.dismiss(*call).renew().await?;
                self.connected(trail);
                continue;
            }
            return Ok(match result {
                Ok(()) => Ok(call),
                Err(error) => Err(self.failed(*call, outgoing, error)),
            });
        }
    }

    /// Asks on a shared connection; the use of the endpoint is given back if the request may be
    /// sent again there.
    async fn ask_shared(
        &self,
        lease: Lease,
        slot: Slot,
        outgoing: &mut Outgoing,
    ) -> Result<Result<Box<SharedCall>, Failure>, Lease> {
        let asking = Asking {
            timeouts: &self.view.timeouts,
            inform: self.inform,
            idempotent: self.idempotent,
        };
        match asking.ask(lease, slot, outgoing).await {
            Tried::Answered(call) => Ok(Ok(call)),
            Tried::Unprocessed(lease) => Err(lease),
            Tried::Failed(lease, error) => {
                if let Some((why, reason)) = error.of_endpoint() {
                    lease.witness().failed(why, reason);
                }
                Ok(Err(match error {
                    CallError::Client(why) => Failure::Client(why),
                    error => Failure::Failed {
                        error,
                        unsent: outgoing.is_unsent(),
                    },
                }))
            }
        }
    }

    /// Whether a kept connection had ended before the request came, as far as one can tell, and
    /// the request may be sent again (RFC 9110 §9.2.2).
    fn is_stale(&self, call: &Call, outgoing: &Outgoing, result: Result<(), CallError>) -> bool {
        let repeatable = self.idempotent && outgoing.is_replayable();
        let again = repeatable || outgoing.is_unsent();
        call.connection.reused
            && match result {
                Err(CallError::Unanswered) => again,
                // Said to an idle connection, and crossed by our request.
                Ok(()) => repeatable && call.incoming.head.status == StatusCode::REQUEST_TIMEOUT,
                Err(_) => false,
            }
    }

    /// A call that came to nothing: its buffer is given back; its connection.
    fn dismiss(&self, call: Call) -> Connection {
        self.pool.buffers.give(call.incoming.into_buffer());
        call.connection
    }

    /// A call that failed: the endpoint is told, its connection dropped.
    fn failed(&self, call: Call, outgoing: &Outgoing, error: CallError) -> Failure {
        let mut error = error;
        let witness = call.connection.lease.witness();
        let session = call.connection.transport().session();
        if let Some(failure) = session.and_then(Session::failure)
            && matches!(error, CallError::Unanswered)
        {
            // A server may be done with the handshake later than we are, and refuse us then.
            error = CallError::Upstream(Why::TlsHandshake);
            witness.failed(Why::TlsHandshake, &explained(&failure));
        } else if let Some((why, reason)) = error.of_endpoint() {
            witness.failed(why, reason);
        }
        drop(self.dismiss(call));
        match error {
            CallError::Client(why) => Failure::Client(why),
            error => Failure::Failed {
                error,
                unsent: outgoing.is_unsent(),
            },
        }
    }
}

fn note(trail: &Trail<'_>, endpoint: &Rc<str>) {
    let mut trail = trail.borrow_mut();
    trail.tries += 1;
    trail.endpoint = Some(Rc::clone(endpoint));
}

impl Failure {
    /// In a word.
    pub(super) const fn why(self) -> Why {
        match self {
            Self::Unavailable(why) | Self::Refused(why) | Self::Client(why) => why,
            Self::Failed { error, .. } => error.why(),
        }
    }
}
