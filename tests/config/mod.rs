//! Configuration files: each `bad/*.toml` is reported as its `.stderr` says, each `good/*.toml`
//! means what its `.model` says.

mod reference;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use httpserverd::build::{CarryOver, MemorySinks};
use httpserverd::config::codes::{CODES, explain};
use httpserverd::config::effective::effective;
use httpserverd::config::{self, Environment, Inputs, Loaded, Main, Report, Setting, Surroundings};

use crate::support::golden;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// Every file with this ending in a folder, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == ending))
        .collect();
    files.sort();
    files
}

/// What the files find in the environment and on the command line.
fn inputs(file: &Path) -> Inputs {
    let mut inputs = Inputs {
        environment: Environment::from([("PORT", "8080"), ("NAME", "web"), ("COUNT", "7")]),
        command_line: Vec::new(),
    };
    let name = file.file_stem().unwrap().to_str().unwrap();
    if name.starts_with("environment") {
        inputs.environment = Environment::from([
            ("HTTPSERVER_SERVER__WORKERS", "3"),
            ("HTTPSERVER_SERVER__LIMITS__BODY", "1MiB"),
            ("HTTPSERVER_SERVER__LIMITS__HEADER_TIMEOUT", "soon"),
            (
                "HTTPSERVER_SERVER__TRUSTED_PROXIES",
                r#"["10.0.0.0/8", "10.0.0.1/8"]"#,
            ),
            ("HTTPSERVER_LOG_LEVEL", "debug"),
            ("HTTPSERVER_LOG__FORMAT", "jsn"),
            ("HTTPSERVER_LISTENER__BIND", "x"),
            ("HTTPSERVER_SERVER__NOTHING", "1"),
            ("HTTPSERVER_CONFIG", "elsewhere"),
            ("HTTPS_PROXY", "not ours"),
        ]);
    }
    if name.starts_with("precedence") {
        inputs.environment = Environment::from([
            ("HTTPSERVER_SERVER__WORKERS", "3"),
            ("HTTPSERVER_SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
            ("HTTPSERVER_SERVER__SERVER_HEADER", "false"),
            ("HTTPSERVER_LOG__LEVEL", "\"debug\""),
        ]);
        inputs.command_line = vec![Setting {
            option: "--workers".to_owned(),
            key: "server.workers".to_owned(),
            value: "5".to_owned(),
        }];
    }
    inputs
}

fn load(main: Main<'_>, inputs: &Inputs) -> Result<Loaded, Report> {
    let mut carry_over = CarryOver::default();
    let around = Surroundings {
        carry_over: &mut carry_over,
        sinks: Arc::new(MemorySinks::default()),
        id: 1,
    };
    config::load(main, inputs, around)
}

/// Paths as they are shown start at the folder of the tests.
fn without_folder(text: &str) -> String {
    text.replace(&format!("{}/", folder().display()), "")
}

#[test]
fn bad_files_are_reported() {
    let mut wrong = Vec::new();
    let bad = files(&folder().join("bad"), "toml");
    assert!(bad.len() >= 45, "only {} files", bad.len());
    for file in bad {
        let report = match load(Main::File(&file), &inputs(&file)) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        let text = format!("{}{}\n", report.text(false), report.summary());
        let result = golden::compare(&file.with_extension("stderr"), &without_folder(&text));
        wrong.extend(result.err());
        assert!(!report.is_empty(), "{} is good", file.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_shown_by_a_file() {
    let shown: String = files(&folder().join("bad"), "stderr")
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    // The first says only that something else, which is reported, is in the way, and is never
    // shown beside that; the second is about permissions, which a file of a repository lacks, and
    // so does the key of the certificate that the third is about.
    let unseen = ["E0202", "W0203", "W0204"];
    for code in CODES.iter().filter(|code| !unseen.contains(&code.code)) {
        assert!(shown.contains(&format!("[{}]", code.code)), "{}", code.code);
    }
    let codes = shown.lines().filter_map(|line| {
        let code = line
            .strip_prefix("error[")
            .or_else(|| line.strip_prefix("warning["))?;
        code.split(']').next()
    });
    for code in codes {
        assert!(explain(code).is_some(), "{code} means nothing");
    }
}

#[test]
fn good_files_mean_what_they_say() {
    let mut wrong = Vec::new();
    for file in files(&folder().join("good"), "toml") {
        let loaded = load(Main::File(&file), &inputs(&file)).unwrap();
        let origins = config::effective::Origins {
            provenance: &loaded.provenance,
            sources: &loaded.sources,
        };
        let text = effective(&loaded.model, Some(origins));
        let result = golden::compare(&file.with_extension("model"), &without_folder(&text));
        wrong.extend(result.err());
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let files = files(&examples, "toml");
    assert!(files.len() >= 5);
    for file in files {
        let loaded = load(Main::File(&file), &Inputs::default());
        let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
}

#[test]
fn the_shipped_demo_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/httpserver.toml");
    let loaded = load(Main::File(&file), &Inputs::default()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(&*loaded.model.listeners[0].name, "web");

    // What is commented out as a default is the default.
    let text = fs::read_to_string(&file).unwrap();
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") && !setting.starts_with("include") => setting,
            _ => line,
        })
        .take_while(|line| !line.starts_with("[[listener]]"))
        .collect();
    let listed = format!(
        "{}\n[[listener]]\nbind = \"127.0.0.1:8080\"\n[[route]]\npath = \"/*\"\nrespond = {{}}",
        uncommented.join("\n")
    );
    let base = file.parent().unwrap();
    let text = |text| Main::Text {
        name: "demo",
        text,
        base,
    };
    let all = load(text(&listed), &Inputs::default());
    let all = all.unwrap_or_else(|report| panic!("{report}"));
    let none = "[[listener]]\nbind = \"127.0.0.1:8080\"\n[[route]]\npath = \"/*\"\nrespond = {}";
    let none = load(text(none), &Inputs::default()).unwrap();
    assert_eq!(
        config::changes(&none.model, &all.model),
        Vec::<String>::new()
    );
}
