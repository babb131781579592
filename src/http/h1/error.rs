//! Why a message was refused: the peer's fault, in a closed set.

use crate::http::StatusCode;

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $variant:ident $status:ident $reason:literal)*) => {
        /// Why a message was refused. For a request the fault is the client's and
        /// [`Self::status`] says what to answer; for a response it is the upstream's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ParseError { $($(#[doc = $doc])+ $variant,)* }

        impl ParseError {
            /// What to answer a client.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// One short sentence, for the log and the client.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)* }
            }
        }
    };
}

errors! {
    /// The first line is no request line (RFC 9112 §3) or no status line (§4).
    StartLine BAD_REQUEST "the first line is malformed"
    /// The method is no token.
    Method BAD_REQUEST "the method is not a token"
    /// The target has none of the four forms or a byte that may not be in it.
    Target BAD_REQUEST "the request target is malformed"
    /// A version other than HTTP/1.x.
    Version HTTP_VERSION_NOT_SUPPORTED "only HTTP/1.0 and HTTP/1.1 are spoken here"
    /// The request line is over its limit.
    TargetTooLong URI_TOO_LONG "the request line is too long"
    /// A CR without LF, or an LF without CR.
    LineEnd BAD_REQUEST "a line does not end with CRLF"
    /// A field name is empty, no token, or followed by white space.
    FieldName BAD_REQUEST "a field name is malformed"
    /// A field line that continues the one before (obs-fold).
    Fold BAD_REQUEST "a folded field line"
    /// A field line without a colon.
    NoColon BAD_REQUEST "a field line without a colon"
    /// A control byte in a field value.
    FieldValue BAD_REQUEST "a control byte in a field value"
    /// The fields are over their limit in bytes.
    FieldsTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "the header fields are too large"
    /// More field lines than allowed.
    TooManyFields REQUEST_HEADER_FIELDS_TOO_LARGE "too many header fields"
    /// No Host in an HTTP/1.1 request (RFC 9112 §3.2).
    HostMissing BAD_REQUEST "the Host field is missing"
    /// More than one Host.
    HostRepeated BAD_REQUEST "the Host field is repeated"
    /// A Host that is none.
    HostInvalid BAD_REQUEST "the Host field is malformed"
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.1).
    BothFramings BAD_REQUEST "both Content-Length and Transfer-Encoding"
    /// A Content-Length that is no number, is repeated, or a list.
    ContentLength BAD_REQUEST "the Content-Length is malformed or repeated"
    /// A Transfer-Encoding whose last coding is not chunked, or in HTTP/1.0.
    TransferEncoding BAD_REQUEST "the Transfer-Encoding cannot be trusted"
    /// A transfer coding that is not known.
    UnknownCoding NOT_IMPLEMENTED "an unknown transfer coding"
    /// A chunk size, extension or end that breaks RFC 9112 §7.1.
    Chunk BAD_REQUEST "the chunked coding is malformed"
    /// Trailer fields over their limits.
    TrailersTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "the trailer fields are too large"
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ParseError {}
