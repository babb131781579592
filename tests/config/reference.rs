//! The page of the reference is what the program says of itself.

use std::path::Path;

use httpserverd::config::reference::reference;

use crate::support::golden;

#[test]
fn the_reference_is_what_the_program_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/REFERENCE.md");
    let compared = golden::compare(&page, &reference());
    assert!(
        compared.is_ok(),
        "config/REFERENCE.md is old: BLESS=1 cargo test --test it reference writes it anew"
    );
}
