//! Requests of the server's own: what middleware asks an upstream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::attempt::{Failure, Reply, Sending};
use super::endpoint::EndpointId;
use super::outgoing::{Head, Outgoing};
use super::pool::Pool;
use super::request::{body_length, own_head};
use super::response::{Asked, respond};
use super::upstream::Upstream;
use super::view::{Affinity, View};
use crate::clock;
use crate::exchange::{
    BodyStream, Deadlines, Fetch, Fetcher, LocalBoxFuture, Response, UpstreamTrail, Why,
    WorkerLocals,
};
use crate::http::h1::encode::BodyLength;
use crate::http::{Method, RequestHead};

/// How many endpoints are tried for one request if they cannot be connected to. A third that
/// fails says more about the network than about endpoints.
const ENDPOINTS_TRIED_MAX: usize = 3;

/// Asks this upstream.
pub fn fetcher(upstream: &Arc<Upstream>) -> Fetcher {
    Fetcher::new(Arc::new(Asks(Arc::clone(upstream))))
}

#[derive(Debug)]
struct Asks(Arc<Upstream>);

/// One request of our own on its way.
pub(super) struct Errand {
    pub(super) upstream: Arc<Upstream>,
    pub(super) view: Rc<View>,
    pub(super) pool: Rc<Pool>,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) method: Method,
    pub(super) head: Head,
    pub(super) body: Bytes,
    pub(super) length: BodyLength,
    pub(super) affinity: Affinity,
}

impl Fetch for Asks {
    fn fetch(
        &self,
        locals: &WorkerLocals,
        request: RequestHead,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Response, Why>> {
        let pool: Rc<Pool> = locals.keep();
        let given = (!body.is_empty()).then_some(Some(body.len() as u64));
        let length = body_length(&request, given);
        let keep_alive = self.0.keep_alive.max_idle > 0 && self.0.manner.announce.is_none();
        let errand = Errand {
            upstream: Arc::clone(&self.0),
            view: pool.view(&self.0, locals),
            head: own_head(pool.buffers.take(), &request, length, keep_alive),
            method: request.method,
            pool,
            deadlines: Rc::clone(&locals.deadlines),
            body,
            length,
            // It has no client, so nothing ties it to an endpoint.
            affinity: Affinity::default(),
        };
        Box::pin(errand.run_within(timeout))
    }
}

impl Errand {
    /// Asks, and waits no longer than this for the head of the answer.
    pub(super) async fn run_within(self, timeout: Duration) -> Result<Response, Why> {
        let deadline = self.deadlines.register();
        deadline.set(timeout);
        let answer = deadline.limit(self.run()).await;
        answer.unwrap_or(Err(Why::FirstByteTimeout))
    }

    /// Tries endpoints until one can be connected to; what it answers is the answer.
    async fn run(&self) -> Result<Response, Why> {
        let sending = Sending {
            view: &self.view,
            pool: &self.pool,
            deadlines: &self.deadlines,
            per_try: None,
            affinity: self.affinity,
            idempotent: self.method.is_idempotent(),
            preface: self
                .upstream
                .manner
                .announce
                .map(|_| self.upstream.manner.own_preface()),
            started: clock::now(),
            inform: None,
            trying: Cell::new(None),
        };
        let mut trail = UpstreamTrail::default();
        let trail = RefCell::new(&mut trail);
        let mut tried = SmallVec::<[EndpointId; ENDPOINTS_TRIED_MAX]>::new();
        let mut failed = Why::NoEndpoint;
        while tried.len() < ENDPOINTS_TRIED_MAX {
            let mut outgoing = self.outgoing();
            let attempted = sending.attempt(&trail, &tried, &mut outgoing).await;
            match attempted.outcome {
                Ok(reply) => return self.answered(reply, outgoing, attempted.began),
                Err(Failure::Refused(why)) => failed = why,
                Err(Failure::Unavailable(why)) if tried.is_empty() => return Err(why),
                Err(Failure::Unavailable(_)) => break,
                Err(failure) => return Err(failure.why()),
            }
            tried.extend(attempted.endpoint.map(|endpoint| endpoint.id));
        }
        Err(failed)
    }

    fn outgoing(&self) -> Outgoing {
        let has_body = !self.body.is_empty() || self.length == BodyLength::Chunked;
        let given = has_body.then(|| self.body.clone());
        let body = given.map(|body| Box::new(body) as Box<dyn BodyStream>);
        Outgoing::new(self.head.clone(), body, self.length)
    }

    fn answered(&self, reply: Reply, outgoing: Outgoing, began: Instant) -> Result<Response, Why> {
        let witness = reply.lease().witness();
        let status = reply.status();
        let request = RequestHead {
            method: self.method.clone(),
            ..RequestHead::default()
        };
        let asked = Asked {
            request: &request,
            upstream: &self.upstream,
            upgrade: false,
            keep: self.upstream.manner.announce.is_none(),
            pool: Rc::clone(&self.pool),
        };
        let answer = respond(reply, &mut Some(outgoing), asked);
        match &answer {
            Ok(_) => witness.answered(status, clock::now().saturating_duration_since(began)),
            Err(error) => witness.failed(Why::UpstreamBadHead, error.reason()),
        }
        answer.map_err(|_| Why::UpstreamBadHead)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::build::{BuildContext, CarryOver, ParseContext, Section};
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::handlers::UPSTREAM;
    use crate::handlers::proxy::via::write_request_via;
    use crate::http::{Version, name};

    fn upstream(address: &str) -> Arc<Upstream> {
        let text = format!("servers = [\"{address}\"]");
        let section = Section::from_text(&text).unwrap();
        let settings = (UPSTREAM.parse)(&section, &mut ParseContext::default()).unwrap();
        let mut kept = CarryOver::default();
        let mut cx = BuildContext::new(&mut kept, "/".into());
        settings.build(&mut cx).unwrap()
    }

    #[test]
    fn a_question_goes_out_as_it_is_and_its_answer_comes_back_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = thread::Builder::new()
            .spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\nbody") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    heard.push(byte[0]);
                }
                stream
                    .write_all(b"HTTP/1.1 403 No\r\nX-A: b\r\nContent-Length: 2\r\n\r\nno")
                    .unwrap();
                String::from_utf8(heard).unwrap()
            })
            .unwrap();
        let question = TestRequest::new(Method::Post, "/check?x=1")
            .header("Content-Length", "9")
            .header("Connection", "close")
            .header("X-Forwarded-For", "192.0.2.7")
            .header("Cookie", "a=b");
        let upstream = upstream(&address);
        let asked = fetcher(&upstream).ask(
            &question.locals,
            question.head.clone(),
            Bytes::from_static(b"body"),
            Duration::from_secs(20),
            1024,
        );
        let fetched = block_on(async { tokio::task::LocalSet::new().run_until(asked).await });
        let fetched = fetched.unwrap();
        assert_eq!(fetched.response.status.code(), 403);
        assert_eq!(&*fetched.content, b"no");
        let via = fetched.response.headers.get_str(&name::VIA);
        assert_eq!(via, Some("1.1 httpserverd"));
        let mut own = Vec::new();
        write_request_via(&mut own, Version::Http11);
        let own = String::from_utf8(own).unwrap();
        assert_eq!(
            answers
                .join()
                .unwrap()
                .replace(&own, "Via: 1.1 httpserverd\r\n"),
            format!(
                "POST /check?x=1 HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: 192.0.2.7\r\n\
                 Cookie: a=b\r\nVia: 1.1 httpserverd\r\nContent-Length: 4\r\n\r\nbody"
            )
        );
    }

    #[test]
    fn nobody_there_is_told_in_a_word() {
        let question = TestRequest::get("/");
        // Port 1 is nobody's: it is not among those that the kernel gives away.
        let asked = fetcher(&upstream("127.0.0.1:1")).fetch(
            &question.locals,
            question.head.clone(),
            Bytes::new(),
            Duration::from_secs(20),
        );
        assert_eq!(block_on(asked).unwrap_err(), Why::ConnectRefused);
    }
}
