//! How the servers of an upstream are spoken to before the first byte of HTTP.

use std::sync::Arc;

use serde::Deserialize;

use super::announce::Announce;
use super::connect::ConnectError;
use super::tls::Tls;
use crate::exchange::Why;
use crate::handlers::checking::Approach;
use crate::http::proxy_protocol::write_own;
use crate::sys::tls::{Alpn, only_http1};
use crate::sys::transport::Transport;

/// What all connections to the servers of an upstream begin with.
#[derive(Debug, Default)]
pub(super) struct Manner {
    /// Each connection tells first whom it is for.
    pub(super) announce: Option<Announce>,
    /// What is then agreed on, if they are encrypted.
    pub(super) tls: Option<Arc<Tls>>,
    /// What is spoken then.
    pub(super) protocol: Protocol,
}

/// The protocol of exchanges with a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
pub(super) enum Protocol {
    /// One exchange at a time.
    #[default]
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 over TLS.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/2 in the clear, without asking (RFC 9113 §3.3).
    #[serde(rename = "h2c")]
    Http2Clear,
    /// Whichever of both the server prefers, over TLS.
    #[serde(rename = "auto")]
    Auto,
}

impl Manner {
    /// Whether an exchange may share its connection with others.
    pub(super) fn may_share(&self) -> bool {
        self.protocol != Protocol::Http1
    }

    /// Whether the servers speak HTTP/2 alone.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2 | Protocol::Http2Clear)
    }

    /// Whether exchanges share this connection.
    pub(super) fn is_shared(&self, transport: &Transport) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2Clear => true,
            Protocol::Http2 | Protocol::Auto => transport.alpn() == Some(Alpn::Http2),
        }
    }

    /// Whether the server speaks what is wanted.
    pub(super) fn check(&self, transport: &Transport) -> Result<(), ConnectError> {
        if self.protocol == Protocol::Http2 && !self.is_shared(transport) {
            return Err(ConnectError {
                why: Why::TlsHandshake,
                error: Some("the server speaks no HTTP/2; `protocol` may be \"auto\"".to_owned()),
            });
        }
        Ok(())
    }

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
            tls: tls.and_then(|tls| Some((tls.name_of(host)?, only_http1(&tls.config)))),
        }
    }
}
