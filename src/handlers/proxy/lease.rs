//! The use of an endpoint by one try: what it counts, and how it is told how it went.

use std::rc::Rc;
use std::time::Duration;

use tracing::warn;

use super::view::{EndpointView, View};
use crate::exchange::Why;
use crate::http::StatusCode;

/// An endpoint in use by one try. It counts as long as it lives. Its [`Witness`] is told once
/// how the try went; of a try that nobody told about (the client left), nothing is concluded.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) view: Rc<View>,
    pub(super) endpoint: Rc<EndpointView>,
}

/// Whom to tell how a try went.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    view: Rc<View>,
    pub(super) endpoint: Rc<EndpointView>,
}

impl Lease {
    pub(super) const fn new(view: Rc<View>, endpoint: Rc<EndpointView>) -> Self {
        Self { view, endpoint }
    }

    /// The endpoint as the log calls it.
    pub(super) fn name(&self) -> &Rc<str> {
        &self.endpoint.name
    }

    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) fn authority(&self) -> &str {
        &self.endpoint.authority
    }

    /// Whom to tell how the try went, also once the connection has been passed on or given back.
    pub(super) fn witness(&self) -> Witness {
        Witness {
            view: Rc::clone(&self.view),
            endpoint: Rc::clone(&self.endpoint),
        }
    }
}

impl Witness {
    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) fn authority(&self) -> &str {
        &self.endpoint.authority
    }

    /// A head that can be trusted has come, `first_byte` after the try began.
    pub(super) fn answered(&self, _status: StatusCode, _first_byte: Duration) {
        self.endpoint.welcome();
    }

    /// The try failed on this endpoint, before the answer or within it. `reason` is for the log,
    /// which hears of it at a bounded rate.
    pub(super) fn failed(&self, why: Why, reason: &str) {
        if self.endpoint.may_complain() {
            let (upstream, endpoint) = (&*self.view.name, &*self.endpoint.name);
            warn!(
                upstream,
                endpoint,
                why = why.as_str(),
                reason,
                "upstream failed"
            );
        }
    }
}
