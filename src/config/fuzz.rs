//! The body of the fuzz target `config`: no text can make loading panic or report nonsense.

use std::path::Path;
use std::sync::Arc;

use super::effective::{Origins, effective};
use super::{Environment, Inputs, Loaded, Main, Report, Surroundings, changes, load};
use crate::build::{CarryOver, MemorySinks, Problem, Span};

/// Loads a text and draws what comes of it.
///
/// # Panics
/// Something that must hold does not.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match load_text(text) {
        Ok(loaded) => {
            check_report(&loaded.warnings, text);
            let origins = Origins {
                provenance: &loaded.provenance,
                sources: &loaded.sources,
            };
            assert!(effective(&loaded.model, Some(origins)).starts_with("[server]"));
            let again = load_text(text).map(|again| changes(&loaded.model, &again.model));
            assert_eq!(again.ok(), Some(Vec::new()), "the same text means the same");
        }
        Err(report) => {
            assert!(!report.is_empty(), "a refusal has a reason");
            check_report(&report, text);
        }
    }
}

fn load_text(text: &str) -> Result<Loaded, Report> {
    let mut carry_over = CarryOver::default();
    let inputs = Inputs {
        environment: Environment::from([("PORT", "8080"), ("NAME", "\"x")]),
        command_line: Vec::new(),
    };
    load(
        Main::Text {
            name: "fuzzed",
            text,
            base: Path::new("/nowhere"),
        },
        &inputs,
        Surroundings {
            carry_over: &mut carry_over,
            sinks: Arc::new(MemorySinks::default()),
            id: 1,
        },
    )
}

/// Every place is within the text, and every problem can be drawn.
fn check_report(report: &Report, text: &str) {
    let within = |span: &Span| text.get(span.range.clone()).is_some();
    for problem in report.problems() {
        let Problem { span, notes, .. } = problem;
        assert!(span.as_ref().is_none_or(within), "{problem:?}");
        assert!(notes.iter().all(|(span, _)| within(span)), "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
    }
    let drawn = report.text(true) + &report.json();
    let first = report.problems().first();
    assert!(first.is_none_or(|problem| drawn.contains(problem.code)));
    assert_eq!(report.lines().count(), report.problems().len());
}
