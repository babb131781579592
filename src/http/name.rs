//! Field names, the well-known ones interned to a byte.

use std::fmt;

/// A field name. Comparison ignores case; the spelling given is the spelling sent.
#[derive(Clone)]
pub struct HeaderName(Repr);

#[derive(Clone)]
enum Repr {
    Known(Known),
    Other(Box<str>),
}

/// An interned name: an index into [`KNOWN`]. 255 stands for "not interned".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Known(u8);

impl Known {
    pub(super) const NONE: Self = Self(u8::MAX);

    /// The interned name these bytes spell in any case, or [`Known::NONE`].
    pub(super) fn intern(name: &[u8]) -> Self {
        let Some(candidates) = BY_LENGTH.get(name.len()) else {
            return Self::NONE;
        };
        for &index in candidates.iter().take_while(|&&index| index != u8::MAX) {
            if KNOWN[usize::from(index)]
                .as_bytes()
                .eq_ignore_ascii_case(name)
            {
                return Self(index);
            }
        }
        Self::NONE
    }
}

macro_rules! names {
    ($($constant:ident $text:literal)*) => {
        /// The canonical spelling of every interned name.
        const KNOWN: &[&str] = &[$($text),*];

        #[expect(
            non_camel_case_types,
            clippy::upper_case_acronyms,
            reason = "an index a name, counted by the compiler"
        )]
        #[repr(u8)]
        enum Index { $($constant),* }

        $(
            #[doc = concat!("`", $text, "`.")]
            pub const $constant: HeaderName =
                HeaderName(Repr::Known(Known(Index::$constant as u8)));
        )*
    };
}

names! {
    HOST "Host"
    CONNECTION "Connection"
    CONTENT_LENGTH "Content-Length"
    TRANSFER_ENCODING "Transfer-Encoding"
    EXPECT "Expect"
    UPGRADE "Upgrade"
    TE "TE"
    TRAILER "Trailer"
    KEEP_ALIVE "Keep-Alive"
    PROXY_CONNECTION "Proxy-Connection"
    PROXY_AUTHENTICATE "Proxy-Authenticate"
    PROXY_AUTHORIZATION "Proxy-Authorization"
    HTTP2_SETTINGS "HTTP2-Settings"
    DATE "Date"
    SERVER "Server"
    CONTENT_TYPE "Content-Type"
    CONTENT_ENCODING "Content-Encoding"
    CONTENT_LANGUAGE "Content-Language"
    CONTENT_LOCATION "Content-Location"
    CONTENT_RANGE "Content-Range"
    CONTENT_DISPOSITION "Content-Disposition"
    ETAG "ETag"
    LAST_MODIFIED "Last-Modified"
    CACHE_CONTROL "Cache-Control"
    PRAGMA "Pragma"
    EXPIRES "Expires"
    AGE "Age"
    VARY "Vary"
    ACCEPT_RANGES "Accept-Ranges"
    RANGE "Range"
    IF_RANGE "If-Range"
    IF_MATCH "If-Match"
    IF_NONE_MATCH "If-None-Match"
    IF_MODIFIED_SINCE "If-Modified-Since"
    IF_UNMODIFIED_SINCE "If-Unmodified-Since"
    ACCEPT "Accept"
    ACCEPT_ENCODING "Accept-Encoding"
    ACCEPT_LANGUAGE "Accept-Language"
    ALLOW "Allow"
    LOCATION "Location"
    RETRY_AFTER "Retry-After"
    AUTHORIZATION "Authorization"
    WWW_AUTHENTICATE "WWW-Authenticate"
    COOKIE "Cookie"
    SET_COOKIE "Set-Cookie"
    USER_AGENT "User-Agent"
    REFERER "Referer"
    ORIGIN "Origin"
    VIA "Via"
    FORWARDED "Forwarded"
    X_FORWARDED_FOR "X-Forwarded-For"
    X_FORWARDED_PROTO "X-Forwarded-Proto"
    X_FORWARDED_HOST "X-Forwarded-Host"
    X_REQUEST_ID "X-Request-ID"
    ACCESS_CONTROL_ALLOW_ORIGIN "Access-Control-Allow-Origin"
    ACCESS_CONTROL_ALLOW_METHODS "Access-Control-Allow-Methods"
    ACCESS_CONTROL_ALLOW_HEADERS "Access-Control-Allow-Headers"
    ACCESS_CONTROL_ALLOW_CREDENTIALS "Access-Control-Allow-Credentials"
    ACCESS_CONTROL_EXPOSE_HEADERS "Access-Control-Expose-Headers"
    ACCESS_CONTROL_MAX_AGE "Access-Control-Max-Age"
    ACCESS_CONTROL_REQUEST_METHOD "Access-Control-Request-Method"
    ACCESS_CONTROL_REQUEST_HEADERS "Access-Control-Request-Headers"
    CONTENT_SECURITY_POLICY "Content-Security-Policy"
    X_CONTENT_TYPE_OPTIONS "X-Content-Type-Options"
    STRICT_TRANSPORT_SECURITY "Strict-Transport-Security"
}

/// The longest interned name, plus one.
const LENGTHS: usize = 33;
/// The most interned names that share a length.
const SAME_LENGTH: usize = 10;

/// Indexes of interned names by their length, so that interning compares with few.
static BY_LENGTH: [[u8; SAME_LENGTH]; LENGTHS] = by_length();

const fn by_length() -> [[u8; SAME_LENGTH]; LENGTHS] {
    let mut table = [[u8::MAX; SAME_LENGTH]; LENGTHS];
    let mut index = 0;
    while index < KNOWN.len() {
        let length = KNOWN[index].len();
        let mut place = 0;
        while table[length][place] != u8::MAX {
            place += 1;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are fewer than 255 names"
        )]
        {
            table[length][place] = index as u8;
        }
        index += 1;
    }
    table
}

impl HeaderName {
    /// Reads a name; `None` if it is empty or not a token (RFC 9110 §5.1).
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
            return None;
        }
        let text = std::str::from_utf8(name).ok()?;
        let known = Known::intern(name);
        Some(Self(match known {
            Known::NONE => Repr::Other(text.into()),
            // A spelling of one's own is kept.
            Known(index) if KNOWN[usize::from(index)] != text => Repr::Other(text.into()),
            known => Repr::Known(known),
        }))
    }

    /// The name as it will be sent.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(Known(index)) => KNOWN[usize::from(*index)],
            Repr::Other(text) => text,
        }
    }

    pub(super) fn known(&self) -> Known {
        match &self.0 {
            Repr::Known(known) => *known,
            Repr::Other(text) => Known::intern(text.as_bytes()),
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

impl Eq for HeaderName {}

impl std::hash::Hash for HeaderName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.as_str().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `tchar` of RFC 9110 §5.6.2.
pub const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interned_name_finds_itself_in_any_case() {
        for (index, name) in KNOWN.iter().enumerate() {
            let lower = name.to_ascii_lowercase();
            assert_eq!(
                usize::from(Known::intern(lower.as_bytes()).0),
                index,
                "{name}"
            );
            assert_eq!(
                HeaderName::from_bytes(name.as_bytes()).unwrap().as_str(),
                *name
            );
        }
    }

    #[test]
    fn a_spelling_of_ones_own_is_kept_and_equal() {
        let name = HeaderName::from_bytes(b"x-request-id").unwrap();
        assert_eq!(name.as_str(), "x-request-id");
        assert_eq!(name, X_REQUEST_ID);
        assert_eq!(name.known(), X_REQUEST_ID.known());
    }

    #[test]
    fn what_is_no_token_is_no_name() {
        for bad in [&b""[..], b"a b", b"a:", b"\x7f", "ä".as_bytes()] {
            assert_eq!(HeaderName::from_bytes(bad), None);
        }
    }
}
