//! Host, path, method → route.

pub mod chain;
pub mod route;
pub mod table;
