//! How kinds refuse, and `enforce = false`: a policy that only watches.
//!
//! A kind whose every answer is a refusal is wrapped with [`Policy::guard`] when it is built. One
//! that refuses in other ways (by a limit that someone else enforces) tells its [`Policy`].

use std::fmt;
use std::sync::Arc;

use tracing::info;

use crate::build::BuildContext;
use crate::exchange::{Exchange, Flow, Middleware, Outcome, Response, Resume, Seldom, Why};
use crate::telemetry::Count;

/// What stands for `enforce` in settings where it is not written.
pub(super) const fn default_enforce() -> bool {
    true
}

/// An instance that may refuse requests, or only watches which it would refuse.
#[derive(Debug)]
pub(super) struct Policy {
    kind: &'static str,
    name: Arc<str>,
    enforced: bool,
    refused: Count,
    told: Seldom,
}

impl Policy {
    /// The policy of the instance that is being built.
    pub(super) fn new(kind: &'static str, enforced: bool, cx: &BuildContext<'_>) -> Arc<Self> {
        let metrics = &cx.carry_over.metrics;
        let labels = vec![("kind", kind.into()), ("name", (&*cx.name).into())];
        let refused = if enforced {
            metrics.count(
                "httpserverd_policy_refused_total",
                "Requests that a middleware refused.",
                labels,
            )
        } else {
            metrics.count(
                "httpserverd_policy_would_refuse_total",
                "Requests that a middleware with enforce = false would have refused.",
                labels,
            )
        };
        Arc::new(Self {
            kind,
            name: Arc::clone(&cx.name),
            enforced,
            refused,
            told: Seldom::default(),
        })
    }

    /// Whether it refuses; otherwise it watches.
    pub(super) fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// A middleware all of whose answers are refusals, under this policy.
    pub(super) fn guard(self: Arc<Self>, inner: impl Middleware + 'static) -> Box<dyn Middleware> {
        Box::new(Guarded {
            policy: self,
            inner,
        })
    }

    /// Answers with the refusal, or lets the request through and notes that it would have been
    /// refused.
    pub(super) fn refuse(&self, x: &mut Exchange<'_>, mut refusal: Response) -> Flow {
        if !self.enforced {
            self.watch(x);
            return Flow::Continue;
        }
        self.count(x);
        x.facts_mut().policy = Some(Arc::clone(&self.name));
        refusal.why = refusal.why.or(Some(Why::Refused));
        Flow::Respond(refusal)
    }

    /// Notes, counts and tells that a request would have been refused.
    pub(super) fn watch(&self, x: &mut Exchange<'_>) {
        self.count(x);
        x.facts_mut().would_refuse.push(Arc::clone(&self.name));
    }

    /// Counts a refusal that someone else carried out, or that was seen when all was over.
    pub(super) fn count(&self, x: &Exchange<'_>) {
        self.refused.add(x.locals.worker, 1);
        if !self.enforced {
            self.tell(x.route);
        }
    }

    fn tell(&self, route: &str) {
        // The access log has every one.
        if self.told.is_due() {
            info!(
                kind = self.kind,
                policy = &*self.name,
                route,
                so_far = self.refused.get(),
                "would have refused a request"
            );
        }
    }

    /// Whether it let this exchange through that it would have refused.
    fn has_watched(&self, x: &Exchange<'_>) -> bool {
        let facts = x.facts.as_ref();
        facts.is_some_and(|facts| facts.would_refuse.contains(&self.name))
    }
}

/// A middleware whose answers are refusals.
struct Guarded<M> {
    policy: Arc<Policy>,
    inner: M,
}

impl<M: Middleware> Middleware for Guarded<M> {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let flow = self.inner.on_request(x);
        settle(&self.policy, x, flow)
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        // Who answers gets no hook of its own; who would have answered neither.
        if self.policy.enforced || !self.policy.has_watched(x) {
            self.inner.on_response(x, response);
        }
    }

    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        self.inner.on_complete(x, outcome);
    }
}

fn settle(policy: &Arc<Policy>, x: &mut Exchange<'_>, flow: Flow) -> Flow {
    match flow {
        Flow::Continue => Flow::Continue,
        Flow::Respond(refusal) => policy.refuse(x, refusal),
        Flow::Wait(future) => {
            let policy = Arc::clone(policy);
            Flow::Wait(Box::pin(async move {
                let resume = future.await;
                Box::new(move |x: &mut Exchange<'_>| {
                    let flow = resume(x);
                    settle(&policy, x, flow)
                }) as Resume
            }))
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Guarded<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded")
            .field(&self.policy.name)
            .field(&self.inner)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::build::CarryOver;
    use crate::exchange::testing::{TestRequest, block_on};
    use crate::http::{StatusCode, name};

    /// Refuses at once, or after having asked someone.
    #[derive(Debug)]
    struct Refuses {
        after_waiting: bool,
    }

    impl Middleware for Refuses {
        fn on_request(&self, _: &mut Exchange<'_>) -> Flow {
            let refusal = || Flow::Respond(Response::new(StatusCode::FORBIDDEN));
            if !self.after_waiting {
                return refusal();
            }
            Flow::Wait(Box::pin(async move {
                tokio::task::yield_now().await;
                Box::new(move |_: &mut Exchange<'_>| refusal()) as Resume
            }))
        }

        fn on_response(&self, _: &mut Exchange<'_>, response: &mut Response) {
            response.headers.set(&name::VARY, "mine");
        }
    }

    /// What comes of a refusal, how often it was counted, and what the exchange knows of it.
    fn refuse(enforced: bool, after_waiting: bool) -> (Option<Why>, String, String) {
        let mut carry_over = CarryOver::default();
        let mut cx = BuildContext::new(&mut carry_over, PathBuf::from("/"));
        cx.name = Arc::from("mine");
        let policy = Policy::new("test", enforced, &cx);
        let guarded = Arc::clone(&policy).guard(Refuses { after_waiting });
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        let mut flow = guarded.on_request(&mut x);
        while let Flow::Wait(future) = flow {
            flow = block_on(future)(&mut x);
        }
        let mut passed = Response::new(StatusCode::OK);
        guarded.on_response(&mut x, &mut passed);
        let why = match flow {
            Flow::Respond(refusal) => refusal.why,
            other => {
                assert!(matches!(other, Flow::Continue));
                // Who only watches leaves the response alone.
                assert_eq!(passed.headers.get(&name::VARY), None);
                None
            }
        };
        let facts = format!("{:?}", x.facts);
        let counted = carry_over.metrics.read();
        let counted = counted.iter().flat_map(|family| {
            let of = |(_, reading): &(_, crate::telemetry::metrics::Reading)| reading.number;
            family
                .series
                .iter()
                .map(move |series| (family.name, of(series)))
        });
        (why, facts, format!("{:?}", counted.collect::<Vec<_>>()))
    }

    #[test]
    fn a_policy_refuses_and_counts() {
        for after_waiting in [false, true] {
            let (why, facts, counted) = refuse(true, after_waiting);
            assert_eq!(why, Some(Why::Refused));
            assert!(facts.contains("policy: Some(\"mine\")"), "{facts}");
            assert_eq!(counted, "[(\"httpserverd_policy_refused_total\", 1)]");
        }
    }

    #[test]
    fn a_policy_that_only_watches_lets_through_and_says_so() {
        for after_waiting in [false, true] {
            let (why, facts, counted) = refuse(false, after_waiting);
            assert_eq!(why, None);
            assert!(facts.contains("policy: None"), "{facts}");
            assert!(facts.contains("would_refuse: [\"mine\"]"), "{facts}");
            assert_eq!(counted, "[(\"httpserverd_policy_would_refuse_total\", 1)]");
        }
    }
}
