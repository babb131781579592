//! The only integration binary.

mod properties;
