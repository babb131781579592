//! The real binary, one behaviour a test.

mod start;
mod static_files;
