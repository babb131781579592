//! The rules of the house, held over the text of every source file. No server is started.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use httpserverd::{handlers, middleware};
use source::sources;

/// The floor of every room. A file names rooms of lower floors and its own; never one beside it.
const FLOORS: &[(&str, u8)] = &[
    ("http", 0),
    ("telemetry", 0),
    ("clock", 0),
    ("sys", 0),
    ("exchange", 1),
    ("build", 1),
    ("middleware", 2),
    ("handlers", 2),
    ("routing", 3),
    ("generation", 4),
    ("config", 5),
    ("server", 5),
    ("daemon", 6),
    ("cli", 7),
    ("main", 7),
];

/// Which files may name a crate: those whose paths start with one of these.
const HOMES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["config/report.rs"]),
    ("argon2", &["middleware/basic_auth/hash.rs"]),
    (
        "base64",
        &[
            "config/resolve/acme.rs",
            "middleware/basic_auth/",
            "middleware/jwt/",
        ],
    ),
    ("bcrypt", &["middleware/basic_auth/"]),
    ("brotli", &["middleware/compression/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/mod.rs"]),
    ("daemonize", &["daemon/process.rs"]),
    ("flate2", &["middleware/compression/"]),
    ("h2", &["server/h2/", "handlers/proxy/shared/"]),
    ("hmac", &["handlers/proxy/balance/sticky.rs"]),
    ("jsonwebtoken", &["middleware/jwt/"]),
    ("instant_acme", &["daemon/acme/"]),
    ("indexmap", &["middleware/rate_limit/buckets.rs"]),
    ("mimalloc", &["main.rs"]),
    ("mime_guess", &["http/mime.rs"]),
    ("notify", &["daemon/watcher.rs"]),
    ("prometheus_client", &["handlers/metrics/"]),
    (
        "quick_cache",
        &[
            "middleware/cache/shelf.rs",
            "middleware/cache/store.rs",
            "middleware/compression/results.rs",
        ],
    ),
    ("rcgen", &["sys/tls/self_signed.rs", "sys/tls/proof.rs"]),
    (
        "redis",
        &[
            "middleware/rate_limit/link.rs",
            "middleware/rate_limit/remote.rs",
        ],
    ),
    ("regex", &["build/regex.rs", "build/mod.rs"]),
    ("listenfd", &["daemon/inherited.rs"]),
    ("rustls", &["sys/tls/"]),
    ("rustls_native_certs", &["sys/tls/connect.rs"]),
    ("sd_notify", &["daemon/systemd.rs"]),
    (
        "sha2",
        &[
            "middleware/basic_auth/",
            "middleware/api_key/",
            "middleware/jwt/",
            "middleware/rate_limit/shared.rs",
            "handlers/proxy/balance/sticky.rs",
            "sys/tls/",
        ],
    ),
    ("sha_crypt", &["middleware/basic_auth/hash.rs"]),
    ("signal_hook", &["daemon/signals.rs"]),
    ("slab", &["exchange/deadlines.rs"]),
    ("socket2", &["sys/", "handlers/checking.rs"]),
    ("strsim", &["build/context.rs", "exchange/variable.rs"]),
    (
        "tracing_appender",
        &["daemon/rolling.rs", "daemon/sinks.rs"],
    ),
    ("subtle", &["middleware/basic_auth/", "middleware/api_key/"]),
    (
        "tracing_subscriber",
        &["daemon/journal.rs", "daemon/logging.rs"],
    ),
    ("uuid", &["middleware/request_id.rs"]),
    ("x509_parser", &["sys/tls/"]),
];

/// What the files of a room must not name, and why.
const ABSENT: &[(&str, &[&str], &str)] = &[
    (
        "http/",
        &["tokio", "serde", "tracing", "socket2", "rustix", "toml"],
        "bytes and numbers in, values out",
    ),
    (
        "server/",
        &["toml", "serde"],
        "nothing is parsed or defaulted for a request",
    ),
    ("config/", &["tokio"], "it knows nothing of workers"),
    (
        "generation.rs",
        &["toml", "serde", "tokio"],
        "it is compiled",
    ),
];

/// Phrases that stand in one place alone: the phrase, where it may stand, why.
const ALONE: &[(&str, &str, &str)] = &[
    ("Instant::now(", "clock.rs", "only the clock reads time"),
    ("SystemTime::now(", "clock.rs", "only the clock reads time"),
    (
        "thread::Builder",
        "daemon/",
        "only the control plane starts threads",
    ),
    (
        "thread::spawn",
        "daemon/",
        "only the control plane starts threads",
    ),
    ("process::exit", "main.rs", "only the program ends itself"),
];

/// No file or folder is called this: it says nothing.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helpers", "misc", "types", "core",
];

/// Lines a file may have before it is looked at again.
const LINES_WARN: usize = 400;

/// Lines a file may have.
const LINES_MAX: usize = 600;

/// Columns a line may have.
const COLUMNS_MAX: usize = 100;

/// Fails with all that was found, not only the first.
#[track_caller]
fn expect_none(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} found:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn floor(room: &str) -> Option<u8> {
    let entry = FLOORS.iter().find(|(name, _)| *name == room);
    entry.map(|(_, floor)| *floor)
}

#[test]
fn every_file_stands_on_a_floor() {
    let homeless: Vec<_> = sources("src")
        .iter()
        .filter(|source| source.path != "lib.rs" && floor(source.room()).is_none())
        .map(|source| format!("src/{} stands in a room without a floor", source.path))
        .collect();
    expect_none(&homeless);
}

#[test]
fn files_name_lower_floors_and_their_own_room() {
    let mut found = Vec::new();
    for source in sources("src")
        .iter()
        .filter(|source| source.path != "lib.rs")
    {
        let room = source.room();
        let own = floor(room).unwrap_or_default();
        for (line, name) in source.rooms_named() {
            let Some(other) = floor(&name) else { continue };
            let upstairs = other > own || (other == own && name != room);
            if upstairs && !(room == "main" && name == "cli") {
                found.push(format!(
                    "src/{}:{line} (floor {own}) names `{name}` (floor {other}): see src/{}",
                    source.path,
                    source::file_of(&name),
                ));
            }
        }
    }
    expect_none(&found);
}

#[test]
fn crates_stay_in_their_homes() {
    let mut found = Vec::new();
    for source in sources("src") {
        for (line, name) in source.crates_named() {
            let home = HOMES.iter().find(|(known, _)| *known == name);
            if let Some((_, homes)) = home
                && !homes.iter().any(|home| source.path.starts_with(home))
            {
                found.push(format!(
                    "src/{}:{line} names the crate `{name}`, whose home is src/{}",
                    source.path,
                    homes.join(", src/")
                ));
            }
            for (room, crates, why) in ABSENT {
                if source.path.starts_with(room) && crates.contains(&name.as_str()) {
                    found.push(format!(
                        "src/{}:{line} names the crate `{name}`, but of src/{room} holds: {why}",
                        source.path
                    ));
                }
            }
        }
    }
    expect_none(&found);
}

#[test]
fn some_things_are_done_in_one_place_alone() {
    let mut found = Vec::new();
    for source in sources("src") {
        for (number, line) in source.code.lines().enumerate() {
            for (phrase, place, why) in ALONE {
                let elsewhere = !source.path.starts_with(place) && line.contains(phrase);
                if elsewhere && !source.is_test(number) {
                    found.push(format!(
                        "src/{}:{} says `{phrase}`, which stands in src/{place} alone: {why}",
                        source.path,
                        number + 1
                    ));
                }
            }
        }
    }
    expect_none(&found);
}

#[test]
fn files_are_short_and_say_what_they_hold() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for source in sources(folder) {
            let path = format!("{folder}/{}", source.path);
            let lines = source.text.lines().count();
            if lines > LINES_MAX {
                found.push(format!("{path} has {lines} lines, more than {LINES_MAX}"));
            } else if lines > LINES_WARN {
                eprintln!("{path} has {lines} lines: find the concept that wants a file");
            }
            for (number, line) in source.text.lines().enumerate() {
                let columns = line.chars().count();
                if columns > COLUMNS_MAX {
                    found.push(format!("{path}:{} has {columns} columns", number + 1));
                }
            }
            if !source.text.starts_with("//!") {
                found.push(format!("{path} does not open with what it holds (//!)"));
            }
            let words: Vec<_> = source.path.split(['/', '.']).collect();
            if let Some(name) = EMPTY_NAMES.iter().find(|name| words.contains(name)) {
                found.push(format!("{path}: `{name}` says nothing"));
            }
        }
    }
    expect_none(&found);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for source in sources(folder) {
            for (number, line) in source.text.lines().enumerate() {
                let words: BTreeSet<_> = line.split(|c: char| !c.is_alphanumeric()).collect();
                if let Some(mark) = marks.iter().find(|mark| words.contains(*mark)) {
                    let path = &source.path;
                    found.push(format!("{folder}/{path}:{}: {mark}", number + 1));
                }
            }
        }
    }
    expect_none(&found);
}

#[test]
fn every_kind_is_in_its_registry() {
    let rooms = [
        ("middleware", names(middleware::REGISTRY)),
        ("handlers", names(handlers::REGISTRY)),
    ];
    let mut found = Vec::new();
    for (room, names) in rooms {
        let registered = fs::read_to_string(root().join("src").join(room).join("mod.rs")).unwrap();
        if names.iter().any(|name| !is_snake_case(name)) {
            found.push(format!(
                "src/{room}/mod.rs: {names:?} are not all snake_case"
            ));
        }
        if !names.is_sorted_by(|a, b| a < b) {
            found.push(format!(
                "src/{room}/mod.rs: {names:?} are not sorted and unique"
            ));
        }
        let prefix = format!("{room}/");
        for source in sources("src") {
            let Some(within) = source.path.strip_prefix(&prefix) else {
                continue;
            };
            let stem = within.split(['/', '.']).next().unwrap_or_default();
            let entry = format!("{stem}::KIND");
            let has_kind = source.code.contains("const KIND: ");
            if has_kind && !registered.contains(&entry) {
                let path = &source.path;
                found.push(format!(
                    "src/{path} has a KIND, but src/{room}/mod.rs no {entry}"
                ));
            }
        }
    }
    expect_none(&found);
}

fn names<T>(registry: &[httpserverd::build::Kind<T>]) -> Vec<&'static str> {
    registry.iter().map(|kind| kind.name).collect()
}

fn is_snake_case(name: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(lower)
}

#[test]
fn the_map_shows_what_is_there() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut found = Vec::new();
    for quoted in map.split('`').skip(1).step_by(2) {
        let is_path = quoted.ends_with(".rs") || quoted.ends_with('/');
        let written = quoted.contains('/') && !quoted.contains([' ', '*']);
        // Rooms are named from `src`, tests and the rest from the top.
        let there = ["", "src"]
            .iter()
            .any(|start| root().join(start).join(quoted).exists());
        if is_path && written && !there {
            found.push(format!(
                "ARCHITECTURE.md names `{quoted}`, which is not there"
            ));
        }
    }
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    for section in ["dependencies", "dev-dependencies"] {
        for name in manifest[section].as_table().unwrap().keys() {
            if !map.contains(name.as_str()) {
                found.push(format!(
                    "Cargo.toml has {name}; ARCHITECTURE.md does not say why"
                ));
            }
        }
    }
    expect_none(&found);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
