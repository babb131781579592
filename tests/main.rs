//! The only integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::option_option,
    clippy::large_stack_arrays,
    clippy::similar_names,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "what a test stands on fails the test"
)]

mod architecture;
mod config;
mod e2e;
mod h2;
mod properties;
mod support;
mod wire;
