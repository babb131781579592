//! Work behind an answer: what is further in than a middleware, run once more for nobody who
//! waits. A cache fetches so what it has just answered with, stale.

use std::fmt;

use super::{Exchange, Middleware, Response};
use crate::http::RequestHead;

/// A run of what is further in than a middleware: the rest of its chain, and the handler.
pub struct Behind {
    /// Whose inside is run: its [`Middleware::identity`].
    pub within: usize,
    /// The request it is run for. It has no body.
    pub request: RequestHead,
    /// What is done with the response.
    pub done: Done,
}

/// Takes the response of a run, with the exchange it was run in.
pub type Done = Box<dyn FnOnce(&mut Exchange<'_>, Response)>;

impl Exchange<'_> {
    /// Has the worker run what is further in than this middleware, for this request, in a task of
    /// its own, once this exchange has its answer. That may not happen (the worker has enough
    /// such tasks, or ends): then `done` is dropped.
    pub fn run_behind(
        &mut self,
        of: &(impl Middleware + ?Sized),
        request: RequestHead,
        done: Done,
    ) {
        let within = of.identity();
        self.facts_mut().behind.push(Behind {
            within,
            request,
            done,
        });
    }

    /// What is to be run, if anything.
    pub fn take_behind(&mut self) -> Option<Behind> {
        self.facts.as_mut()?.behind.pop()
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Behind({})", self.request.target.raw())
    }
}
