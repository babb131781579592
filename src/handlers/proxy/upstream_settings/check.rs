//! Looks at values that serde found no fault with.

use std::time::Duration;

use toml::Spanned;

use crate::build::{HumanDuration, ParseContext, Problem, Section};

/// Where a mistake stands, and where it goes.
pub(super) struct Check<'c, 's, 'p> {
    pub(super) section: &'c Section<'s>,
    pub(super) cx: &'c mut ParseContext<'p>,
}

impl Check<'_, '_, '_> {
    pub(super) fn refuse<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: &str) {
        let problem = Problem::error("E0002", self.section.at(at.span()), message).hint(hint);
        self.cx.problems.push(problem);
    }

    pub(super) fn positive(&mut self, duration: &Spanned<HumanDuration>) -> Duration {
        let value = duration.get_ref().0;
        if value.is_zero() {
            self.refuse(duration, "no time at all", "give it at least \"100ms\"");
        }
        value
    }

    /// A number of times.
    pub(super) fn at_least_once(&mut self, times: &Spanned<u32>) -> u32 {
        if *times.get_ref() == 0 {
            self.refuse(times, "must be 1 or more", "1 believes the first check");
        }
        *times.get_ref()
    }

    /// A number of things.
    pub(super) fn at_least_one(&mut self, number: &Spanned<u32>) -> u32 {
        if *number.get_ref() == 0 {
            self.refuse(number, "must be 1 or more", "leave it out for no limit");
        }
        *number.get_ref()
    }
}
