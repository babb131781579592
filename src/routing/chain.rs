//! The compiled middleware of a route, and how its hooks are run.

use std::sync::Arc;

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

impl Chain {
    /// A chain of these, outermost first.
    pub fn new(links: impl IntoIterator<Item = Arc<dyn Middleware>>) -> Self {
        Self {
            links: links.into_iter().collect(),
        }
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
                    Flow::Wait(future) => flow = future.await(x),
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
