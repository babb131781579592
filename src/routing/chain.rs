//! The compiled middleware of a route, and how its hooks are run.

use std::sync::Arc;

use crate::exchange::deadlines::Elapsed;
use crate::exchange::{Exchange, Flow, Middleware, Outcome, Response};

/// The middleware of a route, outermost first.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    links: Arc<[Arc<dyn Middleware>]>,
}

/// How far into its chain an exchange got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entered {
    /// These get `on_response`: their `on_request` said `Continue`.
    continued: usize,
    /// These get `on_complete`: those, and the one that answered.
    entered: usize,
}

impl Entered {
    /// Whether no link was entered: nobody hears how the exchange ends.
    pub const fn is_empty(self) -> bool {
        self.entered == 0
    }
}

impl Chain {
    /// A chain of these, outermost first.
    pub fn new(links: impl IntoIterator<Item = Arc<dyn Middleware>>) -> Self {
        Self {
            links: links.into_iter().collect(),
        }
    }

    /// Whether there is nobody in it.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// What is further in than the link of this identity; `None` if there is no such link.
    pub fn within(&self, identity: usize) -> Option<Self> {
        let at = self
            .links
            .iter()
            .position(|link| link.identity() == identity)?;
        let inner = self.links.iter().skip(at.saturating_add(1));
        Some(Self::new(inner.cloned()))
    }

    /// Runs `on_request` inwards; the response of the one that answered, if one did.
    ///
    /// `entered` is kept up to date at every step, so that `on_complete` is right also when the
    /// exchange is dropped while a link waits.
    pub async fn on_request(
        &self,
        x: &mut Exchange<'_>,
        entered: &mut Entered,
    ) -> Option<Response> {
        for link in self.links.iter() {
            entered.entered = entered.entered.saturating_add(1);
            let mut flow = link.on_request(x);
            loop {
                match flow {
                    Flow::Continue => break,
                    Flow::Respond(response) => return Some(response),
                    Flow::Wait(future) => {
                        let resume = match x.deadline() {
                            None => future.await,
                            Some(deadline) => match deadline.limit(future).await {
                                Ok(resume) => resume,
                                Err(Elapsed) => return Some(Response::timed_out(x)),
                            },
                        };
                        flow = resume(x);
                    }
                }
            }
            entered.continued = entered.continued.saturating_add(1);
        }
        None
    }

    /// Runs `on_response` outwards.
    pub fn on_response(&self, entered: Entered, x: &mut Exchange<'_>, response: &mut Response) {
        for link in self.links.iter().take(entered.continued).rev() {
            link.on_response(x, response);
        }
    }

    /// Runs `on_complete` outwards.
    pub fn on_complete(&self, entered: Entered, x: &Exchange<'_>, outcome: &Outcome) {
        for link in self.links.iter().take(entered.entered).rev() {
            link.on_complete(x, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::exchange::{LocalBoxFuture, Resume};
    use crate::http::StatusCode;

    type Said = Arc<Mutex<Vec<String>>>;

    /// Says what it is asked to do.
    #[derive(Debug)]
    struct Link {
        name: &'static str,
        answer: Answer,
        said: Said,
    }

    #[derive(Debug, Clone, Copy)]
    enum Answer {
        Continue,
        Respond,
        /// Asks someone, so many times, then does the other.
        Wait(u32, bool),
        Never,
    }

    fn wait(times: u32, respond: bool) -> LocalBoxFuture<'static, Resume> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let resume: Resume = Box::new(move |x| match (times, respond) {
                (2.., _) => Flow::Wait(wait(times.saturating_sub(1), respond)),
                (_, true) => Flow::Respond(Response::text(StatusCode::OK, x.route.to_owned())),
                (_, false) => {
                    x.request_id = Some("resumed".into());
                    Flow::Continue
                }
            });
            resume
        })
    }

    impl Middleware for Link {
        fn on_request(&self, _: &mut Exchange<'_>) -> Flow {
            self.say("request");
            match self.answer {
                Answer::Continue => Flow::Continue,
                Answer::Respond => Flow::Respond(Response::new(StatusCode::FORBIDDEN)),
                Answer::Wait(times, respond) => Flow::Wait(wait(times, respond)),
                Answer::Never => Flow::Wait(Box::pin(std::future::pending())),
            }
        }

        fn on_response(&self, _: &mut Exchange<'_>, response: &mut Response) {
            self.say(&format!("response {}", response.status));
        }

        fn on_complete(&self, _: &Exchange<'_>, _: &Outcome) {
            self.say("complete");
        }
    }

    impl Link {
        fn say(&self, what: &str) {
            let line = format!("{} {what}", self.name);
            self.said.lock().unwrap().push(line);
        }
    }

    fn chain(answers: &[Answer]) -> (Chain, Said) {
        let said = Said::default();
        let links = ["a", "b", "c"].iter().zip(answers).map(|(&name, &answer)| {
            let said = Arc::clone(&said);
            Arc::new(Link { name, answer, said }) as Arc<dyn Middleware>
        });
        (Chain::new(links), said)
    }

    fn outcome() -> Outcome {
        Outcome {
            status: None,
            body_sent: 0,
            body_received: 0,
            duration: Duration::ZERO,
            why: None,
        }
    }

    /// Runs all hooks as dispatch does; what was said, and whether a link answered.
    fn run(answers: &[Answer]) -> (Vec<String>, Option<StatusCode>) {
        let (chain, said) = chain(answers);
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let mut entered = Entered::default();
        let answered = block_on(chain.on_request(&mut x, &mut entered));
        let status = answered.as_ref().map(|response| response.status);
        let mut response = answered.unwrap_or_else(|| Response::new(StatusCode::OK));
        chain.on_response(entered, &mut x, &mut response);
        chain.on_complete(entered, &x, &outcome());
        let said = said.lock().unwrap().clone();
        (said, status)
    }

    #[test]
    fn inwards_in_order_and_outwards_in_reverse() {
        let (said, answered) = run(&[Answer::Continue, Answer::Continue]);
        let expected = [
            "a request",
            "b request",
            "b response 200",
            "a response 200",
            "b complete",
            "a complete",
        ];
        assert_eq!(
            (said.as_slice(), answered),
            (&expected.map(String::from)[..], None)
        );
    }

    #[test]
    fn who_answers_gets_no_response_hook_and_who_is_further_in_nothing() {
        let (said, answered) = run(&[Answer::Continue, Answer::Respond, Answer::Continue]);
        let expected = [
            "a request",
            "b request",
            "a response 403",
            "b complete",
            "a complete",
        ];
        assert_eq!(said, expected);
        assert_eq!(answered, Some(StatusCode::FORBIDDEN));
    }

    #[test]
    fn who_waits_goes_on_or_answers_when_resumed() {
        let (said, answered) = run(&[Answer::Wait(1, false), Answer::Wait(3, true)]);
        let expected = [
            "a request",
            "b request",
            "a response 200",
            "b complete",
            "a complete",
        ];
        assert_eq!(
            (said.as_slice(), answered),
            (&expected.map(String::from)[..], Some(StatusCode::OK))
        );
        let (said, answered) = run(&[Answer::Wait(2, false)]);
        assert_eq!(said, ["a request", "a response 200", "a complete"]);
        assert_eq!(answered, None);
    }

    #[test]
    fn who_was_waiting_when_the_exchange_was_dropped_is_completed_too() {
        let (chain, said) = chain(&[Answer::Continue, Answer::Never, Answer::Continue]);
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let mut entered = Entered::default();
        {
            let mut waiting = pin!(chain.on_request(&mut x, &mut entered));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(waiting.as_mut().poll(&mut cx), Poll::Pending));
        }
        chain.on_complete(entered, &x, &outcome());
        let said = said.lock().unwrap().clone();
        assert_eq!(said, ["a request", "b request", "b complete", "a complete"]);
    }

    #[test]
    fn what_is_further_in_than_a_link_is_a_chain() {
        let (chain, said) = chain(&[Answer::Continue, Answer::Continue, Answer::Respond]);
        let links: Vec<usize> = chain.links.iter().map(|link| link.identity()).collect();
        let &[first, _, last] = links.as_slice() else {
            panic!("three links")
        };
        let inner = chain.within(first).unwrap();
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let answered = block_on(inner.on_request(&mut x, &mut Entered::default()));
        assert!(answered.is_some());
        assert_eq!(*said.lock().unwrap(), ["b request", "c request"]);
        assert!(chain.within(last).unwrap().links.is_empty());
        assert!(inner.within(first).is_none());
    }

    #[test]
    fn an_empty_chain_does_nothing_at_once() {
        let (said, answered) = run(&[]);
        assert!(said.is_empty() && answered.is_none());
    }
}
