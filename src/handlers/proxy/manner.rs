//! How the servers of an upstream are spoken to before the first byte of HTTP.

use std::sync::Arc;

use super::announce::Announce;
use super::tls::Tls;
use crate::handlers::checking::Approach;
use crate::http::proxy_protocol::write_own;

/// What all connections to the servers of an upstream begin with.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// Each connection tells first whom it is for.
    pub(super) announce: Option<Announce>,
    /// What is then agreed on, if they are encrypted.
    pub(super) tls: Option<Arc<Tls>>,
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

    /// How a server of this host is asked whether it is well.
    pub(super) fn approach(&self, host: &str) -> Approach {
        let tls = self.tls.as_ref();
        Approach {
            preface: self.own_preface(),
            tls: tls.and_then(|tls| Some((tls.name_of(host)?, Arc::clone(&tls.config)))),
        }
    }
}
