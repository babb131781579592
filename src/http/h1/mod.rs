//! HTTP/1.1 messages (RFC 9112).

pub mod error;

pub use error::ParseError;
