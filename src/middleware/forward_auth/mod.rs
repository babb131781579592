//! `forward_auth`: whether a request may pass, asked of a service that knows.
//!
//! ```text
//! request ──▶ GET PATH at the upstream, with the request's fields and X-Forwarded-…
//!                 2xx ──▶ go on, with chosen fields of the answer
//!                 3xx, 4xx ──▶ the answer goes to the client: a login page, a 403
//!                 5xx, nothing in time ──▶ 503, or what `on_error` says
//! ```

mod settings;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::credentials::{Tally, Verdict, retry_after};
use super::told::take_away;
use crate::exchange::{Body, Exchange, Fetched, Fetcher, Flow, Middleware, Response, Resume, Why};
use crate::http::{HeaderName, Headers, RequestHead, StatusCode, name};

pub(super) use settings::KIND;

/// Asks a service.
#[derive(Debug, Clone)]
struct ForwardAuth(Arc<Asker>);

#[derive(Debug)]
struct Asker {
    fetcher: Arc<Fetcher>,
    /// What every question begins with: method, path and host.
    question: RequestHead,
    timeout: Duration,
    /// Fields of the request that the service sees; all if `None`.
    sent: Option<Vec<HeaderName>>,
    /// Fields of its answer that those further in see; what a client sends under their names is
    /// taken away.
    told: Vec<HeaderName>,
    /// The field of the answer that names the user.
    user: Option<HeaderName>,
    /// Whether requests pass while nobody can say whether they may.
    pass_on_error: bool,
    tally: Tally,
}

/// How large an answer may be that goes to the client: a login page.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Cookies that the service gave to a client it let pass: a session that was renewed.
struct Cookies(Vec<Box<[u8]>>);

/// So that it can hold things for an exchange; its address stays when it is wrapped.
impl Middleware for Asker {}

impl Middleware for ForwardAuth {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let asker = Arc::clone(&self.0);
        let question = asker.question(x);
        // Told by the service alone.
        for name in &asker.told {
            take_away(&mut x.request.headers, name);
        }
        let answered = asker.fetcher.ask(
            x.locals,
            question,
            Bytes::new(),
            asker.timeout,
            ANSWER_BYTES_MAX,
        );
        Flow::Wait(Box::pin(async move {
            let answer = answered.await;
            Box::new(move |x: &mut Exchange<'_>| asker.decide(x, answer)) as Resume
        }))
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        if let Some(Cookies(cookies)) = x.take_held(&*self.0) {
            for cookie in cookies {
                response.headers.append(&name::SET_COOKIE, cookie);
            }
        }
    }
}

impl Asker {
    fn question(&self, x: &Exchange<'_>) -> RequestHead {
        let mut question = self.question.clone();
        let request = &*x.request;
        match &self.sent {
            Some(names) => {
                for name in names {
                    for value in request.headers.get_all(name) {
                        question.headers.append(name, value);
                    }
                }
            }
            None => {
                for (field, value) in request.headers.iter() {
                    if !is_of_the_message(field)
                        && let Some(field) = HeaderName::from_bytes(field)
                    {
                        question.headers.append(&field, value);
                    }
                }
            }
        }
        // Only what this server itself says of where a request came from is said here.
        question.headers.remove(&name::FORWARDED);
        let headers = &mut question.headers;
        headers.set(&name::X_FORWARDED_METHOD, request.method.as_str());
        headers.set(&name::X_FORWARDED_URI, origin_form(request));
        headers.set(&name::X_FORWARDED_PROTO, x.scheme());
        headers.set(&name::X_FORWARDED_HOST, request.authority());
        headers.set(&name::X_FORWARDED_FOR, x.client_ip.to_string());
        question
    }

    fn decide(&self, x: &mut Exchange<'_>, answer: Result<Fetched, Why>) -> Flow {
        let Ok(Fetched { response, content }) = answer else {
            return self.unanswered(x);
        };
        match response.status.code() {
            200..=299 => self.accept(x, &response.headers),
            300..=499 => {
                let verdict = match response.status {
                    StatusCode::UNAUTHORIZED => Verdict::Missing,
                    StatusCode::FORBIDDEN => Verdict::Insufficient,
                    _ => Verdict::Wrong,
                };
                self.tally.count(x, verdict);
                Flow::Respond(passed_on(&response, content))
            }
            _ => self.unanswered(x),
        }
    }

    fn accept(&self, x: &mut Exchange<'_>, answer: &Headers) -> Flow {
        self.tally.accept(x);
        for name in &self.told {
            for value in answer.get_all(name) {
                x.request.headers.append(name, value);
            }
        }
        if let Some(user) = self.user.as_ref().and_then(|name| answer.get_str(name)) {
            x.facts_mut().user = Some(user.into());
        }
        let cookies: Vec<Box<[u8]>> = answer.get_all(&name::SET_COOKIE).map(Into::into).collect();
        if !cookies.is_empty() {
            x.hold(self, Cookies(cookies));
        }
        Flow::Continue
    }

    /// Nobody can say whether it may pass.
    fn unanswered(&self, x: &mut Exchange<'_>) -> Flow {
        if self.pass_on_error {
            self.tally.count(x, Verdict::Excused);
            return Flow::Continue;
        }
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let flow = self.tally.refuse(x, Verdict::Unavailable, status, None);
        retry_after(flow, 1)
    }
}

/// Path and query as the client wrote them.
fn origin_form(request: &RequestHead) -> String {
    let target = &request.target;
    let path = target.upstream_path();
    match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    }
}

/// The answer as the client gets it: what is about the other connection and about a message
/// that has come to its end stays here.
fn passed_on(answer: &Response, content: Bytes) -> Response {
    let mut response = Response::new(answer.status);
    for (field, value) in answer.headers.iter() {
        if !is_of_the_message(field)
            && let Some(field) = HeaderName::from_bytes(field)
        {
            response.headers.append(&field, value);
        }
    }
    response.body = Body::from(content);
    response.why = Some(Why::CredentialsRefused);
    response
}

/// Fields about one connection or the framing of one message (RFC 9110 §7.6.1), and `Host`.
fn is_of_the_message(field: &[u8]) -> bool {
    const NAMES: [&str; 12] = [
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Expect",
    ];
    NAMES
        .iter()
        .any(|name| field.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests;
