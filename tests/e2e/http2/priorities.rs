//! Content goes out by urgency (RFC 9218).

use super::{NOWHERE, daemon};
use crate::support::h2::{Client, Frame, kind};

/// Asks for two files at once, with these priorities, through windows that hold both: how much of
/// the first has come when the second is there.
fn first_when_second_is_there(first: &[(&str, &str)], second: &[(&str, &str)]) -> usize {
    let daemon = daemon("", NOWHERE);
    let mut client = Client::connect(&daemon, "web");
    client.updates = false;
    client.send(&Frame::new(
        kind::SETTINGS,
        0,
        0,
        [0, 4, 0x7f, 0xff, 0xff, 0xff],
    ));
    client.window(0, 0x7fff_0000);
    client.ping(1);
    client.requests("/large", &[(1, first), (3, second)]);
    assert_eq!(client.answer(3).body.len(), 1 << 20);
    let come = client
        .answer_until(1, |answer| !answer.body.is_empty())
        .body
        .len();
    assert_eq!(client.answer(1).body.len(), 1 << 20);
    come
}

#[test]
fn what_is_urgent_overtakes() {
    let come = first_when_second_is_there(&[("priority", "u=7")], &[("priority", "u=0")]);
    assert!(come <= 256 << 10, "{come} bytes before");
}

#[test]
fn what_wants_to_be_whole_comes_in_the_order_asked_for() {
    let come = first_when_second_is_there(&[("priority", "u=3")], &[("priority", "u=3")]);
    assert_eq!(come, 1 << 20);
}

#[test]
fn what_is_incremental_shares() {
    for own in [&[("priority", "u=3, i")][..], &[]] {
        let come = first_when_second_is_there(own, own);
        assert!(come > 512 << 10, "{come} bytes, less than a fair share");
    }
}
