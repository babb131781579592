//! What a table may say, and what is said of one that is wrong.

use super::*;

#[test]
fn the_example_builds() {
    let folder = tempfile::tempdir().unwrap();
    build(super::super::KIND.example, folder.path().into()).unwrap();
}

#[track_caller]
fn check(toml: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let problems = build(toml, folder.path().into()).unwrap_err();
    let messages: Vec<_> = problems
        .iter()
        .map(|problem| {
            let span = problem.span.clone().unwrap_or_default();
            let place = toml.get(span.range).unwrap_or_default();
            format!("{place}: {}", problem.message)
        })
        .collect();
    assert_eq!(messages, expected);
}

#[test]
fn mistakes_are_told_at_their_place() {
    check(
        "root = '.'\nstrip_prefix = 'docs'\nindex = ['a', 'b/c']\nfallback = 'x'\n\
         try = ['path']\ncache_control = \"a\\nb\"\ncharset = 'utf 8'",
        &[
            "'docs': \"docs\" is not a path that starts with \"/\"",
            "'b/c': \"b/c\" is not a file name without a slash",
            "'path': \"path\" is not a path that starts with \"/\" or \"{path}\"",
            "'x': \"x\" is not a path of a file that starts with \"/\"",
            "\"a\\nb\": \"a\\nb\" is not a field value",
            "'utf 8': \"utf 8\" is not the name of a charset",
        ],
    );
}

#[test]
fn a_root_that_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for root in ["none", "file"] {
        let toml = format!("root = '{root}'");
        let problems = build(&toml, folder.path().into()).unwrap_err();
        assert!(problems[0].message.starts_with("cannot open the root "));
        let range = problems[0].span.clone().unwrap().range;
        assert_eq!(&toml[range], format!("'{root}'"));
    }
}
