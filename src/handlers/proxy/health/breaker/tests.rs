//! Stories of circuits, and what holds for all of them.

use proptest::prelude::*;

use super::*;

fn rules() -> BreakerRules {
    BreakerRules {
        failure_rate: Percent::whole(50),
        minimum_requests: 4,
        window: Duration::from_secs(10),
        open_time: Duration::from_secs(5),
        trial_requests: 2,
    }
}

/// `+` and `-`: a request went well or failed; `?`: one asks; `w`, `f`, `o`: a trial went
/// well, failed, is over; digits: so many seconds pass. After it, the name of the state.
#[track_caller]
fn check(story: &str, expected: &str) {
    let breaker = Breaker::default();
    let mut now = 0;
    for step in story.chars() {
        match step {
            '+' | '-' => breaker.take("u", step == '+', false, &rules(), now),
            'w' | 'f' => breaker.take("u", step == 'w', true, &rules(), now),
            '?' => drop(breaker.ask("u", &rules(), now)),
            'o' => breaker.trial_over("u", &rules()),
            digit => now += u64::from(digit.to_digit(10).unwrap()) * 1_000,
        }
    }
    let state = State::from(breaker.state.load(Ordering::Relaxed));
    assert_eq!(state.name(), expected, "{story}");
}

#[test]
fn it_opens_at_the_rate_and_closes_after_the_trial() {
    check("---", "closed");
    check("----", "open");
    check("+++---", "open");
    check("++++--", "closed");
    // The window is over, and the count begins anew.
    check("---91-", "closed");
    check("----4?", "open");
    check("----5?", "half_open");
    check("----5?f", "open");
    check("----5?f5?", "half_open");
    check("----5?wo", "half_open");
    check("----5?wo?wo", "closed");
    check("----5??wwoo", "closed");
    // The client left: nothing is known yet.
    check("----5?o?o?o", "half_open");
    // After closing, old failures are forgotten.
    check("----5??wwoo---", "closed");
}

#[test]
fn only_so_many_are_let_pass_on_trial() {
    let breaker = Breaker::default();
    for _ in 0..4 {
        assert_eq!(breaker.ask("u", &rules(), 0), Pass::Freely);
        breaker.take("u", false, false, &rules(), 0);
    }
    assert_eq!(breaker.ask("u", &rules(), 4_999), Pass::Refused);
    let passes: Vec<Pass> = (0..4).map(|_| breaker.ask("u", &rules(), 5_000)).collect();
    let expected = [Pass::OnTrial, Pass::OnTrial, Pass::Refused, Pass::Refused];
    assert_eq!(passes, expected);
    breaker.trial_over("u", &rules());
    assert_eq!(breaker.ask("u", &rules(), 5_000), Pass::OnTrial);
    let told: Vec<_> = breaker.changes().into_iter().map(|own| own.to).collect();
    assert_eq!(told, ["open", "half_open"]);
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Closed),
        (0..=UNTIL_MAX).prop_map(|until| State::Open { until }),
        (any::<u16>(), any::<u16>()).prop_map(|(under_way, gone_well)| State::HalfOpen {
            under_way,
            gone_well
        }),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let now = 0..100_000_u64;
    prop_oneof![
        now.clone().prop_map(|now| Event::Asked { now }),
        now.clone().prop_map(|now| Event::Tripped { now }),
        Just(Event::TrialWell),
        now.prop_map(|now| Event::TrialFailed { now }),
        Just(Event::TrialOver),
    ]
}

proptest! {
    #[test]
    fn a_state_is_packed_without_loss(state in states()) {
        prop_assert_eq!(State::from(u64::from(state)), state);
    }

    #[test]
    fn whatever_happens_trials_stay_within_their_number(
        events in prop::collection::vec(events(), 0..200),
    ) {
        let mut state = State::Closed;
        for event in events {
            let next = state.on(event, &rules());
            // From open it never closes without a trial.
            let jumped = matches!((state, next), (State::Open { .. }, State::Closed));
            prop_assert!(!jumped);
            if let State::HalfOpen { under_way, gone_well } = next {
                prop_assert!(under_way <= rules().trial_requests);
                prop_assert!(gone_well < rules().trial_requests);
            }
            state = next;
        }
    }
}
