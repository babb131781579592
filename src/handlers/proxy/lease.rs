//! The use of an endpoint by one try: what it counts, and how it is told how it went.

use std::rc::Rc;
use std::time::Duration;

use tracing::warn;

use super::balance::peak_ewma;
use super::connect::{ConnectError, Connection, connect};
use super::health::breaker::Pass;
use super::health::outlier;
use super::view::{EndpointView, Refused, View};
use crate::clock;
use crate::exchange::Why;
use crate::http::StatusCode;

/// An endpoint in use by one try. It counts as long as it lives. Its [`Witness`] is told once
/// how the try went; of a try that nobody told about (the client left), nothing is concluded.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) view: Rc<View>,
    pub(super) endpoint: Rc<EndpointView>,
    /// It is counted by its endpoint.
    counted: bool,
    /// It is counted by its upstream.
    limited: bool,
    /// It tries out an upstream whose circuit was open.
    pub(super) trial: Option<Trial>,
}

/// Whom to tell how a try went.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    view: Rc<View>,
    pub(super) endpoint: Rc<EndpointView>,
    on_trial: bool,
}

/// A request that tries out an upstream whose circuit was open. Over when it is dropped.
#[derive(Debug)]
pub(super) struct Trial(Rc<View>);

impl Trial {
    /// Whether a request may pass the circuit breaker, and whether it is on trial.
    pub(super) fn pass(view: &Rc<View>) -> Result<Option<Self>, Refused> {
        let Some(rules) = &view.rules.breaker else {
            return Ok(None);
        };
        let passed = view.state.breaker.ask(&view.name, rules, clock::millis());
        match passed {
            Pass::Freely => Ok(None),
            Pass::OnTrial => Ok(Some(Self(Rc::clone(view)))),
            Pass::Refused => Err(Refused::none(Why::BreakerOpen)),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(rules) = &self.0.rules.breaker {
            self.0.state.breaker.trial_over(&self.0.name, rules);
        }
    }
}

impl Lease {
    /// The use of an endpoint that counts it already, as its upstream does, if they do.
    pub(super) const fn new(
        view: Rc<View>,
        endpoint: Rc<EndpointView>,
        counted: bool,
        limited: bool,
    ) -> Self {
        Self {
            view,
            endpoint,
            counted,
            limited,
            trial: None,
        }
    }

    /// The endpoint as the log calls it.
    pub(super) fn name(&self) -> &Rc<str> {
        &self.endpoint.name
    }

    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) fn authority(&self) -> &str {
        &self.endpoint.own.authority
    }

    /// Whom to tell how the try went, also once the connection has been passed on or given back.
    pub(super) fn witness(&self) -> Witness {
        Witness {
            view: Rc::clone(&self.view),
            endpoint: Rc::clone(&self.endpoint),
            on_trial: self.trial.is_some(),
        }
    }

    /// A new connection to the endpoint, which begins with this.
    pub(super) async fn connect(self, preface: &[u8]) -> Result<Connection, Refused> {
        match connect(&self.view, &self.endpoint, preface).await {
            Ok(opened) => {
                self.endpoint.welcome();
                Ok(opened.lent(self, false))
            }
            Err(ConnectError { why, error }) => {
                self.endpoint.avoid();
                let reason = error.as_ref().map_or("no answer in time", |_| "");
                self.witness().conclude(why, &|upstream, endpoint| {
                    let (why, error) = (why.as_str(), error.as_deref());
                    warn!(upstream, endpoint, why, error, reason, "cannot connect");
                });
                Err(Refused {
                    why,
                    endpoint: Some(Rc::clone(&self.endpoint)),
                })
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.counted {
            self.endpoint.own.state.leave();
        }
        if self.limited {
            self.view.state.leave();
        }
        if self.counted || self.limited {
            self.view.state.queue.call_next();
        }
    }
}

impl Witness {
    /// What `Host` is when the request names the upstream instead of the site.
    pub(super) fn authority(&self) -> &str {
        &self.endpoint.own.authority
    }

    /// A head that can be trusted has come, `first_byte` after the try began.
    pub(super) fn answered(&self, status: StatusCode, first_byte: Duration) {
        self.endpoint.welcome();
        let rules = &self.view.rules;
        if !rules.listens() {
            return;
        }
        let well = !rules.failure_statuses.contain(status.code());
        if !well {
            let numbers = &self.endpoint.own.state.numbers;
            numbers.failed_by_status(self.view.worker);
        }
        self.take(well, first_byte, || format!("status {}", status.code()));
    }

    /// The try failed on this endpoint, before the answer or within it. `reason` is for the log,
    /// which hears of it at a bounded rate.
    pub(super) fn failed(&self, why: Why, reason: &str) {
        self.conclude(why, &|upstream, endpoint| {
            let why = why.as_str();
            warn!(upstream, endpoint, why, reason, "upstream failed");
        });
    }

    fn conclude(&self, why: Why, complain: &dyn Fn(&str, &str)) {
        if self.endpoint.may_complain() {
            complain(&self.view.name, &self.endpoint.name);
        }
        let numbers = &self.endpoint.own.state.numbers;
        numbers.failed(self.view.worker, why);
        if self.view.rules.listens() {
            self.take(false, Duration::ZERO, || why.as_str().to_owned());
        }
    }

    /// What follows from how a try went.
    fn take(&self, well: bool, first_byte: Duration, cause: impl Fn() -> String) {
        let Self {
            view,
            endpoint,
            on_trial,
        } = self;
        let now = clock::millis();
        let state = &endpoint.own.state;
        if view.rules.algorithm.measures() {
            let latency = if well {
                first_byte
            } else {
                first_byte.max(peak_ewma::FAILURE)
            };
            state.latency.observe(latency, now);
        }
        if let Some(outliers) = &view.rules.outliers
            && state.passive.take(well, outliers)
        {
            let failures = outliers.consecutive_failures;
            let cause = format!("{failures} failures in a row, the last: {}", cause());
            outlier::eject(&endpoint.own, &view.roster, outliers, &cause, now);
        }
        if let Some(rules) = &view.rules.breaker {
            let breaker = &view.state.breaker;
            breaker.take(&view.name, well, *on_trial, rules, now);
        }
    }
}
