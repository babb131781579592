//! What a shared cache does with each thing the RFC speaks of, one line a case.

mod directives;
mod freshness;
mod matching;
mod reuse;
mod storing;
mod validation;

use crate::http::{HeaderName, Headers};

/// Tue, 24 Nov 2026 12:00:00 GMT.
const NOW: u64 = 1_795_521_600;

/// Fields, one a line.
#[track_caller]
fn headers(text: &str) -> Headers {
    let mut headers = Headers::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').expect("a field line");
        let name = HeaderName::from_bytes(name.trim().as_bytes()).expect("a name");
        headers.append(&name, value.trim());
    }
    headers
}
