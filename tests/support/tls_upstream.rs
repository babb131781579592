//! A scripted upstream over TLS.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::tls::{Authority, Issued};
use super::upstream::{Peer, Upstream};
use super::wire::Wire;
use super::{deadline, left};

/// A place that the daemon proxies to.
pub(crate) struct TlsUpstream {
    upstream: Upstream,
    config: Arc<ServerConfig>,
}

/// What the daemon said while both agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) resumed: bool,
    /// The name it asked for.
    pub(crate) sni: Option<String>,
    /// How many certificates of its own it showed.
    pub(crate) shown: usize,
    pub(crate) alpn: Option<String>,
}

impl TlsUpstream {
    /// Shows this certificate.
    pub(crate) fn new(shown: &Issued) -> Self {
        Self::with(shown, None, &["http/1.1"])
    }

    /// Wants a certificate of this authority, if there is one, and speaks these protocols.
    pub(crate) fn with(shown: &Issued, clients: Option<&Authority>, protocols: &[&str]) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder.with_single_cert(shown.chain.clone(), shown.private_key());
        let mut server = Self {
            upstream: Upstream::tcp(),
            config: Arc::new(config.unwrap()),
        };
        server.speak(protocols);
        server
    }

    /// Speaks these protocols from now on.
    pub(crate) fn speak(&mut self, protocols: &[&str]) {
        let names = protocols.iter().map(|name| name.as_bytes().to_vec());
        Arc::make_mut(&mut self.config).alpn_protocols = names.collect();
    }

    /// As `servers` writes it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.upstream.address)
    }

    /// The next connection before a byte was read.
    #[track_caller]
    pub(crate) fn accept_raw(&self) -> TcpStream {
        self.upstream.accept_socket()
    }

    /// The next connection, once both have agreed.
    ///
    /// # Errors
    /// They have not.
    #[track_caller]
    pub(crate) fn try_accept(&self) -> io::Result<(Peer, Agreed)> {
        self.agree(self.accept_raw())
    }

    /// Agrees over a connection.
    pub(crate) fn agree(&self, mut socket: TcpStream) -> io::Result<(Peer, Agreed)> {
        SockRef::from(&socket).set_read_timeout(left(deadline()))?;
        let mut server = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        while server.is_handshaking() {
            server.complete_io(&mut socket)?;
        }
        let agreed = Agreed {
            resumed: server.handshake_kind() == Some(HandshakeKind::Resumed),
            sni: server.server_name().map(str::to_owned),
            shown: server.peer_certificates().map_or(0, <[_]>::len),
            alpn: server
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
        };
        let wire = Wire::tls_server(StreamOwned::new(server, socket));
        Ok((Peer::new(wire), agreed))
    }

    /// The next connection, once both have agreed.
    #[track_caller]
    pub(crate) fn accept(&self) -> (Peer, Agreed) {
        self.try_accept()
            .unwrap_or_else(|error| panic!("they did not agree: {error}"))
    }

    /// Checks that no connection waits to be accepted.
    #[track_caller]
    pub(crate) fn expect_no_connection(&self) {
        self.upstream.expect_no_connection();
    }
}
