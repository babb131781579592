//! No text makes loading a configuration panic.

use std::fs;
use std::path::Path;

use httpserverd::config::fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Every file of the tests, the good and the bad.
fn corpus() -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> = ["good", "bad"]
        .iter()
        .flat_map(|folder| fs::read_dir(tests.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A change to a text, at places chosen by index.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
    Join(Index),
}

const INSERTED: [&str; 15] = [
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\r",
    "#",
    "${",
    "é",
    "[[route]]\n",
    "0",
    "'''",
    "\\",
];

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        (place(), place()).prop_map(|(from, to)| Change::Cut(from, to)),
        (place(), place()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (place(), prop::sample::select(&INSERTED[..]))
            .prop_map(|(at, text)| Change::Insert(at, text)),
        place().prop_map(Change::Join),
    ]
}

fn apply(text: &mut Vec<u8>, change: &Change, corpus: &[Vec<u8>]) {
    let range = |text: &[u8], a: &Index, b: &Index| {
        let (a, b) = (a.index(text.len() + 1), b.index(text.len() + 1));
        // Short ones: what is left shall still look like a configuration.
        a.min(b)..a.max(b).min(a.min(b) + 40)
    };
    match change {
        Change::Cut(a, b) => {
            text.drain(range(text, a, b));
        }
        Change::Repeat(a, b) => {
            let part = text[range(text, a, b)].to_vec();
            text.extend(part);
        }
        Change::Insert(at, inserted) => {
            let at = at.index(text.len() + 1);
            text.splice(at..at, inserted.bytes());
        }
        Change::Join(other) => text.extend(&corpus[other.index(corpus.len())]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_loaded_or_refused(text in "\\PC{0,200}") {
        fuzz::config(text.as_bytes());
    }

    #[test]
    fn a_changed_configuration_is_loaded_or_refused(
        file in any::<Index>(),
        changes in vec(change(), 1..6),
    ) {
        let corpus = corpus();
        let mut text = corpus[file.index(corpus.len())].clone();
        for change in &changes {
            apply(&mut text, change, &corpus);
        }
        fuzz::config(String::from_utf8_lossy(&text).as_bytes());
    }
}
