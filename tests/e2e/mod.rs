//! The real binary, one behaviour a test.

mod drain;
mod logging;
mod reload;
mod serve;
mod signals;
mod proxy;
mod start;
mod static_files;
