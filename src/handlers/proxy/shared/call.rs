//! One request on a shared connection, up to the head of its answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::Response as Parts;

use super::body::{SharedBody, Start};
use super::{Slot, fields};
use crate::exchange::{Body, Deadline, Inform, Response, Why};
use crate::handlers::proxy::call::{CallError, interim_fields};
use crate::handlers::proxy::incoming::INTERIMS_MAX;
use crate::handlers::proxy::lease::Lease;
use crate::handlers::proxy::outgoing::{Outgoing, SendError, Waits};
use crate::handlers::proxy::response::{Asked, clean, told_length};
use crate::handlers::proxy::upstream::Timeouts;
use crate::http::h1::ParseError;
use crate::http::h1::framing::{Framing, response_framing};
use crate::http::{Method, StatusCode, Version, name};

/// An answer whose head has come.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct SharedCall {
    pub(in crate::handlers::proxy) lease: Lease,
    pub(in crate::handlers::proxy) status: StatusCode,
    answer: Parts<RecvStream>,
    stream: SendStream<Bytes>,
    slot: Slot,
    deadline: Deadline,
    /// Not all of the request has been sent.
    sending: bool,
}

/// What a request is asked with.
pub(in crate::handlers::proxy) struct Asking<'a> {
    pub(in crate::handlers::proxy) timeouts: &'a Timeouts,
    pub(in crate::handlers::proxy) inform: Option<&'a dyn Inform>,
    /// Sent twice is as good as sent once.
    pub(in crate::handlers::proxy) idempotent: bool,
}

/// What a try on a shared connection came to.
pub(in crate::handlers::proxy) enum Tried {
    Answered(Box<SharedCall>),
    /// The server has not looked at the request: it may be sent again.
    Unprocessed(Lease),
    Failed(Lease, CallError),
}

impl Asking<'_> {
    /// Sends the request on a stream of its own and waits for the head of the answer.
    pub(in crate::handlers::proxy) async fn ask(
        &self,
        lease: Lease,
        slot: Slot,
        outgoing: &mut Outgoing,
    ) -> Tried {
        outgoing.address(lease.authority());
        outgoing.proceed();
        let encrypted = lease.view.manner.tls.is_some();
        let Ok(request) = fields::request(outgoing.head(), encrypted) else {
            // It was the client who asked for this.
            return Tried::Failed(lease, CallError::Client(Why::BadTarget));
        };
        let deadline = lease.view.deadlines.register();
        deadline.set(self.timeouts.first_byte);
        let mut send = slot.link.send.clone();
        // As long as the server has no room for another stream.
        let room = deadline.limit(poll_fn(|cx| send.poll_ready(cx))).await;
        let begun = match room {
            Err(_) => {
                let late = CallError::Upstream(Why::FirstByteTimeout);
                return Tried::Failed(lease, late);
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => send.send_request(request, outgoing.is_body_over()),
        };
        let Ok((future, stream)) = begun else {
            // The connection has ended, or will: nothing was sent.
            slot.link.ended.set(true);
            return Tried::Unprocessed(lease);
        };
        outgoing.head_is_sent();
        let mut waiting = Waiting {
            future,
            stream,
            deadline,
            interims: 0,
            sending: true,
            progress: None,
        };
        let answer = poll_fn(|cx| waiting.poll(cx, outgoing, self)).await;
        match answer {
            Ok(answer) => {
                let status = StatusCode::new(answer.status().as_u16());
                let Some(status) = status.filter(|status| *status != SWITCHED) else {
                    return Tried::Failed(lease, CallError::BadHead(ParseError::StartLine));
                };
                Tried::Answered(Box::new(SharedCall {
                    lease,
                    status,
                    answer,
                    stream: waiting.stream,
                    slot,
                    deadline: waiting.deadline,
                    sending: waiting.sending,
                }))
            }
            Err(Lost::Call(error)) => Tried::Failed(lease, error),
            Err(Lost::Stream(error)) => {
                let ends = error.is_go_away() || error.is_io();
                slot.link.ended.set(slot.link.ended.get() || ends);
                // RFC 9113 §8.7: refused, or above the last that a goodbye names.
                let untouched = error.reason() == Some(Reason::REFUSED_STREAM)
                    || (error.is_go_away()
                        && error.is_remote()
                        && error.reason() == Some(Reason::NO_ERROR));
                let broken = error.is_io() && slot.is_reused() && self.idempotent;
                if (untouched || broken) && outgoing.is_replayable() {
                    return Tried::Unprocessed(lease);
                }
                Tried::Failed(lease, CallError::Unanswered)
            }
        }
    }
}

/// What has no meaning here (RFC 9113 §8.6).
const SWITCHED: StatusCode = StatusCode::SWITCHING_PROTOCOLS;

/// Why there is no answer.
enum Lost {
    Call(CallError),
    Stream(h2::Error),
}

struct Waiting {
    future: ResponseFuture,
    stream: SendStream<Bytes>,
    deadline: Deadline,
    /// How many interim answers have come.
    interims: u8,
    sending: bool,
    /// What had been sent when the deadline was set; `None` if it is not set for sending.
    progress: Option<u64>,
}

impl Waiting {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        asking: &Asking<'_>,
    ) -> Poll<Result<Parts<RecvStream>, Lost>> {
        if self.sending {
            self.poll_send(cx, outgoing, asking.timeouts)?;
        }
        while let Poll::Ready(Some(Ok(interim))) = self.future.poll_informational(cx) {
            if self.interims == INTERIMS_MAX {
                let endless = CallError::BadHead(ParseError::FieldsTooLarge);
                return Poll::Ready(Err(Lost::Call(endless)));
            }
            self.interims += 1;
            if let (Some(inform), Some(status)) =
                (asking.inform, StatusCode::new(interim.status().as_u16()))
                && status != StatusCode::CONTINUE
            {
                inform.inform(status, &interim_fields(&fields::headers(interim.headers())));
            }
        }
        if let Poll::Ready(answer) = Pin::new(&mut self.future).poll(cx) {
            self.deadline.clear();
            return Poll::Ready(answer.map_err(Lost::Stream));
        }
        ready!(self.deadline.poll_past(cx));
        let why = if self.sending {
            Why::IdleTimeout
        } else {
            Why::FirstByteTimeout
        };
        self.stream.send_reset(Reason::CANCEL);
        Poll::Ready(Err(Lost::Call(CallError::Upstream(why))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        timeouts: &Timeouts,
    ) -> Result<(), Lost> {
        let mut waits = Waits::Upstream;
        match poll_upload(cx, outgoing, &mut self.stream, &mut waits) {
            Poll::Ready(Err(SendError::Client(why))) => {
                return Err(Lost::Call(CallError::Client(why)));
            }
            // The answer says why, or that there is none.
            Poll::Ready(_) => {
                self.sending = false;
                self.deadline.set(timeouts.first_byte);
            }
            Poll::Pending if waits == Waits::Client => {
                self.progress = None;
                self.deadline.clear();
            }
            Poll::Pending => {
                if self.progress != Some(outgoing.sent()) {
                    self.progress = Some(outgoing.sent());
                    self.deadline.set(timeouts.idle);
                }
            }
        }
        Ok(())
    }
}

/// Sends what there is of the content, as far as the server has room for it. While it waits,
/// `waits` says for whom.
pub(super) fn poll_upload(
    cx: &mut Context<'_>,
    outgoing: &mut Outgoing,
    stream: &mut SendStream<Bytes>,
    waits: &mut Waits,
) -> Poll<Result<(), SendError>> {
    if outgoing.is_told_over() {
        return Poll::Ready(Ok(()));
    }
    loop {
        match outgoing.poll_data(cx) {
            Poll::Pending => {
                *waits = Waits::Client;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => {
                stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(error));
            }
            Poll::Ready(Ok(())) => {}
        }
        if outgoing.data_left() == 0 {
            let ended = match outgoing.take_trailers() {
                Some(trailers) => stream.send_trailers(fields::trailers(&trailers)),
                None => stream.send_data(Bytes::new(), true),
            };
            outgoing.tell_over();
            return Poll::Ready(ended.map_err(|_| SendError::Upstream));
        }
        stream.reserve_capacity(outgoing.data_left());
        if stream.capacity() == 0 {
            *waits = Waits::Upstream;
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Poll::Ready(Err(SendError::Upstream)),
            }
        }
        let piece = outgoing.take_data(stream.capacity());
        let ends = outgoing.is_body_over() && !outgoing.has_trailers();
        if stream.send_data(piece, ends).is_err() {
            return Poll::Ready(Err(SendError::Upstream));
        }
        if ends {
            outgoing.tell_over();
            return Poll::Ready(Ok(()));
        }
    }
}

impl SharedCall {
    /// The answer as a response of ours. What is left of the request is sent while its body comes.
    ///
    /// # Errors
    /// Its length cannot be trusted.
    pub(in crate::handlers::proxy) fn respond(
        self,
        outgoing: &mut Option<Outgoing>,
        asked: &Asked<'_>,
    ) -> Result<Response, ParseError> {
        let (parts, content) = self.answer.into_parts();
        let (version, method) = (Version::Http11, &asked.request.method);
        let mut response = Response::new(self.status);
        response.headers = fields::headers(&parts.headers);
        let framing = response_framing(method, self.status, version, &response.headers)?;
        if *method == Method::Head {
            response.head_length = told_length(self.status, version, &response.headers)?;
        }
        let takes_trailers = asked.request.version == Version::Http2
            || asked.request.headers.has_token(&name::TE, "trailers");
        clean(&mut response.headers, Version::Http2, takes_trailers);
        let upload = outgoing.take().filter(|_| self.sending);
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::None => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        if content.is_end_stream() && upload.is_none() {
            return Ok(response);
        }
        if framing == Framing::None && upload.is_none() {
            // A stream that goes on behind an answer without content is of no use to anybody.
            return Ok(response);
        }
        response.body = Body::Stream(Box::new(SharedBody::new(Start {
            content,
            left,
            upload: upload.map(|upload| (Box::new(upload), self.stream)),
            lease: self.lease,
            slot: self.slot,
            deadline: self.deadline,
            idle_timeout: asked.upstream.timeouts.idle,
            takes_trailers,
        })));
        Ok(response)
    }
}
