//! A request on its way: try after try, until one is answered or no other would help.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;

use super::attempt::{Attempted, Failure, Sending, Trail};
use super::budget::Budget;
use super::call::{Call, CallError};
use super::chance::Chance;
use super::endpoint::EndpointId;
use super::moved::translate;
use super::outgoing::{Head, Outgoing};
use super::replay::Again;
use super::response::{Asked, respond};
use super::retry::{Retry, Share};
use super::settings::Rewriting;
use super::tally::Tally;
use super::upstream::Upstream;
use crate::clock;
use crate::exchange::{Exchange, FailedTry, Response, UpstreamTrail, Why};
use crate::http::StatusCode;
use crate::http::h1::encode::BodyLength;

/// One request on its way through.
pub(super) struct Passage<'p> {
    pub(super) upstream: &'p Upstream,
    pub(super) sending: Sending<'p>,
    pub(super) rewriting: &'p Rewriting,
    pub(super) retry: &'p Retry,
    /// How long the first try may be alone.
    pub(super) hedge: Option<Duration>,
    pub(super) budget: Option<Rc<Budget>>,
    pub(super) chance: Rc<Chance>,
    pub(super) tally: &'p Tally,
    pub(super) worker: usize,
    pub(super) upgrade: bool,
    /// The connection may serve another client's request.
    pub(super) keep: bool,
    /// Taken from try to try.
    pub(super) outgoing: Option<Outgoing>,
    /// What a new request is made of if the one before is gone.
    pub(super) spare: Option<Spare>,
    /// The endpoints that were tried.
    pub(super) tried: SmallVec<[EndpointId; 3]>,
}

/// What a request is made of.
pub(super) struct Spare {
    pub(super) head: Head,
    pub(super) length: BodyLength,
    pub(super) body: SpareBody,
}

/// Whether there is a body, and whether it can be had again.
pub(super) enum SpareBody {
    None,
    Again(Rc<dyn Again>),
    Gone,
}

impl Spare {
    /// The request once more; `None` if its body is gone.
    fn outgoing(&self) -> Option<Outgoing> {
        match &self.body {
            SpareBody::None => Some(Outgoing::new(self.head.clone(), None, self.length)),
            SpareBody::Again(again) if again.is_whole() => Some(Outgoing::again(
                self.head.clone(),
                Rc::clone(again),
                self.length,
            )),
            SpareBody::Again(_) | SpareBody::Gone => None,
        }
    }
}

/// What came of one try.
enum Ended {
    Answered(Response),
    /// An answer that shall be asked for again, elsewhere.
    Declined(Response),
    Failed(Failure),
}

impl Passage<'_> {
    /// Tries until there is an answer, or the failure is not one that another try could mend.
    pub(super) async fn pass(&mut self, x: &mut Exchange<'_>) -> Result<Response, Failure> {
        let mut tries: u32 = 0;
        // What is given if nothing better comes.
        let mut declined = None;
        let mut failed = Failure::Unavailable(Why::NoEndpoint);
        while let Some(outgoing) = self.next_outgoing() {
            let attempted = {
                let trail = RefCell::new(&mut **x.upstream.get_or_insert_default());
                self.race(&trail, outgoing).await
            };
            match self.conclude(x, attempted) {
                Ended::Answered(response) => return Ok(response),
                Ended::Declined(response) => declined = Some(response),
                Ended::Failed(failure @ Failure::Unavailable(why)) => {
                    // Why the last one failed says more than that none is left.
                    if self.tried.is_empty() {
                        failed = failure;
                        break;
                    }
                    if why != Why::NoEndpoint || self.budget.is_none() {
                        break;
                    }
                    // All have been tried; they may be tried once more.
                    self.tried.clear();
                    continue;
                }
                Ended::Failed(failure) => {
                    failed = failure;
                    if !self.retry.wants(failure, self.is_repeatable()) {
                        break;
                    }
                }
            }
            tries += 1;
            if tries >= u32::from(self.retry.tries) || !self.may_retry(x) {
                break;
            }
            let pause = self.retry.pause(tries, &self.chance);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        declined.ok_or(failed)
    }

    /// One try; two at the same time if the first takes long and the route hedges.
    async fn race(&self, trail: &Trail<'_>, outgoing: Outgoing) -> Attempted {
        match self.hedge.zip(self.second(&outgoing)) {
            None => self.sending.attempt(trail, &self.tried, outgoing).await,
            // Boxed, so that nobody else's future is larger for it.
            Some((after, second)) => Box::pin(self.hedged(trail, outgoing, after, second)).await,
        }
    }

    /// A try, and another beside it if it takes longer than `after`. The first to be answered is
    /// the answer; the other is dropped.
    async fn hedged(
        &self,
        trail: &Trail<'_>,
        outgoing: Outgoing,
        after: Duration,
        second: Outgoing,
    ) -> Attempted {
        let mut first = pin!(self.sending.attempt(trail, &self.tried, outgoing));
        let mut alone = pin!(tokio::time::sleep(after));
        let early = poll_fn(|cx| match first.as_mut().poll(cx) {
            Poll::Ready(attempted) => Poll::Ready(Some(attempted)),
            Poll::Pending => alone.as_mut().poll(cx).map(|()| None),
        });
        if let Some(attempted) = early.await {
            return attempted;
        }
        if !self.within_budget() {
            return first.await;
        }
        self.tally.hedged(self.worker);
        let mut tried = self.tried.clone();
        tried.extend(self.sending.trying.get());
        let mut second = pin!(self.sending.attempt(trail, &tried, second));
        let (mut first_failed, mut second_failed) = (None, None);
        poll_fn(|cx| {
            if first_failed.is_none()
                && let Poll::Ready(attempted) = first.as_mut().poll(cx)
            {
                match attempted.outcome {
                    Ok(_) => return Poll::Ready(attempted),
                    Err(_) => first_failed = Some(attempted),
                }
            }
            if second_failed.is_none()
                && let Poll::Ready(attempted) = second.as_mut().poll(cx)
            {
                match attempted.outcome {
                    Ok(_) => return Poll::Ready(attempted),
                    Err(_) => second_failed = Some(attempted),
                }
            }
            match (&first_failed, &second_failed) {
                (Some(_), Some(_)) => first_failed.take().map_or(Poll::Pending, Poll::Ready),
                (None, _) | (_, None) => Poll::Pending,
            }
        })
        .await
    }

    /// What a second try beside the first would send; nothing if that is not as good as one.
    fn second(&self, outgoing: &Outgoing) -> Option<Outgoing> {
        let hedges = self.hedge.is_some() && self.sending.idempotent && !outgoing.has_body();
        self.spare.as_ref().filter(|_| hedges)?.outgoing()
    }

    /// What the next try sends.
    fn next_outgoing(&mut self) -> Option<Outgoing> {
        match self.outgoing.take() {
            Some(mut outgoing) if outgoing.is_replayable() => {
                outgoing.rewind();
                Some(outgoing)
            }
            _ => self.spare.as_ref()?.outgoing(),
        }
    }

    /// Whether what was sent may be sent again, and can be.
    fn is_repeatable(&self) -> bool {
        let left = self.outgoing.as_ref();
        let spare = self.spare.as_ref().is_some_and(|spare| match &spare.body {
            SpareBody::None => true,
            SpareBody::Again(again) => again.is_whole(),
            SpareBody::Gone => false,
        });
        self.sending.idempotent && (spare || left.is_some_and(Outgoing::is_replayable))
    }

    /// Whether there may be another try: counted, if retries are.
    fn may_retry(&self, x: &Exchange<'_>) -> bool {
        let may = self.within_budget();
        self.tally.retried(x.locals.worker, may);
        may
    }

    fn within_budget(&self) -> bool {
        match (&self.budget, self.retry.budget) {
            (Some(budget), Some(Share::Of(share))) => budget.retry(clock::now(), share),
            _ => true,
        }
    }

    /// Takes in what a try came to.
    fn conclude(&mut self, x: &mut Exchange<'_>, attempted: Attempted) -> Ended {
        let Attempted {
            endpoint,
            began,
            outcome,
            outgoing,
        } = attempted;
        self.outgoing = outgoing;
        let name = endpoint.as_ref().map(|endpoint| Rc::clone(&endpoint.name));
        self.tried.extend(endpoint.map(|endpoint| endpoint.id));
        let duration = clock::now().saturating_duration_since(began);
        let ended = match outcome {
            Ok(call) => self.answered(x, call, duration),
            Err(failure) => Ended::Failed(failure),
        };
        let (why, status) = match &ended {
            Ended::Answered(_) => return ended,
            Ended::Declined(response) => (Why::RetriedStatus, Some(response.status.code())),
            Ended::Failed(failure) => (failure.why(), None),
        };
        self.tally.failed(x.locals.worker, why);
        trail(x).failures.push(FailedTry {
            endpoint: name.unwrap_or_default(),
            why,
            status,
            duration,
        });
        ended
    }

    /// The answer as a response of ours.
    fn answered(&self, x: &mut Exchange<'_>, call: Call, duration: Duration) -> Ended {
        let (elapsed, status) = (x.elapsed(), call.incoming.head.status);
        let endpoint = Rc::clone(&call.connection.lease.endpoint);
        let trail = trail(x);
        trail.first_byte = Some(elapsed);
        trail.status = Some(status.code());
        trail.endpoint = Rc::clone(&endpoint.name);
        let declines = self.declines(&call, status);
        let witness = call.connection.lease.witness();
        let asked = Asked {
            request: x.request,
            upstream: self.upstream,
            upgrade: self.upgrade,
            keep: self.keep,
            pool: Rc::clone(self.sending.pool),
        };
        match respond(call, asked) {
            Ok(mut response) => {
                witness.answered(status, duration);
                translate(
                    &mut response.headers,
                    x,
                    self.rewriting,
                    witness.authority(),
                );
                self.rewriting
                    .answers
                    .fields
                    .apply(&mut response.headers, x);
                if declines {
                    Ended::Declined(response)
                } else {
                    Ended::Answered(response)
                }
            }
            Err(error) => {
                witness.failed(Why::UpstreamBadHead, error.reason());
                let error = CallError::BadHead(error);
                Ended::Failed(Failure::Failed {
                    error,
                    unsent: false,
                })
            }
        }
    }

    /// Whether the route asks another endpoint rather than to give this answer, and can.
    fn declines(&self, call: &Call, status: StatusCode) -> bool {
        self.retry.names(status)
            && call.outgoing.is_replayable()
            && self.spare.as_ref().is_some_and(|spare| match &spare.body {
                SpareBody::None => true,
                SpareBody::Again(again) => again.is_whole(),
                SpareBody::Gone => false,
            })
    }
}

fn trail<'x>(x: &'x mut Exchange<'_>) -> &'x mut UpstreamTrail {
    x.upstream.get_or_insert_default()
}
