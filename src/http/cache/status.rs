//! `Cache-Status`: how a cache came to its answer (RFC 9211).

use super::Refusal;

/// What one cache tells of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStatus {
    /// Answered from what was stored, without asking.
    pub hit: bool,
    /// Why the request was passed on.
    pub forward: Option<Forward>,
    /// The status that came back, where it is not the one that was sent on.
    pub forward_status: Option<u16>,
    /// How long the response is still fresh, in seconds; below 0 if it is stale.
    pub ttl: Option<i64>,
    /// The response is kept now.
    pub stored: bool,
    /// One request was passed on for several.
    pub collapsed: bool,
    /// Why it is not kept.
    pub refusal: Option<Refusal>,
}

/// Why a request was passed on (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache has no part in such requests.
    Bypass,
    /// The method asks for it.
    Method,
    /// Nothing is stored for the URL.
    UriMiss,
    /// What is stored for the URL does not fit the request.
    VaryMiss,
    /// The client asked for it.
    Request,
    /// What is stored is stale.
    Stale,
}

impl Forward {
    /// The word of RFC 9211.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

impl CacheStatus {
    /// A hit on what is fresh for so many seconds more.
    pub const fn hit(ttl: i64) -> Self {
        Self {
            hit: true,
            forward: None,
            forward_status: None,
            ttl: Some(ttl),
            stored: false,
            collapsed: false,
            refusal: None,
        }
    }

    /// Passed on.
    pub fn forwarded(why: Forward) -> Self {
        Self {
            forward: Some(why),
            ..Self::default()
        }
    }

    /// Gives the member of the list, piece by piece: the name of the cache, a token, and the
    /// parameters.
    pub fn write(&self, cache: &str, mut write: impl FnMut(&[u8])) {
        let mut number = itoa::Buffer::new();
        write(cache.as_bytes());
        if self.hit {
            write(b"; hit");
        }
        if let Some(forward) = self.forward {
            write(b"; fwd=");
            write(forward.as_str().as_bytes());
        }
        if let Some(status) = self.forward_status {
            write(b"; fwd-status=");
            write(number.format(status).as_bytes());
        }
        if let Some(ttl) = self.ttl {
            write(b"; ttl=");
            write(number.format(ttl).as_bytes());
        }
        if self.stored {
            write(b"; stored");
        }
        if self.collapsed {
            write(b"; collapsed");
        }
        if let Some(refusal) = self.refusal {
            write(b"; detail=");
            write(refusal.as_str().as_bytes());
        }
    }
}
