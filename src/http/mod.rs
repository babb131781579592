//! The protocol: bytes and numbers in, values out.
//!
//! Nothing here knows a socket, a clock, a runtime or a log.

pub mod accept;
pub mod authority;
pub mod cache;
pub mod conditional;
pub mod date;
pub mod etag;
#[doc(hidden)]
pub mod fuzz;
pub mod h1;
pub mod headers;
mod list;
pub mod method;
pub mod mime;
pub mod name;
pub mod path;
pub mod proxy_protocol;
pub mod query;
pub mod range;
pub mod status;
pub mod target;
pub mod token;

pub use headers::Headers;
pub use method::Method;
pub use name::HeaderName;
pub use status::StatusCode;
pub use target::Target;

/// The protocol version of a message (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// HTTP/1.0: no keep-alive unless asked for, no chunked coding.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As written on the wire and in logs: `HTTP/1.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// A request without its body: the request line (or pseudo-header fields) and the fields.
///
/// Kept by its connection and filled anew for each request, so that its buffers are allocated
/// once a connection.
#[derive(Debug, Default, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target in one of its four forms.
    pub target: Target,
    /// The version the client spoke.
    pub version: Version,
    /// The fields in the order they came.
    pub headers: Headers,
}

impl RequestHead {
    /// The host the request is for, without port: of the target if it has an authority,
    /// otherwise of the `Host` field (RFC 9112 §3.3). Empty if there is none.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        target::split_port(authority).0
    }

    /// The authority the request is for, port included, as the client wrote it.
    pub fn authority(&self) -> &str {
        std::str::from_utf8(self.authority_bytes()).unwrap_or_default()
    }

    /// The same, for those who only write it.
    pub fn authority_bytes(&self) -> &[u8] {
        match self.target.authority() {
            Some(authority) => authority.as_bytes(),
            None => self.headers.get(&name::HOST).unwrap_or_default(),
        }
    }

    /// Forgets everything but the capacity of the buffers.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.target.clear();
        self.version = Version::Http11;
        self.headers.clear();
    }
}
