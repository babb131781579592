//! What the table finds: a chain and a handler.

use std::sync::Arc;

use super::chain::Chain;
use crate::handlers::Handler;
use crate::telemetry::RouteNumbers;

/// A chain of middleware around a handler.
#[derive(Debug)]
pub struct Route {
    /// The name the file gave it, or one made from its path.
    pub name: Arc<str>,
    /// What is done around the handler.
    pub chain: Chain,
    /// What makes the response.
    pub handler: Handler,
    /// What is counted of it, where something can read that.
    pub numbers: Option<Arc<RouteNumbers>>,
}
