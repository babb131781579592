//! Which endpoint a try may use now: those in service before those that are not, first the
//! regular ones, those that could lately not be connected to last.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::balance::{Affinity, Candidates};
use super::endpoint::EndpointId;
use super::health::slow_start;
use super::lease::Lease;
use super::view::{EndpointView, View};
use crate::clock;

/// How often an endpoint is picked anew because another worker took its last place meanwhile.
const RACES_MAX: usize = 4;

/// Weights are counted in hundredths, so that a share can grow.
const WHOLE: u32 = 100;

/// Why no endpoint may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// None is left that could be tried.
    NoEndpoint,
    /// As many exchanges are under way as may be.
    Full,
    /// Nobody knows yet which there are.
    Unresolved,
}

/// In which order endpoints come: backups or not, and whether those count that could lately not
/// be connected to.
const TIERS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

/// The endpoints of a view, as a try of one tier sees them.
struct Field<'v> {
    view: &'v View,
    tried: &'v [EndpointId],
    now: Instant,
    now_ms: u64,
    backup: bool,
    avoided_too: bool,
    /// So few are in service that all are used.
    panic: bool,
    /// One was passed over because it is full.
    full: &'v Cell<bool>,
}

impl View {
    /// The use of the endpoint whose turn it is, among those not yet tried.
    pub(super) fn admit(
        self: &Rc<Self>,
        affinity: &Affinity,
        tried: &[EndpointId],
    ) -> Result<Lease, Denied> {
        let limited = self.rules.max_connections != u32::MAX;
        if limited && !self.state.enter(self.rules.max_connections) {
            return Err(Denied::Full);
        }
        // From here on the lease, or its absence, gives the place back.
        for _ in 0..RACES_MAX {
            let Some(endpoint) = self.pick(affinity, tried) else {
                break;
            };
            let max = endpoint.own.terms.max_connections;
            let counted = self.rules.counted;
            if !counted || endpoint.own.state.enter(max) {
                return Ok(Lease::new(Rc::clone(self), endpoint, counted, limited));
            }
        }
        if limited {
            self.state.leave();
        }
        Err(self.denied(tried))
    }

    fn pick(&self, affinity: &Affinity, tried: &[EndpointId]) -> Option<Rc<EndpointView>> {
        let full = Cell::new(false);
        let mut field = self.field(tried, &full);
        TIERS.iter().find_map(|&(backup, avoided_too)| {
            (field.backup, field.avoided_too) = (backup, avoided_too);
            let index = self.turns.next(&self.rules.algorithm, &field, affinity)?;
            self.endpoints.get(index).map(Rc::clone)
        })
    }

    /// Why none could be picked.
    fn denied(&self, tried: &[EndpointId]) -> Denied {
        let full = Cell::new(false);
        let mut field = self.field(tried, &full);
        field.avoided_too = true;
        for backup in [false, true] {
            field.backup = backup;
            if (0..self.endpoints.len()).any(|index| field.may(index)) {
                // Another worker has given a place back meanwhile.
                return Denied::Full;
            }
        }
        if full.get() {
            Denied::Full
        } else if tried.is_empty() && self.roster.is_pending() {
            Denied::Unresolved
        } else {
            Denied::NoEndpoint
        }
    }

    fn field<'v>(&'v self, tried: &'v [EndpointId], full: &'v Cell<bool>) -> Field<'v> {
        let now_ms = clock::millis();
        Field {
            view: self,
            tried,
            now: clock::now(),
            now_ms,
            backup: false,
            avoided_too: false,
            panic: self.is_panic(now_ms),
            full,
        }
    }

    /// Whether so few endpoints are in service that they would be overrun: then it is better to
    /// ask those as well that are not.
    fn is_panic(&self, now_ms: u64) -> bool {
        let threshold = self.rules.panic_threshold;
        if threshold.fraction() == 0.0 {
            return false;
        }
        let regular = || self.endpoints.iter().filter(|own| !own.own.terms.backup);
        let serving = regular()
            .filter(|own| own.own.may_serve(self.minded, now_ms))
            .count();
        let all = regular().count();
        (serving as u64) * 10_000 < (all as u64) * threshold.of(10_000)
    }
}

impl Candidates for Field<'_> {
    fn count(&self) -> usize {
        self.view.endpoints.len()
    }

    fn may(&self, index: usize) -> bool {
        let Some(endpoint) = self.view.endpoints.get(index) else {
            return false;
        };
        let own = &endpoint.own;
        let serves =
            own.may_serve(self.view.minded, self.now_ms) || (self.panic && !own.terms.drain);
        if !serves
            || own.terms.backup != self.backup
            || self.tried.contains(&endpoint.id)
            || (!self.avoided_too && endpoint.is_avoided(self.now))
        {
            return false;
        }
        let max = own.terms.max_connections;
        let full = max != u32::MAX && self.active(index) >= max;
        if full {
            self.full.set(true);
        }
        !full
    }

    fn weight(&self, index: usize) -> u32 {
        let Some(endpoint) = self.view.endpoints.get(index) else {
            return 1;
        };
        let own = &endpoint.own;
        let slow_start = self.view.rules.slow_start;
        let share = match own.state.standing.returned() {
            Some(at) if !slow_start.is_zero() => {
                slow_start::share(self.now_ms.saturating_sub(at), slow_start)
            }
            _ => WHOLE,
        };
        u32::from(own.terms.weight) * share
    }

    fn active(&self, index: usize) -> u32 {
        let endpoint = self.view.endpoints.get(index);
        endpoint.map_or(0, |own| own.own.state.active.load(Ordering::Relaxed))
    }

    fn latency(&self, index: usize) -> u64 {
        let endpoint = self.view.endpoints.get(index);
        endpoint.map_or(0, |own| own.own.state.latency.at(self.now_ms))
    }

    fn id(&self, index: usize) -> EndpointId {
        let endpoint = self.view.endpoints.get(index);
        endpoint.map_or(EndpointId(0), |own| own.id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::build::{BuildContext, CarryOver, ParseContext, Section};
    use crate::exchange::testing::TestRequest;
    use crate::handlers::proxy::health::Verdicts;
    use crate::handlers::proxy::pool::Pool;
    use crate::handlers::proxy::upstream::Upstream;
    use crate::handlers::proxy::upstream_settings::UPSTREAM;

    /// A view of an upstream with these settings, and the upstream, which it does not hold.
    fn view(settings: &str) -> (Rc<View>, Arc<Upstream>) {
        let section = Section::from_text(settings).unwrap();
        let mut kept = CarryOver::default();
        let mut cx = BuildContext::new(&mut kept, "/".into());
        cx.name = "backend".into();
        let settings = (UPSTREAM.parse)(&section, &mut ParseContext::default()).unwrap();
        let upstream = settings.build(&mut cx).unwrap();
        let mut request = TestRequest::get("/");
        let pool: Rc<Pool> = request.exchange().locals.keep();
        let view = pool.view(&upstream, request.exchange().locals);
        (view, upstream)
    }

    fn admit(view: &Rc<View>, tried: &[EndpointId]) -> Result<Lease, Denied> {
        view.admit(&Affinity::default(), tried)
    }

    /// The last digit of the port of each endpoint that is admitted, one after the other.
    fn turns(view: &Rc<View>, count: usize) -> String {
        let turn = |_| admit(view, &[]).map_or('-', |lease| lease.name().chars().last().unwrap());
        (0..count).map(turn).collect()
    }

    #[test]
    fn backups_wait_until_no_other_may_be_used_and_the_avoided_come_last() {
        let (view, _upstream) = view(
            "servers = [\"10.0.0.1:1\", \"10.0.0.1:2\", \
             { address = \"10.0.0.1:3\", backup = true }]\nhealth_check.tcp = true",
        );
        assert_eq!(turns(&view, 4), "1212");
        view.endpoints[0].avoid();
        assert_eq!(turns(&view, 3), "222");
        let standing = &view.endpoints[1].own.state.standing;
        standing.set(Verdicts::UNHEALTHY, String::new());
        assert_eq!(turns(&view, 2), "33");
        view.endpoints[2].avoid();
        assert_eq!(turns(&view, 2), "11");
        view.endpoints[0].welcome();
        let tried = [view.endpoints[0].id, view.endpoints[2].id];
        assert_eq!(admit(&view, &tried).unwrap_err(), Denied::NoEndpoint);
    }

    #[test]
    fn limits_of_endpoints_and_of_the_upstream_hold_as_long_as_leases_live() {
        let (view, upstream) = view(
            "servers = [{ address = \"10.0.0.1:1\", max_connections = 1 }, \"10.0.0.1:2\"]\n\
             max_connections = 3",
        );
        let first = admit(&view, &[]).unwrap();
        let others = [admit(&view, &[]).unwrap(), admit(&view, &[]).unwrap()];
        assert_eq!(&**first.name(), "10.0.0.1:1");
        assert!(others.iter().all(|own| &**own.name() == "10.0.0.1:2"));
        assert_eq!(admit(&view, &[]).unwrap_err(), Denied::Full);
        drop(others);
        // Room, but not where it would be needed.
        let tried = [view.endpoints[1].id];
        assert_eq!(admit(&view, &tried).unwrap_err(), Denied::Full);
        drop(first);
        assert_eq!(&**admit(&view, &tried).unwrap().name(), "10.0.0.1:1");
        assert_eq!(upstream.state.active.load(Ordering::Relaxed), 0);
        assert_eq!(upstream.report()[0].active, 0);
    }

    #[test]
    fn below_the_panic_threshold_all_are_used() {
        let (view, _upstream) = view(
            "servers = [\"10.0.0.1:1\", \"10.0.0.1:2\", \"10.0.0.1:3\"]\n\
             health_check.tcp = true\npanic_threshold = \"50%\"",
        );
        let standing = |index: usize| &view.endpoints[index].own.state.standing;
        standing(0).set(Verdicts::UNHEALTHY, String::new());
        assert_eq!(turns(&view, 4), "2323");
        standing(1).set(Verdicts::UNHEALTHY, String::new());
        let mut all: Vec<char> = turns(&view, 3).chars().collect();
        all.sort_unstable();
        assert_eq!(all, ['1', '2', '3']);
    }

    #[test]
    fn who_came_back_begins_with_a_small_share() {
        let (view, _upstream) = view(
            "servers = [\"10.0.0.1:1\", \"10.0.0.1:2\"]\n\
             health_check.tcp = true\nslow_start = \"1h\"",
        );
        let standing = &view.endpoints[0].own.state.standing;
        standing.set(Verdicts::UNHEALTHY, String::new());
        standing.lift(Verdicts::UNHEALTHY, String::new(), clock::millis());
        // A tenth of its share: one in eleven.
        let turns = turns(&view, 22);
        assert_eq!(turns.matches('1').count(), 2, "{turns}");
    }
}
