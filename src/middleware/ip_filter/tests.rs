//! Who may come, and what is said of a list that is none.

use std::path::PathBuf;

use super::*;
use crate::build::{BuildContext, CarryOver, ParseContext, Section};
use crate::exchange::testing::TestRequest;
use crate::middleware::tests::{build_in, problems};

/// Who of these is let in, with a folder of lists.
fn let_in(settings: &str, clients: &[&str]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.txt"),
        "# staff\n10.0.0.0/8 # all\n\n::1\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("none.txt"), "").unwrap();
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, folder.path().to_path_buf());
    let filter = build_in(&KIND, settings, &mut cx);
    let mut request = TestRequest::get("/");
    let clients = clients.iter().map(|client| {
        let mut x = request.exchange();
        x.client_ip = client.parse().unwrap();
        match filter.on_request(&mut x) {
            Flow::Continue => true,
            Flow::Respond(response) => {
                assert_eq!(response.why, Some(Why::Refused));
                false
            }
            Flow::Wait(_) => panic!("it waits for nobody"),
        }
    });
    clients.collect()
}

#[track_caller]
fn check(settings: &str, clients: &[(&str, bool)]) {
    let (names, expected): (Vec<_>, Vec<_>) = clients.iter().copied().unzip();
    assert_eq!(let_in(settings, &names), expected, "{settings}: {names:?}");
}

#[test]
fn the_smallest_network_decides() {
    check("", &[("192.0.2.1", true), ("::1", true)]);
    check(
        "allow = ['10.0.0.0/8']\ndeny = ['10.66.0.0/16', '10.1.2.3']",
        &[
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.66.1.1", false),
            ("10.1.2.3", false),
            ("192.0.2.1", false),
            ("::1", false),
        ],
    );
    check(
        "deny = ['0.0.0.0/0']\nallow = ['192.0.2.7']",
        &[("192.0.2.7", true), ("192.0.2.8", false), ("::1", false)],
    );
    check(
        "deny = ['10.0.0.0/8', '2001:db8::/32']",
        &[
            ("10.0.0.1", false),
            ("2001:db8::1", false),
            ("11.0.0.1", true),
            ("::1", true),
        ],
    );
    check("deny = ['::/0']", &[("::1", false), ("192.0.2.1", true)]);
}

#[test]
fn lists_come_from_files_too() {
    check(
        "allow_files = ['a.txt']\ndeny = ['10.9.0.0/16']",
        &[
            ("10.0.0.1", true),
            ("::1", true),
            ("10.9.0.1", false),
            ("11.0.0.1", false),
        ],
    );
    check(
        "deny_files = ['a.txt']",
        &[("10.0.0.1", false), ("11.0.0.1", true)],
    );
    // A list of those who may come that is empty lets nobody in.
    check("allow_files = ['none.txt']", &[("10.0.0.1", false)]);
}

#[test]
fn who_only_watches_lets_everyone_in() {
    check(
        "deny = ['0.0.0.0/0']\nenforce = false",
        &[("10.0.0.1", true)],
    );
}

/// What is wrong with a list.
fn wrong_list(content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("l"), content).unwrap();
    let section = Section::from_text("deny_files = ['l']").unwrap();
    let settings = (KIND.parse)(&section, &mut ParseContext::default()).unwrap();
    let mut carry_over = CarryOver::default();
    let mut cx = BuildContext::new(&mut carry_over, PathBuf::from(folder.path()));
    let problem = settings.build(&mut cx).unwrap_err();
    assert_eq!(cx.files.paths().count(), 1, "a wrong list is watched too");
    problem.message
}

#[test]
fn mistakes() {
    assert_eq!(
        wrong_list("10.0.0.0/8\nhome"),
        "l, line 2: `home` is neither an address nor a network"
    );
    assert!(wrong_list("10.0.0.1/8").contains("bits set behind its prefix"));
    let check = |text: &str, expected: &str| {
        let found = problems(&KIND, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    check("allow = ['home']", "`home` is neither an address");
    check("status = 200", "200 is not the status of a refusal");
}
