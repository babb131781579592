//! When a certificate is ordered: numbers in, a time out. Pure.
//!
//! ```text
//!            no certificate, or one for other names            ──▶ at once
//!            a certificate   ── two thirds of its life are over ──▶ then
//!            an order failed ── a minute, four, sixteen … six hours ──▶ again
//! ```
//!
//! Whatever is due, no more than [`TRIES_AN_HOUR`] and [`TRIES_A_DAY`] are made: also not by a
//! daemon that is started again and again, for the times of tries are kept with the certificates.

use std::time::Duration;

/// How many orders are tried in an hour. The strictest public authority takes five that fail, an
/// account, a name and an hour; one is left to whoever tries by hand.
pub(super) const TRIES_AN_HOUR: usize = 4;

/// How many in a day: with the pauses below six or seven come about; this bounds a daemon that
/// is started anew all the time.
pub(super) const TRIES_A_DAY: usize = 12;

/// The pause after the first failure: what was wrong is often mended at once, a port say.
const PAUSE_MIN: Duration = Duration::from_mins(1);

/// How much longer the next one is.
const PAUSE_FACTOR: u32 = 4;

/// The longest pause: four tries a day are enough to find an authority well again, and a third of
/// a certificate's life is left for them.
const PAUSE_MAX: Duration = Duration::from_hours(6);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Parts of a certificate's life by which its renewal may come earlier: so that many that were
/// ordered together are not renewed together.
const JITTER_PART: u32 = 30;

/// From when until when a certificate holds, in time since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) begins: Duration,
    pub(super) ends: Duration,
}

/// What is known of a certificate that decides when it is ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Of the one that is served; `None` if there is none, or it is for other names.
    pub(super) life: Option<Life>,
    /// How many tries in a row have failed since the settings changed last.
    pub(super) failures: u32,
    /// When the last tries were begun, in time since 1970, the earliest first.
    pub(super) tries: Vec<Duration>,
}

impl Standing {
    /// When it is to be ordered, in time since 1970; what lies in the past is due at once.
    /// `random` is drawn once for each certificate.
    pub(super) fn due(&self, random: u32) -> Duration {
        let wanted = self
            .life
            .map_or(Duration::ZERO, |life| life.renewal(random));
        let last = self.tries.last().copied().unwrap_or_default();
        let paused = last.saturating_add(pause(self.failures));
        let hour = self.limit(TRIES_AN_HOUR, HOUR);
        let day = self.limit(TRIES_A_DAY, DAY);
        wanted.max(paused).max(hour).max(day)
    }

    /// When one more try makes no more than so many within a time.
    fn limit(&self, tries_max: usize, within: Duration) -> Duration {
        let count = self.tries.len();
        let earliest = count
            .checked_sub(tries_max)
            .and_then(|at| self.tries.get(at));
        earliest.map_or(Duration::ZERO, |try_at| try_at.saturating_add(within))
    }

    /// A try begins.
    pub(super) fn begin(&mut self, now: Duration) {
        // Kept in whole seconds, of which none makes the next one come too soon.
        let second = now.as_secs() + u64::from(now.subsec_nanos() > 0);
        self.tries.push(Duration::from_secs(second));
        self.bound(now);
    }

    /// These tries count too: others have begun them, or the daemon that ran before. Those that
    /// are known already count once.
    pub(super) fn learn(&mut self, tries: impl IntoIterator<Item = Duration>, now: Duration) {
        let mut known = self.tries.clone();
        for try_at in tries {
            match known.iter().position(|known| *known == try_at) {
                Some(at) => drop(known.swap_remove(at)),
                None => self.tries.push(try_at),
            }
        }
        self.bound(now);
    }

    /// Keeps the tries that may still matter.
    fn bound(&mut self, now: Duration) {
        // A clock that was set back must not put the next try beyond a day.
        self.tries.retain(|try_at| *try_at <= now + SECOND);
        self.tries.sort_unstable();
        let surplus = self.tries.len().saturating_sub(TRIES_A_DAY);
        self.tries.drain(..surplus);
    }

    /// The try that was begun last has failed.
    pub(super) const fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The try that was begun last brought a certificate. What it cost is no longer held against
    /// it, but for the bounds of an hour and a day.
    pub(super) const fn succeed(&mut self, life: Life) {
        self.failures = 0;
        self.life = Some(life);
    }

    /// The settings have changed: what failed may do now.
    pub(super) const fn change(&mut self) {
        self.failures = 0;
    }
}

impl Life {
    /// When two thirds of it are over, or a little earlier.
    fn renewal(self, random: u32) -> Duration {
        let whole = self.ends.saturating_sub(self.begins);
        let part = f64::from(random) / f64::from(u32::MAX);
        let earlier = (whole / JITTER_PART).mul_f64(part);
        let after = (whole * 2 / 3).saturating_sub(earlier);
        self.begins.saturating_add(after)
    }
}

/// How long nothing is tried after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let Some(more) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let factor = PAUSE_FACTOR.saturating_pow(more);
    PAUSE_MIN.saturating_mul(factor).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_hours(500_000);

    fn life(days: u64) -> Life {
        Life {
            begins: NOW,
            ends: NOW + Duration::from_secs(days * 86_400),
        }
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let standing = Standing {
            life: Some(life(90)),
            ..Standing::default()
        };
        assert_eq!(standing.due(0), NOW + DAY * 60);
        assert_eq!(standing.due(u32::MAX), NOW + DAY * 57);
        let spoilt = Life {
            begins: NOW,
            ends: Duration::ZERO,
        };
        assert_eq!(spoilt.renewal(7), NOW);
    }

    #[test]
    fn pauses_grow_up_to_six_hours() {
        let minutes = [0, 1, 4, 16, 64, 256, 360, 360];
        for (failures, minutes) in (0..).zip(minutes) {
            assert_eq!(pause(failures), Duration::from_mins(minutes), "{failures}");
        }
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn changed_settings_are_tried_at_once() {
        let mut standing = Standing::default();
        standing.begin(NOW);
        standing.fail();
        assert_eq!(standing.due(0), NOW + PAUSE_MIN);
        standing.change();
        assert!(standing.due(0) <= NOW);
    }

    #[test]
    fn what_others_tried_counts_once_and_never_in_the_future() {
        let mut standing = Standing::default();
        standing.begin(NOW);
        // Two within a second are two.
        let (others, now) = ([NOW, NOW + HOUR, NOW, NOW + DAY], NOW + HOUR);
        standing.learn(others, now);
        assert_eq!(standing.tries, [NOW, NOW, now]);
        standing.learn(others, now);
        assert_eq!(standing.tries.len(), 3);
    }

    /// What happens to a certificate, one thing after the other.
    #[derive(Debug, Clone)]
    enum Happening {
        /// The authority is asked, in vain.
        Fails,
        /// It issues one that lives so many seconds.
        Issues(u64),
        /// The settings are changed, or the daemon is started anew.
        Changes,
        /// Time passes before anybody looks.
        Passes(u64),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            4 => Just(Happening::Fails),
            2 => (0..8_000_000_u64).prop_map(Happening::Issues),
            2 => Just(Happening::Changes),
            1 => (0..200_000_u64).prop_map(Happening::Passes),
        ]
    }

    proptest! {
        #[test]
        fn tries_are_bounded_whatever_happens(
            happenings in prop::collection::vec(happening(), 1..200),
            random: u32,
        ) {
            let mut standing = Standing::default();
            let (mut now, mut tries) = (NOW, Vec::<Duration>::new());
            for happening in happenings {
                match happening {
                    Happening::Changes => { standing.change(); continue }
                    Happening::Passes(seconds) => {
                        now += Duration::from_secs(seconds);
                        continue;
                    }
                    Happening::Fails | Happening::Issues(_) => {}
                }
                now = now.max(standing.due(random));
                standing.begin(now);
                tries.push(now);
                match happening {
                    Happening::Issues(seconds) => standing.succeed(Life {
                        begins: now,
                        ends: now + Duration::from_secs(seconds),
                    }),
                    _ => standing.fail(),
                }
                let within = |time| tries.iter().filter(|at| now < **at + time).count();
                prop_assert!(within(HOUR) <= TRIES_AN_HOUR);
                prop_assert!(within(DAY) <= TRIES_A_DAY);
                prop_assert!(standing.tries.len() <= TRIES_A_DAY);
            }
        }

        #[test]
        fn a_renewal_comes_within_the_last_part_of_a_life_but_one(
            seconds in 1..40_000_000_u64, random: u32,
        ) {
            let ends = NOW + Duration::from_secs(seconds);
            let life = Life { begins: NOW, ends };
            let renewal = life.renewal(random);
            let whole = Duration::from_secs(seconds);
            prop_assert!(renewal <= NOW + whole * 2 / 3);
            prop_assert!(renewal >= NOW + whole * 63 / 100);
        }

        #[test]
        fn a_certificate_is_not_lost_to_an_authority_that_is_away_for_a_week(random: u32) {
            let mut standing = Standing { life: Some(life(90)), ..Standing::default() };
            let well = standing.due(random) + DAY * 7;
            let mut now = standing.due(random);
            while now < well {
                standing.begin(now);
                standing.fail();
                now = standing.due(random);
            }
            prop_assert!(now < NOW + DAY * 90 && now <= well + PAUSE_MAX);
        }
    }
}
