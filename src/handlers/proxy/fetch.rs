//! Requests of the server's own: what middleware asks an upstream.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::call::{Call, CallError};
use super::connect::Connection;
use super::endpoint::EndpointId;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::pool::Pool;
use super::request::{body_length, write_asked};
use super::response::{Asked, respond};
use super::upstream::Upstream;
use super::view::{Affinity, View};
use super::{ENDPOINTS_TRIED_MAX, Failed, failed};
use crate::clock;
use crate::exchange::{
    BodyStream, Deadlines, Fetch, Fetcher, LocalBoxFuture, Response, Why, WorkerLocals,
};
use crate::http::RequestHead;

/// Asks this upstream.
pub fn fetcher(upstream: &Arc<Upstream>) -> Fetcher {
    Fetcher::new(Arc::new(Asks(Arc::clone(upstream))))
}

#[derive(Debug)]
struct Asks(Arc<Upstream>);

/// One request of our own on its way.
struct Errand {
    upstream: Arc<Upstream>,
    view: Rc<View>,
    pool: Rc<Pool>,
    deadlines: Rc<Deadlines>,
    request: RequestHead,
    body: Bytes,
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
        let errand = Errand {
            upstream: Arc::clone(&self.0),
            view: pool.view(&self.0, locals),
            pool,
            deadlines: Rc::clone(&locals.deadlines),
            request,
            body,
        };
        Box::pin(async move {
            let deadline = errand.deadlines.register();
            deadline.set(timeout);
            let answer = deadline.limit(errand.run()).await;
            answer.unwrap_or(Err(Why::FirstByteTimeout))
        })
    }
}

impl Errand {
    /// Tries endpoints until one can be connected to; what it answers is the answer.
    async fn run(&self) -> Result<Response, Why> {
        let mut tried = SmallVec::<[EndpointId; ENDPOINTS_TRIED_MAX]>::new();
        let mut failed = Why::NoEndpoint;
        let repeatable = self.request.method.is_idempotent();
        let affinity = Affinity::default();
        while tried.len() < ENDPOINTS_TRIED_MAX {
            let leased = self.view.lease(&affinity, &tried, repeatable);
            let refused = match leased.await {
                Ok(connection) => match self.ask(connection).await {
                    Err(Failed::Connect(refused)) => refused,
                    Err(Failed::Upstream(why) | Failed::Client(why)) => return Err(why),
                    Ok(response) => return Ok(response),
                },
                Err(refused) => refused,
            };
            if refused.endpoint.is_some() || tried.is_empty() {
                failed = refused.why;
            }
            let Some(endpoint) = refused.endpoint else {
                break;
            };
            tried.push(endpoint.id);
        }
        Err(failed)
    }

    /// Asks one endpoint, once more on a new connection if a kept one had ended meanwhile.
    async fn ask(&self, mut connection: Connection) -> Result<Response, Failed> {
        loop {
            let began = clock::now();
            let outgoing = self.outgoing(connection.lease.authority());
            let incoming = Incoming::new(self.pool.buffers.take());
            let mut call = Call::new(connection, outgoing, incoming);
            let answer = call.answer(&self.upstream.timeouts).await;
            let stale = call.connection.reused && self.request.method.is_idempotent();
            if stale && answer == Err(CallError::Unanswered) {
                connection = call.connection.renew().await.map_err(Failed::Connect)?;
                continue;
            }
            let witness = call.connection.lease.witness();
            let status = call.incoming.head.status;
            let answered = answer.and_then(|()| self.answered(call));
            return match answered {
                Ok(response) => {
                    witness.answered(status, clock::now().saturating_duration_since(began));
                    Ok(response)
                }
                Err(error) => Err(failed(&witness, error)),
            };
        }
    }

    fn outgoing(&self, authority: &str) -> Outgoing {
        let given = (!self.body.is_empty()).then_some(&self.body);
        let length = body_length(&self.request, given.map(|body| Some(body.len() as u64)));
        let mut head = self.pool.buffers.take();
        let keep_alive = self.upstream.keep_alive.max_idle > 0;
        write_asked(&mut head, &self.request, authority, length, keep_alive);
        let body = given.map(|body| Box::new(body.clone()) as Box<dyn BodyStream>);
        Outgoing::new(head, body, length)
    }

    fn answered(&self, call: Call) -> Result<Response, CallError> {
        let asked = Asked {
            request: &self.request,
            upstream: &self.upstream,
            upgrade: false,
            pool: Rc::clone(&self.pool),
        };
        respond(call, asked).map_err(CallError::BadHead)
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
    use crate::http::{Method, Version, name};

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
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let question = TestRequest::get("/");
        let asked = fetcher(&upstream(&address.to_string())).fetch(
            &question.locals,
            question.head.clone(),
            Bytes::new(),
            Duration::from_secs(20),
        );
        assert_eq!(block_on(asked).unwrap_err(), Why::ConnectRefused);
    }
}
