//! Every mistake, told once, in an operator's words.

use super::*;
use crate::build::{HumanDuration, Rate};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    #[serde(default)]
    interval: Option<HumanDuration>,
    path: String,
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Balance {
    RoundRobin,
    LeastConnections,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    count: u8,
    name: String,
    rate: Rate,
    #[serde(default)]
    balance: Option<Balance>,
    #[serde(default)]
    servers: Vec<Spanned<String>>,
    #[serde(default)]
    check: Option<Inner>,
    #[serde(default)]
    on: bool,
}

/// Every problem of a text, one a line: the message, and the hint behind a bar.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let section = Section::from_text(text).unwrap();
    let mut cx = ParseContext::default();
    let settings = cx.settings_beside::<Settings>(&section, &["proxy"]);
    let mut problems: Vec<String> = cx
        .problems
        .iter()
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{}|{hint}", problem.message),
            None => problem.message.clone(),
        })
        .collect();
    problems.sort();
    assert_eq!(problems, expected, "{text}");
    assert_eq!(settings.is_some(), expected.is_empty());
}

const GOOD: &str = "count = 1\nname = 'a'\nrate = '1/s'\n";

fn check_with(text: &str, expected: &[&str]) {
    check(&format!("{GOOD}{text}"), expected);
}

#[test]
fn right_settings_are_read() {
    check_with("", &[]);
    check_with("servers = ['a']\ncheck = { path = '/' }\non = true", &[]);
    check_with("balance = 'round_robin'", &[]);
    check_with("balance = 'least_connections'", &[]);
}

#[test]
fn every_mistake_is_found_in_one_pass() {
    check(
        "count = 700\nname = 7\nservers = ['a', 1, 2]\nnaem = 1\n[check]\ninterval = 7\n",
        &[
            "`check.interval`: `7` has no unit|\
             write \"7s\" for seconds, \"7ms\" for milliseconds",
            "`check` of this table needs `path`",
            "`count` must be a whole number from 0 to 255",
            "`name` must be a string, found an integer|write it in quotes: \"7\"",
            "every item of `servers` must be a string, found an integer|\
             write it in quotes: \"1\"",
            "every item of `servers` must be a string, found an integer|\
             write it in quotes: \"2\"",
            "this table needs `rate`",
            "unknown key `naem` in this table|did you mean `name`?",
        ],
    );
    check(
        "cuont = 1\nname = ''\nrate = '1/s'",
        &["unknown key `cuont` in this table|did you mean `count`?"],
    );
    check(
        "",
        &[
            "this table needs `count`",
            "this table needs `name`",
            "this table needs `rate`",
        ],
    );
}

#[test]
fn each_mistake_says_what_to_write() {
    for (text, expected) in [
        (
            "proxi = 1",
            "unknown key `proxi` in this table|did you mean `proxy`?",
        ),
        (
            "zzz = 1",
            "unknown key `zzz` in this table|the keys of this table are `balance`, `check`, \
             `count`, `name`, `on`, `proxy`, `rate` and `servers`",
        ),
        (
            "[check]\npath = ''\nzzz = 1",
            "unknown key `zzz` in `check` of this table|\
             the keys of `check` of this table are `interval` and `path`",
        ),
        (
            "servers = 'a'",
            "`servers` must be an array, found a string|write it as an array: [\"a\"]",
        ),
        (
            "on = 'true'",
            "`on` must be true or false, found a string|write it without quotes: true",
        ),
        (
            "balance = 'round_robn'",
            "`balance` cannot be \"round_robn\"|did you mean \"round_robin\"?",
        ),
        (
            "balance = 'best'",
            "`balance` cannot be \"best\"|\
             it is one of \"round_robin\" and \"least_connections\"",
        ),
        (
            "balance = 1.5",
            "`balance` must be a string, found a number with a point|\
             write it in quotes: \"1.5\"",
        ),
        (
            "balance = true",
            "`balance` must be a string, found a boolean|write it in quotes: \"true\"",
        ),
        (
            "[check]\npath = 1979-05-27",
            "`check.path` must be a string, found a date|write it in quotes: \"1979-05-27\"",
        ),
        ("check = 1", "`check` must be a table, found an integer"),
        ("on = []", "`on` must be true or false, found an array"),
        ("on = {}", "`on` must be true or false, found a table"),
    ] {
        check_with(text, &[expected]);
    }
    check(
        "count = '7'\nname = ''\nrate = '1/s'",
        &[
            "`count` must be a whole number from 0 to 255, found a string|\
           write it without quotes: 7",
        ],
    );
    check(
        "count = 99999999999999999999999999999999999999999\nname = ''\nrate = '1/s'",
        &["`count` must be a smaller number"],
    );
}

#[test]
fn a_substituted_string_may_be_a_number() {
    let section = Section::from_text("count = '7'\nname = '7'\nrate = '1/s'\non = 'true'");
    let section = section.unwrap();
    let substituted = HashSet::from([8..11, 19..22, 41..47].map(|range| section.at(range)));
    let mut cx = ParseContext {
        substituted: &substituted,
        ..ParseContext::default()
    };
    let settings: Settings = cx.settings(&section).unwrap();
    assert_eq!((settings.count, settings.name.as_str()), (7, "7"));
    assert!(settings.on);
    assert_eq!(settings.rate.count, 1);
    assert!(settings.balance.is_none() && settings.servers.is_empty());
    assert!(
        settings
            .check
            .is_none_or(|check| check.path.is_empty() && check.interval.is_none())
    );
}
