//! Asking an upstream something on behalf of the server itself: is this token good, what are
//! today's keys, is this answer still fresh?
//!
//! A middleware finds whom to ask when it is built, by `cx.provided::<Fetcher>(name)`, and asks
//! in a [`super::Flow::Wait`]:
//!
//! ```text
//! let asked = self.fetcher.ask(x.locals, request, Bytes::new(), self.timeout, 64 * 1024);
//! Flow::Wait(Box::pin(async move {
//!     let answer = asked.await;
//!     Box::new(move |x| …)
//! }))
//! ```

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::body::BodyStream;
use super::{Body, LocalBoxFuture, Part, Response, Why, WorkerLocals};
use crate::http::RequestHead;

/// Someone who can be asked: an upstream.
pub trait Fetch: Send + Sync + fmt::Debug {
    /// Sends a request and waits for the head of the answer, no longer than `timeout`. The
    /// content comes as it comes; dropping it drops the connection it comes on.
    ///
    /// `Host` is the authority of the request if it has one, otherwise the endpoint's. Fields
    /// about the connection and the framing are the sender's; all others go out as they are.
    ///
    /// # Errors
    /// No answer could be had. An answer that says no, a 500 also, is an answer.
    fn fetch(
        &self,
        locals: &WorkerLocals,
        request: RequestHead,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Response, Why>>;
}

/// Asks one upstream; provided under its name to whoever is built after it.
#[derive(Debug, Clone)]
pub struct Fetcher(Arc<dyn Fetch>);

/// An answer that has come whole.
#[derive(Debug)]
pub struct Fetched {
    /// Its status and fields; its body is empty.
    pub response: Response,
    /// Its content.
    pub content: Bytes,
}

impl Fetcher {
    /// Asks through this.
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self(fetch)
    }

    /// See [`Fetch::fetch`].
    pub fn fetch(
        &self,
        locals: &WorkerLocals,
        request: RequestHead,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Response, Why>> {
        self.0.fetch(locals, request, body, timeout)
    }

    /// Asks, and reads all of the answer: up to `limit` bytes of content, all within `timeout`.
    ///
    /// # Errors
    /// No answer could be had, its content broke off, or it is larger (`body_too_large`).
    pub fn ask(
        &self,
        locals: &WorkerLocals,
        request: RequestHead,
        body: Bytes,
        timeout: Duration,
        limit: usize,
    ) -> LocalBoxFuture<'static, Result<Fetched, Why>> {
        let deadlines = Rc::clone(&locals.deadlines);
        let asked = self.0.fetch(locals, request, body, timeout);
        Box::pin(async move {
            let deadline = deadlines.register();
            deadline.set(timeout);
            let whole = async {
                let mut response = asked.await?;
                let content = read_whole(std::mem::take(&mut response.body), limit).await?;
                Ok(Fetched { response, content })
            };
            let whole = deadline.limit(whole).await;
            whole.unwrap_or(Err(Why::IdleTimeout))
        })
    }
}

/// The content of a body that comes from memory or is streamed, up to `limit` bytes.
///
/// # Errors
/// It broke off, is larger (`body_too_large`), or comes from a file, which nobody fetches.
pub async fn read_whole(body: Body, limit: usize) -> Result<Bytes, Why> {
    let too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > limit);
    if body.length().is_some_and(too_large) {
        return Err(Why::BodyTooLarge);
    }
    match body {
        Body::Empty => Ok(Bytes::new()),
        Body::Bytes(bytes) => Ok(bytes),
        Body::Stream(stream) => read_stream(stream, limit).await,
        Body::Parts(parts) => {
            let mut content = Vec::new();
            for part in parts {
                match part {
                    Part::Bytes(bytes) => content.extend_from_slice(&bytes),
                    Part::File(_) => return Err(Why::FileError),
                }
            }
            Ok(content.into())
        }
        Body::File(_) | Body::Tunnel(_) => Err(Why::FileError),
    }
}

async fn read_stream(mut stream: Box<dyn BodyStream>, limit: usize) -> Result<Bytes, Why> {
    let mut content = Vec::new();
    while let Some(piece) = stream.chunk().await {
        let piece = piece.map_err(|error| error.0)?;
        if content.len() + piece.len() > limit {
            return Err(Why::BodyTooLarge);
        }
        content.extend_from_slice(&piece);
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::http::StatusCode;

    #[derive(Debug)]
    struct Says(&'static [u8]);

    impl Fetch for Says {
        fn fetch(
            &self,
            _: &WorkerLocals,
            _: RequestHead,
            _: Bytes,
            _: Duration,
        ) -> LocalBoxFuture<'static, Result<Response, Why>> {
            let mut response = Response::new(StatusCode::OK);
            response.body = Body::Stream(Box::new(Bytes::from_static(self.0)));
            Box::pin(async move { Ok(response) })
        }
    }

    #[test]
    fn an_answer_is_read_whole_and_no_further_than_the_limit() {
        let request = TestRequest::get("/");
        let fetcher = Fetcher::new(Arc::new(Says(b"four")));
        for (limit, expected) in [(4, Ok(&b"four"[..])), (3, Err(Why::BodyTooLarge))] {
            let asked = fetcher.ask(
                &request.locals,
                request.head.clone(),
                Bytes::new(),
                Duration::from_mins(1),
                limit,
            );
            let content = block_on(asked).map(|fetched| fetched.content);
            assert_eq!(content.as_deref(), expected.as_ref().copied());
        }
    }

    #[test]
    fn bodies_of_every_kind_are_read_or_refused() {
        let text = Bytes::from_static(b"ab");
        let bodies = [
            (Body::Empty, Ok(&b""[..])),
            (Body::Bytes(text.clone()), Ok(b"ab")),
            (
                Body::Parts(vec![Part::Bytes(text.clone()), Part::Bytes(text)]),
                Ok(b"abab"),
            ),
            (
                Body::Bytes(Bytes::from_static(b"abcde")),
                Err(Why::BodyTooLarge),
            ),
        ];
        for (body, expected) in bodies {
            let read = block_on(read_whole(body, 4));
            assert_eq!(read.as_deref(), expected.as_ref().copied());
        }
    }
}
