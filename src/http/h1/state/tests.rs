//! Every state with every event.

use super::*;

const STATES: [State; 10] = [
    State::Idle,
    State::Head,
    State::Answering { keep: false },
    State::Answering { keep: true },
    responding(Then::Next),
    responding(Then::Drain),
    responding(Then::Close),
    State::Draining,
    State::Lingering,
    State::Closed,
];

const UNREAD: [Unread; 5] = [
    Unread::Nothing,
    Unread::Length(DRAINED_MAX),
    Unread::Length(DRAINED_MAX + 1),
    Unread::Chunked,
    Unread::Lost,
];

const fn responding(then: Then) -> State {
    State::Responding { then }
}

fn events() -> Vec<Event> {
    let answered = |keep| UNREAD.map(|unread| Event::Answered { keep, unread });
    let mut events = vec![
        Event::Begun,
        Event::Nothing,
        Event::Parsed { keep: false },
        Event::Parsed { keep: true },
        Event::Refused,
        Event::Sent,
        Event::SentLast,
        Event::Drained,
        Event::Enough,
        Event::Gone,
    ];
    events.extend(answered(false));
    events.extend(answered(true));
    events
}

/// All events that do not end the connection in this state lead where it is said.
#[track_caller]
fn check(state: State, expected: &[(Event, State)]) {
    for event in events() {
        let told = expected.iter().find(|(known, _)| *known == event);
        let next = told.map_or(State::Closed, |(_, next)| *next);
        assert_eq!(state.on(event), next, "{state:?} on {event:?}");
    }
}

#[test]
fn a_head_is_waited_for_read_and_answered() {
    check(State::Idle, &[(Event::Begun, State::Head)]);
    let refused = State::Answering { keep: false };
    check(
        State::Head,
        &[
            (Event::Nothing, State::Idle),
            (
                Event::Parsed { keep: true },
                State::Answering { keep: true },
            ),
            (Event::Parsed { keep: false }, refused),
            (Event::Refused, refused),
        ],
    );
}

#[test]
fn a_connection_is_kept_if_all_want_it_and_what_is_left_is_little() {
    let answered = |keep, unread| Event::Answered { keep, unread };
    let closing = |keep| UNREAD.map(|unread| (answered(keep, unread), responding(Then::Close)));
    let all = [closing(false), closing(true)].concat();
    check(State::Answering { keep: false }, &all);
    let [nothing, little, much, chunked, lost] = UNREAD.map(|unread| answered(true, unread));
    let mut expected = closing(false).to_vec();
    expected.extend([
        (nothing, responding(Then::Next)),
        (little, responding(Then::Drain)),
        (much, responding(Then::Close)),
        (chunked, responding(Then::Drain)),
        (lost, responding(Then::Close)),
    ]);
    check(State::Answering { keep: true }, &expected);
}

#[test]
fn behind_a_response_comes_what_its_head_has_said() {
    for (then, next) in [
        (Then::Next, State::Idle),
        (Then::Drain, State::Draining),
        (Then::Close, State::Lingering),
    ] {
        let last = (Event::SentLast, State::Lingering);
        check(responding(then), &[(Event::Sent, next), last]);
        assert_eq!(responding(then).is_kept(), then != Then::Close);
    }
}

#[test]
fn what_is_thrown_away_leads_to_the_next_head_or_to_the_end() {
    let drained = (Event::Drained, State::Idle);
    check(
        State::Draining,
        &[drained, (Event::Enough, State::Lingering)],
    );
    check(State::Lingering, &[]);
    check(State::Closed, &[]);
}

#[test]
fn a_client_that_is_gone_ends_everything() {
    for state in STATES {
        assert_eq!(state.on(Event::Gone), State::Closed, "{state:?}");
    }
}

#[test]
fn a_client_asks_by_version_and_by_field() {
    let check = |version, connection: Option<&str>, expected| {
        let mut headers = Headers::new();
        if let Some(connection) = connection {
            headers.append(&name::CONNECTION, connection);
        }
        let found = is_persistent(version, &headers);
        assert_eq!(found, expected, "{version:?} {connection:?}");
    };
    check(Version::Http11, None, true);
    check(Version::Http11, Some("upgrade"), true);
    check(Version::Http11, Some("keep-alive, CLOSE"), false);
    check(Version::Http10, None, false);
    check(Version::Http10, Some("te"), false);
    check(Version::Http10, Some("Keep-Alive"), true);
    check(Version::Http10, Some("keep-alive, close"), false);
}
