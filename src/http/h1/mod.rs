//! HTTP/1.1 messages (RFC 9112).

pub mod chunked;
pub mod encode;
pub mod error;
mod fields;
pub mod framing;
pub mod head;
pub mod response;
mod scan;
pub mod state;

pub use error::ParseError;
