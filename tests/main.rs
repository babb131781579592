//! The only integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "what a test stands on fails the test"
)]

mod architecture;
mod config;
mod e2e;
mod properties;
mod support;
