//! How the servers of an upstream are spoken to before the first byte of HTTP.

use super::announce::Announce;
use crate::http::proxy_protocol::write_own;

/// What all connections to the servers of an upstream begin with.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// Each connection tells first whom it is for.
    pub(super) announce: Option<Announce>,
}

impl Manner {
    /// What is sent first where the server itself asks; empty if nothing is.
    pub(super) fn own_preface(&self) -> Vec<u8> {
        let mut preface = Vec::new();
        if let Some(announce) = self.announce {
            write_own(&mut preface, announce.version());
        }
        preface
    }
}
