//! Routes that never answer, on none of the listeners that they serve.

use std::collections::BTreeMap;

use super::model::Model;
use crate::build::Problem;
use crate::routing::{Rule, shadowed};

/// What the tables of a model were found to hold.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    /// For a route that some table holds, by index: who answers in its stead. `None` if it can be
    /// reached in one of them.
    instead: BTreeMap<usize, Option<usize>>,
}

impl Unreached {
    /// Looks at the rules of one more table.
    pub(super) fn add(&mut self, rules: &[Rule]) {
        let position = |at: usize| rules.get(at).map(|rule| rule.position);
        let pairs = shadowed(rules).into_iter();
        let shadowed: BTreeMap<usize, usize> = pairs
            .filter_map(|(rule, by)| Some((position(rule)?, position(by)?)))
            .collect();
        for rule in rules {
            let by = shadowed.get(&rule.position).copied();
            let instead = self.instead.entry(rule.position).or_insert(by);
            *instead = instead.and(by);
        }
    }

    /// A warning for each.
    pub(super) fn problems(&self, model: &Model) -> Vec<Problem> {
        let route = |at: usize| model.routes.get(at);
        let pairs = self.instead.iter();
        let pairs = pairs.filter_map(|(&at, &by)| Some((route(at)?, route(by?)?)));
        pairs
            .map(|(route, by)| {
                let message = format!("the route `{}` is never reached", route.name);
                Problem::warning("W0408", route.place.0.clone(), message)
                    .label("another answers first, whatever is asked")
                    .note(by.place.0.clone(), "this one")
                    .hint("take it out, or give it a narrower pattern or a `priority`")
            })
            .collect()
    }
}
