//! Decisions, one by one. Random orders are in `tests/properties/control.rs`.

use super::*;
use crate::clock;

const DRAIN: Duration = Duration::from_secs(30);

const TIMES: DrainTimes = DrainTimes {
    delay: Duration::ZERO,
    timeout: DRAIN,
};

fn published(worker: usize, generation: u64) -> Event {
    Event::Report(Report::Published { worker, generation })
}

fn drained(worker: usize) -> Event {
    Event::Report(Report::Drained { worker, cut: 0 })
}

/// Two workers that serve generation 1.
fn serving(now: Instant) -> Control {
    let mut control = Control::new(2, TIMES, now);
    assert_eq!(control.handle(published(0, 1), now), []);
    let actions = control.handle(published(1, 1), now);
    assert_eq!(actions, [Action::Announce { generation: 1 }]);
    control
}

const ASKED: EndSignal = EndSignal::Terminate;

#[test]
fn a_reload_is_announced_when_the_last_worker_has_reported() {
    let now = clock::now();
    let mut control = serving(now);
    let actions = control.handle(Event::Reload, now);
    assert_eq!(actions, [Action::Prepare(Cause::Asked)]);
    let prepared = Event::Prepared {
        generation: 2,
        drain: TIMES,
    };
    let actions = control.handle(prepared, now);
    assert_eq!(actions, [Action::Publish { generation: 2 }]);
    assert_eq!(control.handle(published(1, 2), now), []);
    assert_eq!(control.handle(published(1, 2), now), [], "said before");
    // Asked for meanwhile, twice: done once, afterwards.
    assert_eq!(control.handle(Event::Reload, now), []);
    assert_eq!(control.handle(Event::Reload, now), []);
    let actions = control.handle(published(0, 2), now);
    assert_eq!(
        actions,
        [
            Action::Announce { generation: 2 },
            Action::Prepare(Cause::Asked)
        ]
    );
    assert_eq!(control.handle(Event::NotPrepared, now), []);
    assert_eq!(control.deadline(), None);
}

#[test]
fn files_are_read_once_they_are_left_alone() {
    let mut now = clock::now();
    let mut control = serving(now);
    let touched = now;
    control.handle(Event::FilesTouched, now);
    now += QUIET / 2;
    control.handle(Event::FilesTouched, now);
    assert_eq!(control.deadline(), Some(now + QUIET));
    assert_eq!(control.handle(Event::Tick, touched + QUIET), []);
    let actions = control.handle(Event::Tick, now + QUIET);
    assert_eq!(actions, [Action::Prepare(Cause::Files)]);
    control.handle(Event::NotPrepared, now);

    // Touched over and over: read all the same.
    let first = now;
    while now < first + QUIET_MAX {
        control.handle(Event::FilesTouched, now);
        now += QUIET / 2;
    }
    assert_eq!(control.deadline(), Some(first + QUIET_MAX));
}

#[test]
fn silent_workers_are_complained_about_once() {
    let now = clock::now();
    let mut control = Control::new(2, TIMES, now);
    control.handle(published(1, 1), now);
    let due = control.deadline().unwrap();
    let actions = control.handle(Event::Tick, due);
    assert_eq!(
        actions,
        [Action::Complain {
            generation: 1,
            silent: vec![0]
        }]
    );
    assert_eq!(control.deadline(), None);
    let actions = control.handle(published(0, 1), due);
    assert_eq!(actions, [Action::Announce { generation: 1 }]);
}

#[test]
fn a_drain_ends_with_the_last_worker() {
    let now = clock::now();
    let mut control = serving(now);
    let actions = control.handle(Event::End(ASKED), now);
    assert_eq!(actions, [Action::Drain(DrainCause::Signal(ASKED))]);
    assert_eq!(control.handle(Event::Reload, now), []);
    assert_eq!(control.handle(drained(1), now).len(), 1);
    let actions = control.handle(drained(0), now);
    assert_eq!(
        actions.last(),
        Some(&Action::End {
            because: Because::Drained,
            failed: false
        })
    );
    assert!(control.has_ended());
}

#[test]
fn a_drain_ends_at_the_second_signal_or_when_the_time_is_up() {
    let now = clock::now();
    let mut control = serving(now);
    control.handle(Event::End(ASKED), now);
    let actions = control.handle(Event::End(EndSignal::Interrupt), now);
    assert_eq!(
        actions,
        [Action::End {
            because: Because::AskedAgain,
            failed: false
        }]
    );

    let mut control = serving(now);
    control.handle(Event::End(ASKED), now);
    control.handle(drained(0), now);
    let due = control.deadline().unwrap();
    assert_eq!(due, now + DRAIN + CUT_TIMEOUT);
    let actions = control.handle(Event::Tick, due);
    assert_eq!(
        actions,
        [Action::End {
            because: Because::Stuck(vec![1]),
            failed: true
        }]
    );
}

#[test]
fn a_dead_worker_ends_the_daemon_with_a_failure() {
    let now = clock::now();
    let mut control = serving(now);
    let actions = control.handle(Event::Report(Report::Died { worker: 1 }), now);
    assert_eq!(
        actions,
        [
            Action::Mourn { worker: 1 },
            Action::Drain(DrainCause::WorkerDied)
        ]
    );
    let actions = control.handle(drained(0), now);
    assert_eq!(
        actions.last(),
        Some(&Action::End {
            because: Because::Drained,
            failed: true
        })
    );
}

#[test]
fn what_is_prepared_while_the_daemon_ends_is_discarded() {
    let now = clock::now();
    let mut control = serving(now);
    control.handle(Event::Reload, now);
    control.handle(Event::End(ASKED), now);
    let prepared = Event::Prepared {
        generation: 2,
        drain: TIMES,
    };
    assert_eq!(control.handle(prepared, now), [Action::Discard]);
}

#[test]
fn with_a_delay_everything_is_served_until_it_is_up() {
    let now = clock::now();
    let times = DrainTimes {
        delay: Duration::from_secs(5),
        timeout: DRAIN,
    };
    let leaving = || {
        let mut control = Control::new(1, times, now);
        control.handle(published(0, 1), now);
        let actions = control.handle(Event::End(ASKED), now);
        let delay = times.delay;
        assert_eq!(
            actions,
            [Action::Leave {
                signal: ASKED,
                delay
            }]
        );
        assert_eq!(control.handle(Event::Reload, now), []);
        control
    };
    let mut control = leaving();
    let due = control.deadline().unwrap();
    assert_eq!(due, now + times.delay);
    let actions = control.handle(Event::Tick, due);
    assert_eq!(actions, [Action::Drain(DrainCause::Signal(ASKED))]);
    assert_eq!(control.deadline(), Some(due + DRAIN + CUT_TIMEOUT));

    let again = leaving().handle(Event::End(ASKED), now);
    let because = Because::AskedAgain;
    let failed = false;
    assert_eq!(again, [Action::End { because, failed }]);
}

#[test]
fn who_is_replaced_drains_and_who_is_not_goes_on() {
    let now = clock::now();
    let mut control = serving(now);
    assert_eq!(control.handle(Event::Upgrade, now), [Action::Upgrade]);
    assert_eq!(control.handle(Event::Upgrade, now), [], "under way");
    assert_eq!(control.handle(Event::Reload, now), [], "afterwards");
    let actions = control.handle(Event::NotUpgraded, now);
    let again = Action::Prepare(Cause::Asked);
    assert_eq!(actions, [Action::AbandonUpgrade, again]);
    assert_eq!(control.handle(Event::Upgrade, now), [], "afterwards");
    let actions = control.handle(Event::NotPrepared, now);
    assert_eq!(actions, [Action::Upgrade]);
    let actions = control.handle(Event::Upgraded, now);
    assert_eq!(actions, [Action::Drain(DrainCause::Replaced)]);
    assert_eq!(control.handle(Event::NotUpgraded, now), [], "too late");
}

#[test]
fn an_end_abandons_an_upgrade() {
    let now = clock::now();
    let mut control = serving(now);
    control.handle(Event::Upgrade, now);
    let drain = Action::Drain(DrainCause::Signal(ASKED));
    let actions = control.handle(Event::End(ASKED), now);
    assert_eq!(actions, [Action::AbandonUpgrade, drain]);
    assert_eq!(control.handle(Event::Upgraded, now), []);
}
