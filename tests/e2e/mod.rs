//! The real binary, one behaviour a test.

mod start;
