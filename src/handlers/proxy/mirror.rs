//! A copy of some requests for another upstream, whose answers nobody sees.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::chance::Chance;
use super::fetch::Errand;
use super::outgoing::Head;
use super::pool::Pool;
use super::upstream::Upstream;
use crate::build::{ByteSize, HumanDuration, ParseContext, Percent, Problem, Section};
use crate::exchange::fetch::read_whole;
use crate::exchange::{BodyError, BodyStream, Exchange};
use crate::http::Headers;
use crate::http::h1::encode::BodyLength;
use crate::telemetry::{Count, Metrics};

/// How much of an answer is read, so that its connection can be used again. What is larger costs
/// more to read than a new connection does.
const ANSWER_MAX: usize = 1 << 20;

/// How much of a body may be kept for a copy. What is larger would not be a shadow any more.
const BODY_MAX: u64 = 16 << 20;

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    upstream: Spanned<String>,
    #[serde(default)]
    share: Option<Percent>,
    #[serde(default)]
    body: Option<Spanned<ByteSize>>,
    #[serde(default)]
    in_flight: Option<Spanned<usize>>,
    #[serde(default)]
    timeout: Option<HumanDuration>,
}

/// Read and right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MirrorSettings {
    pub(super) upstream: Arc<str>,
    share: Percent,
    body: usize,
    in_flight: usize,
    timeout: Duration,
}

/// Where copies go.
#[derive(Debug)]
pub(super) struct Mirror {
    upstream: Arc<Upstream>,
    settings: MirrorSettings,
    flying: Arc<Flying>,
}

/// Copies under way, of all workers. Written by those requests alone that are copied.
#[derive(Debug)]
struct Flying {
    count: AtomicUsize,
    sent: Count,
    dropped: Count,
}

/// A copy before it is sent: what is known before the body is.
pub(super) struct Copy {
    errand: Errand,
    timeout: Duration,
    worker: usize,
    slot: Slot,
}

/// A copy's place among those under way.
#[derive(Debug)]
struct Slot(Arc<Flying>);

/// Passes a body on and keeps it for a copy, which is sent when all of it has been.
struct Tee {
    body: Box<dyn BodyStream>,
    kept: Vec<u8>,
    room: usize,
    /// `None` once it was sent, or the body was too large.
    copy: Option<Copy>,
}

impl Written {
    pub(super) fn read(
        self,
        section: &Section<'_>,
        cx: &mut ParseContext<'_>,
    ) -> Option<MirrorSettings> {
        let upstream = cx.upstream(section, &self.upstream);
        let mut refuse = |at, message: String, hint: &str| {
            let problem = Problem::error("E0002", section.at(at), message).hint(hint);
            cx.problems.push(problem);
        };
        let body = self.body.as_ref().map_or(64 * 1024, |body| {
            let bytes = body.get_ref().0;
            if bytes > BODY_MAX {
                let message = format!("more than {} is kept in memory", ByteSize(BODY_MAX));
                refuse(body.span(), message, "larger requests are not copied");
            }
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        let in_flight = self.in_flight.as_ref().map_or(64, |most| {
            if *most.get_ref() == 0 {
                let message = "no copy could ever be sent".to_owned();
                refuse(most.span(), message, "leave `mirror` out to copy nothing");
            }
            *most.get_ref()
        });
        Some(MirrorSettings {
            upstream: upstream?,
            share: self.share.unwrap_or(Percent::whole(100)),
            body,
            in_flight,
            timeout: self.timeout.map_or(Duration::from_secs(10), |own| own.0),
        })
    }
}

impl Mirror {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        settings: MirrorSettings,
        metrics: &Metrics,
    ) -> Self {
        let labels = || vec![("upstream", (*settings.upstream).into())];
        let flying = Flying {
            count: AtomicUsize::new(0),
            sent: metrics.count(
                "httpserverd_proxy_mirrored_total",
                "Copies of requests that were sent.",
                labels(),
            ),
            dropped: metrics.count(
                "httpserverd_proxy_mirror_dropped_total",
                "Copies that were not sent: too many under way, or too large.",
                labels(),
            ),
        };
        Self {
            upstream,
            settings,
            flying: Arc::new(flying),
        }
    }

    /// Whether this request is to be copied.
    pub(super) fn wants(&self, chance: &Chance) -> bool {
        // A share is told to a hundredth of a percent.
        chance.below(10_000) < self.settings.share.of(10_000)
    }

    /// Sends a copy, now or when the body has passed; the body to be passed on.
    pub(super) fn copy(
        &self,
        x: &Exchange<'_>,
        head: Head,
        length: BodyLength,
        body: Option<Box<dyn BodyStream>>,
    ) -> Option<Box<dyn BodyStream>> {
        let worker = x.locals.worker;
        let too_large = |length: u64| length > self.settings.body as u64;
        let told = body.as_ref().and_then(|body| body.length());
        let slot = self.slot().filter(|_| !told.is_some_and(too_large));
        let Some(slot) = slot else {
            self.flying.dropped.add(worker, 1);
            return body;
        };
        let copy = Copy {
            errand: self.errand(x, head, length),
            timeout: self.settings.timeout,
            worker,
            slot,
        };
        let Some(body) = body else {
            copy.send(Bytes::new());
            return None;
        };
        Some(Box::new(Tee {
            body,
            kept: Vec::new(),
            room: self.settings.body,
            copy: Some(copy),
        }))
    }

    fn errand(&self, x: &Exchange<'_>, head: Head, length: BodyLength) -> Errand {
        let pool: Rc<Pool> = x.locals.keep();
        let view = pool.view(&self.upstream, x.locals);
        Errand {
            upstream: Arc::clone(&self.upstream),
            affinity: view.affinity(x),
            view,
            pool,
            deadlines: Rc::clone(&x.locals.deadlines),
            // Asked once: a copy that is lost is lost.
            method: x.request.method.clone(),
            head,
            body: Bytes::new(),
            length,
        }
    }

    /// A place among the copies under way, if there is one.
    fn slot(&self) -> Option<Slot> {
        let count = &self.flying.count;
        if count.fetch_add(1, Ordering::Relaxed) < self.settings.in_flight {
            return Some(Slot(Arc::clone(&self.flying)));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Copy {
    /// Sends it on a task of its own: nobody waits for it.
    fn send(self, body: Bytes) {
        let Self {
            mut errand,
            timeout,
            worker,
            slot,
        } = self;
        slot.0.sent.add(worker, 1);
        errand.body = body;
        let deadline = errand.deadlines.register();
        deadline.set(timeout);
        drop(tokio::task::spawn_local(async move {
            let answer = async {
                let response = errand.run_within(timeout).await.ok()?;
                read_whole(response.body, ANSWER_MAX).await.ok()
            };
            // Whatever it was, nobody sees it.
            drop(deadline.limit(Box::pin(answer)).await);
            drop(slot);
        }));
    }
}

impl Tee {
    fn keep(&mut self, piece: &Bytes) {
        let Some(copy) = &self.copy else { return };
        if piece.len() > self.room {
            copy.slot.0.dropped.add(copy.worker, 1);
            self.copy = None;
            self.kept = Vec::new();
            return;
        }
        self.room -= piece.len();
        self.kept.extend_from_slice(piece);
    }
}

impl BodyStream for Tee {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = ready!(self.body.poll_chunk(cx));
        match &next {
            Some(Ok(piece)) => {
                self.keep(piece);
                // Who knows the length does not ask for the end.
                if self.body.length() == Some(0)
                    && let Some(copy) = self.copy.take()
                {
                    copy.send(std::mem::take(&mut self.kept).into());
                }
            }
            Some(Err(_)) => self.copy = None,
            None => {
                if let Some(copy) = self.copy.take() {
                    copy.send(std::mem::take(&mut self.kept).into());
                }
            }
        }
        Poll::Ready(next)
    }

    fn length(&self) -> Option<u64> {
        self.body.length()
    }

    fn trailers(&mut self) -> Option<Headers> {
        self.body.trailers()
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tee({:?}, {} bytes kept)", self.body, self.kept.len())
    }
}
