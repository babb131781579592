//! Lookup.

use std::sync::Arc;

use super::chain::Chain;
use super::route::Route;
use crate::exchange::Params;
use crate::http::RequestHead;

/// The compiled routes of a listener.
#[derive(Debug)]
pub struct Table {
    misses: Chain,
}

/// What a lookup came to.
#[derive(Debug)]
pub enum Found<'t> {
    /// This route answers.
    Route(&'t Arc<Route>),
    /// OPTIONS for a path whose routes do not name it: 204 with this `Allow`, in the chain of
    /// the route that would answer the preflighted method (or the first one).
    Options(&'t Arc<Route>, String),
    /// The path has routes, but none for the method: 405 with this `Allow`.
    MethodNotAllowed(String),
    /// No route matches: 404.
    NotFound,
}

impl Table {
    /// The chain of misses (404, 405).
    pub fn misses(&self) -> &Chain {
        &self.misses
    }

    /// Finds the route of a request and fills in what its pattern captured.
    pub fn find<'t>(&'t self, _request: &RequestHead, _params: &mut Params<'t>) -> Found<'t> {
        Found::NotFound
    }
}
