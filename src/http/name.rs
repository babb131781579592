//! Field names, the well-known ones interned to a byte.

use std::fmt;

use super::token::is_token;

/// A field name. Comparison ignores case; the spelling given is the spelling sent.
#[derive(Clone)]
pub struct HeaderName(Repr);

#[derive(Clone)]
enum Repr {
    /// An interned name in its canonical spelling.
    Canonical(Known),
    /// Any other name, or an interned one in a spelling of its own.
    Spelt(Known, Box<str>),
}

/// An interned name: an index into [`KNOWN`]. 255 stands for "not interned".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Known(u8);

impl Known {
    pub(super) const NONE: Self = Self(u8::MAX);

    /// The interned name that these bytes, whatever they are, spell in any case, or
    /// [`Known::NONE`].
    #[inline]
    pub(super) fn intern(name: &[u8]) -> Self {
        let mut slot = hash(name);
        loop {
            let index = SLOTS[slot];
            match KNOWN.get(usize::from(index)) {
                None => return Self::NONE,
                Some(known) if is_spelling_of(name, known.as_bytes()) => return Self(index),
                Some(_) => slot = (slot + 1) % SLOTS.len(),
            }
        }
    }

    /// A bit of its own for each interned name; none for [`Known::NONE`].
    #[inline]
    pub(super) const fn bit(self) -> u128 {
        if self.0 == u8::MAX { 0 } else { 1 << self.0 }
    }
}

/// Some of the interned names.
#[derive(Debug, Clone, Copy)]
pub struct NameSet(u128);

impl NameSet {
    /// These constants of names; names of one's own are none of them.
    pub const fn of(names: &[&HeaderName]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < names.len() {
            bits |= names[index].known().bit();
            index += 1;
        }
        Self(bits)
    }

    /// Whether one of these bits of names is one of its own.
    pub(super) const fn may_meet(self, known: u128) -> bool {
        self.0 & known != 0
    }

    /// Whether this name is one of them.
    pub(super) const fn has(self, known: Known) -> bool {
        self.may_meet(known.bit())
    }
}

/// Whether `name`, which may hold any bytes, differs in case at most from `known`, which holds
/// letters, digits and `-` only.
fn is_spelling_of(name: &[u8], known: &[u8]) -> bool {
    // The bit of the case, where `known` has a letter: there the bit above it is set.
    let case = |known: u64| (known >> 1) & 0x2020_2020_2020_2020;
    let differ = |one: u64, known: u64| (one ^ known) & !case(known) != 0;
    let differ8 = |one: &[u8; 8], known: &[u8; 8]| {
        differ(u64::from_le_bytes(*one), u64::from_le_bytes(*known))
    };
    let differ4 = |one: &[u8; 4], known: &[u8; 4]| {
        let [one, known] = [one, known].map(|half| u64::from(u32::from_le_bytes(*half)));
        differ(one, known)
    };
    if name.len() != known.len() {
        return false;
    }
    let mut words = name.as_chunks::<8>().0.iter().zip(known.as_chunks::<8>().0);
    if words.any(|(one, known)| differ8(one, known)) {
        return false;
    }
    // The end, once more over bytes already compared rather than one by one.
    if let (Some(one), Some(known)) = (name.last_chunk(), known.last_chunk()) {
        return !differ8(one, known);
    }
    let (starts, ends) = (
        (name.first_chunk(), known.first_chunk()),
        (name.last_chunk(), known.last_chunk()),
    );
    if let ((Some(one), Some(known)), (Some(end), Some(known_end))) = (starts, ends) {
        return !differ4(one, known) && !differ4(end, known_end);
    }
    name.eq_ignore_ascii_case(known)
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
                HeaderName(Repr::Canonical(Known(Index::$constant as u8)));
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
    CACHE_STATUS "Cache-Status"
    CACHE_TAG "Cache-Tag"
    SURROGATE_KEY "Surrogate-Key"
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
    X_FORWARDED_METHOD "X-Forwarded-Method"
    X_FORWARDED_URI "X-Forwarded-Uri"
    X_REQUEST_ID "X-Request-ID"
    TRACEPARENT "traceparent"
    TRACESTATE "tracestate"
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
    CONTENT_SECURITY_POLICY_REPORT_ONLY "Content-Security-Policy-Report-Only"
    X_FRAME_OPTIONS "X-Frame-Options"
    REFERRER_POLICY "Referrer-Policy"
    PERMISSIONS_POLICY "Permissions-Policy"
    CROSS_ORIGIN_OPENER_POLICY "Cross-Origin-Opener-Policy"
    CROSS_ORIGIN_RESOURCE_POLICY "Cross-Origin-Resource-Policy"
    X_POWERED_BY "X-Powered-By"
    RATELIMIT "RateLimit"
    RATELIMIT_POLICY "RateLimit-Policy"
    X_RATELIMIT_LIMIT "X-RateLimit-Limit"
    X_RATELIMIT_REMAINING "X-RateLimit-Remaining"
    X_RATELIMIT_RESET "X-RateLimit-Reset"
    // What browsers send with every request: read faster than a name that has to be checked.
    DNT "DNT"
    PRIORITY "Priority"
    SEC_WEBSOCKET_KEY "Sec-WebSocket-Key"
    SEC_WEBSOCKET_ACCEPT "Sec-WebSocket-Accept"
    SEC_CH_UA "Sec-CH-UA"
    SEC_CH_UA_MOBILE "Sec-CH-UA-Mobile"
    SEC_CH_UA_PLATFORM "Sec-CH-UA-Platform"
    SEC_FETCH_DEST "Sec-Fetch-Dest"
    SEC_FETCH_MODE "Sec-Fetch-Mode"
    SEC_FETCH_SITE "Sec-Fetch-Site"
    SEC_FETCH_USER "Sec-Fetch-User"
    SEC_GPC "Sec-GPC"
    UPGRADE_INSECURE_REQUESTS "Upgrade-Insecure-Requests"
}

/// Room for the interned names, eight times over, so that hardly a look-up meets another name.
const SLOT_COUNT: usize = 512;

/// Indexes of interned names at, or right behind, the hash of the name; 255 is an empty slot.
static SLOTS: [u8; SLOT_COUNT] = {
    assert!(KNOWN.len() < 128, "Known::bit has 127 bits");
    let mut slots = [u8::MAX; SLOT_COUNT];
    let mut index = 0;
    while index < KNOWN.len() {
        let mut slot = hash(KNOWN[index].as_bytes());
        while slots[slot] != u8::MAX {
            slot = (slot + 1) % SLOT_COUNT;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 128 names"
        )]
        {
            slots[slot] = index as u8;
        }
        index += 1;
    }
    slots
};

/// A slot from the length, the first, the middle and the last byte, whatever their case. The
/// names are ours, so nobody can make more of them meet.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a long name is none of ours wherever it falls"
)]
const fn hash(name: &[u8]) -> usize {
    let [first, .., last] = name else {
        return 0;
    };
    let middle = name[name.len() / 2] | 0x20;
    let key = u32::from_le_bytes([*first | 0x20, *last | 0x20, middle, 0]);
    let mixed = (key ^ ((name.len() as u32) << 24)).wrapping_mul(0x9e37_79b1);
    (mixed >> 23) as usize
}

impl HeaderName {
    /// Reads a name; `None` if it is empty or not a token (RFC 9110 §5.1).
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        if !is_token(name) {
            return None;
        }
        let text = std::str::from_utf8(name).ok()?;
        let known = Known::intern(name);
        Some(Self(match KNOWN.get(usize::from(known.0)) {
            Some(canonical) if *canonical == text => Repr::Canonical(known),
            // A spelling of one's own is kept.
            _ => Repr::Spelt(known, text.into()),
        }))
    }

    /// The name as it will be sent.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Canonical(Known(index)) => KNOWN[usize::from(*index)],
            Repr::Spelt(_, text) => text,
        }
    }

    #[inline]
    pub(super) const fn known(&self) -> Known {
        match &self.0 {
            Repr::Canonical(known) | Repr::Spelt(known, _) => *known,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interned_name_finds_itself_in_any_case() {
        for (index, name) in KNOWN.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!(name.bytes().all(plain), "{name}");
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
    fn whatever_differs_in_more_than_case_is_another_name() {
        for name in KNOWN {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                for byte in 0..=u8::MAX {
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name.as_bytes());
                    assert_eq!(is_spelling_of(&other, name.as_bytes()), same, "{name}");
                }
            }
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
