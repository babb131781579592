//! What a PROXY header told of a connection, beside its two ends.

use std::net::SocketAddr;

use super::variable;
use crate::http::proxy_protocol::{Extensions, Tls};

/// What is known of a connection by a header that was believed.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Who sent it: the load balancer; unspecified for a unix socket.
    pub sender: SocketAddr,
    /// What it said beside the addresses.
    pub extensions: Extensions,
}

/// One thing of it, as templates name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "variable::KNOWN says what each is")]
pub enum Announcement {
    Alpn,
    Authority,
    Sender,
    TlsCipher,
    TlsCommonName,
    TlsVerified,
    TlsVersion,
    UniqueId,
}

impl Announced {
    /// Gives the value to `write`; not at all if there is none.
    pub fn value(&self, what: Announcement, write: impl FnOnce(&[u8])) {
        let told = &self.extensions;
        let tls = told.tls.as_ref();
        let of_tls = |part: fn(&Tls) -> Option<&str>| tls.and_then(part).map(str::as_bytes);
        let value = match what {
            Announcement::Sender => return variable::ip(self.sender.ip(), write),
            Announcement::Alpn => told.alpn.as_deref(),
            Announcement::Authority => told.authority.as_deref().map(str::as_bytes),
            Announcement::UniqueId => told.unique_id.as_deref(),
            Announcement::TlsCipher => of_tls(|tls| tls.cipher.as_deref()),
            Announcement::TlsCommonName => of_tls(|tls| tls.common_name.as_deref()),
            Announcement::TlsVersion => of_tls(|tls| tls.version.as_deref()),
            Announcement::TlsVerified => {
                of_tls(|tls| Some(if tls.verified { "true" } else { "false" }))
            }
        };
        if let Some(value) = value {
            write(value);
        }
    }
}
