//! A request on its way: try after try, until one is answered or no other would help.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;

use super::attempt::{Attempted, Failure, Reply, Sending, Trail};
use super::budget::Budget;
use super::call::CallError;
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
    pub(super) tally: &'p Tally,
    pub(super) worker: usize,
    pub(super) upgrade: bool,
    /// The connection may serve another client's request.
    pub(super) keep: bool,
    /// What a new request is made of if the one before is gone.
    pub(super) spare: Option<Box<Spare>>,
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

    /// Whether there is all that the request needs.
    fn is_whole(&self) -> bool {
        match &self.body {
            SpareBody::None => true,
            SpareBody::Again(again) => again.is_whole(),
            SpareBody::Gone => false,
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
    /// `outgoing` is what is sent, from try to try.
    pub(super) async fn pass(
        &mut self,
        x: &mut Exchange<'_>,
        outgoing: &mut Option<Outgoing>,
    ) -> Result<Response, Failure> {
        let mut tries: u32 = 0;
        // What is given if nothing better comes.
        let mut declined = None;
        let mut failed = Failure::Unavailable(Why::NoEndpoint);
        while let Some(sent) = self.made_ready(outgoing) {
            let attempted = {
                let trail = RefCell::new(trail(x));
                self.race(&trail, sent).await
            };
            match self.conclude(x, attempted, outgoing) {
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
                    if !self
                        .retry
                        .wants(failure, self.is_repeatable(outgoing.as_ref()))
                    {
                        break;
                    }
                }
            }
            tries += 1;
            if tries >= u32::from(self.retry.tries) || !self.may_retry(x) {
                break;
            }
            let pause = self.retry.pause(tries, &x.locals.keep());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        declined.ok_or(failed)
    }

    /// One try; two at the same time if the first takes long and the route hedges.
    async fn race(&self, trail: &Trail<'_>, outgoing: &mut Outgoing) -> Attempted {
        match self.hedge.zip(self.second(outgoing)) {
            None => self.sending.attempt(trail, &self.tried, outgoing).await,
            // Boxed, so that nobody else's future is larger for it.
            Some((after, mut second)) => {
                let hedged = Box::pin(self.hedged(trail, outgoing, after, &mut second));
                let (attempted, is_second) = hedged.await;
                if is_second {
                    *outgoing = second;
                }
                attempted
            }
        }
    }

    /// A try, and another beside it if it takes longer than `after`. The first to be answered is
    /// the answer, and whether it is the second's; the other is dropped.
    async fn hedged(
        &self,
        trail: &Trail<'_>,
        outgoing: &mut Outgoing,
        after: Duration,
        second: &mut Outgoing,
    ) -> (Attempted, bool) {
        let mut first = pin!(self.sending.attempt(trail, &self.tried, outgoing));
        let mut alone = pin!(tokio::time::sleep(after));
        let early = poll_fn(|cx| match first.as_mut().poll(cx) {
            Poll::Ready(attempted) => Poll::Ready(Some(attempted)),
            Poll::Pending => alone.as_mut().poll(cx).map(|()| None),
        });
        if let Some(attempted) = early.await {
            return (attempted, false);
        }
        if !self.within_budget() {
            return (first.await, false);
        }
        self.tally.hedged(self.worker);
        let mut tried = self.tried.clone();
        tried.extend(self.sending.trying.get());
        let mut second = pin!(self.sending.attempt(trail, &tried, second));
        let (mut first_failed, mut second_failed) = (None, false);
        poll_fn(|cx| {
            if first_failed.is_none()
                && let Poll::Ready(attempted) = first.as_mut().poll(cx)
            {
                match attempted.outcome {
                    Ok(_) => return Poll::Ready((attempted, false)),
                    Err(_) => first_failed = Some(attempted),
                }
            }
            if !second_failed && let Poll::Ready(attempted) = second.as_mut().poll(cx) {
                match attempted.outcome {
                    Ok(_) => return Poll::Ready((attempted, true)),
                    Err(_) => second_failed = true,
                }
            }
            match first_failed.take_if(|_| second_failed) {
                Some(attempted) => Poll::Ready((attempted, false)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// What a second try beside the first would send; nothing if that is not as good as one.
    fn second(&self, outgoing: &Outgoing) -> Option<Outgoing> {
        let hedges = self.hedge.is_some() && self.sending.idempotent && !outgoing.has_body();
        self.spare.as_ref().filter(|_| hedges)?.outgoing()
    }

    /// Makes ready what the next try sends, if it can be had.
    fn made_ready<'o>(&self, outgoing: &'o mut Option<Outgoing>) -> Option<&'o mut Outgoing> {
        match outgoing {
            Some(left) if left.is_replayable() => left.rewind(),
            _ => *outgoing = self.spare.as_ref()?.outgoing(),
        }
        outgoing.as_mut()
    }

    /// Whether what was sent may be sent again, and can be.
    fn is_repeatable(&self, left: Option<&Outgoing>) -> bool {
        let spare = self.spare.as_ref().is_some_and(|spare| spare.is_whole());
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
    fn conclude(
        &mut self,
        x: &mut Exchange<'_>,
        attempted: Attempted,
        outgoing: &mut Option<Outgoing>,
    ) -> Ended {
        let Attempted {
            endpoint,
            began,
            outcome,
        } = attempted;
        let duration = clock::now().saturating_duration_since(began);
        let ended = match outcome {
            Ok(reply) => self.answered(x, reply, outgoing, duration),
            Err(failure) => Ended::Failed(failure),
        };
        let (why, status) = match &ended {
            Ended::Answered(_) => return ended,
            Ended::Declined(response) => (Why::RetriedStatus, Some(response.status.code())),
            Ended::Failed(failure) => (failure.why(), None),
        };
        // Where there was no endpoint, nothing was tried.
        if let Some(endpoint) = endpoint {
            self.tried.push(endpoint.id);
            trail(x).failures.push(FailedTry {
                endpoint: Rc::clone(&endpoint.name),
                why,
                status,
                duration,
            });
        }
        ended
    }

    /// The answer as a response of ours.
    fn answered(
        &self,
        x: &mut Exchange<'_>,
        reply: Reply,
        outgoing: &mut Option<Outgoing>,
        duration: Duration,
    ) -> Ended {
        let (elapsed, status) = (x.elapsed(), reply.status());
        let endpoint = Rc::clone(&reply.lease().endpoint);
        let trail = trail(x);
        trail.first_byte = Some(elapsed);
        trail.status = Some(status.code());
        trail.endpoint = Some(Rc::clone(&endpoint.name));
        let declines = self.declines(outgoing.as_ref(), status);
        let witness = reply.lease().witness();
        let asked = Asked {
            request: x.request,
            upstream: self.upstream,
            upgrade: self.upgrade,
            keep: self.keep,
            pool: Rc::clone(self.sending.pool),
        };
        let answer = respond(reply, outgoing, asked);
        *outgoing = None;
        match answer {
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
    fn declines(&self, sent: Option<&Outgoing>, status: StatusCode) -> bool {
        self.retry.names(status)
            && sent.is_some_and(Outgoing::is_replayable)
            && self.spare.as_ref().is_some_and(|spare| spare.is_whole())
    }
}

fn trail<'x>(x: &'x mut Exchange<'_>) -> &'x mut UpstreamTrail {
    x.upstream.get_or_insert_default()
}
