//! TLS, the only place that knows rustls: sessions of either side, certificates and keys, who is
//! served which.

mod blocking;
mod certificate;
mod connect;
mod engine;
mod explain;
mod facts;
mod issued;
mod proof;
mod resolver;
mod scratch;
mod self_signed;
mod serve;
mod session;

use std::sync::{Arc, LazyLock};

pub use blocking::Blocking;
pub use certificate::{Certificate, Mistake, Part, certificates, revocation_lists};
pub use connect::{Connecting, Trust, authorities_of_the_system, only_http1};
pub use explain::{explained, explained_io};
pub use facts::{Client, Fact, Facts};
pub use issued::Issued;
pub use proof::Proof;
pub use rustls::pki_types::{CertificateDer, ServerName};
pub use rustls::{ClientConfig, Error, ServerConfig};
pub use serve::{Clients, Resumption, Serving, cipher_names, group_names, is_cipher_of_tls13};
pub use session::{HandshakeError, Session};

use engine::Engine;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::UnbufferedServerConnection;
use serve::suite_name;

use super::transport::Transport;

/// The ciphers there are; X25519MLKEM768 is the first of the groups.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    &PROVIDER
}

/// A protocol above TLS, as both sides have agreed on it (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
    /// `acme-tls/1`: a certificate authority looks whether a name is served here (RFC 8737).
    Acme,
}

impl Alpn {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::Acme => "acme-tls/1",
        }
    }

    const fn as_bytes(self) -> &'static [u8] {
        self.as_str().as_bytes()
    }

    fn named(name: &[u8]) -> Option<Self> {
        let known = [Self::Http1, Self::Http2, Self::Acme];
        known.into_iter().find(|known| known.as_bytes() == name)
    }
}

/// The server's side over this socket; the handshake is still to be done.
///
/// # Errors
/// The configuration cannot be used.
pub fn server(socket: Transport, config: &Arc<ServerConfig>) -> Result<Transport, Error> {
    let server = UnbufferedServerConnection::new(Arc::clone(config))?;
    let session = Session::new(socket, Engine::Server(server));
    Ok(Transport::Tls(Box::new(session)))
}

/// The client's side over this socket, towards a server of this name; the handshake is still to
/// be done.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(
    socket: Transport,
    name: ServerName<'static>,
    config: &Arc<ClientConfig>,
) -> Result<Transport, Error> {
    let client = UnbufferedClientConnection::new(Arc::clone(config), name)?;
    let session = Session::new(socket, Engine::Client(client));
    Ok(Transport::Tls(Box::new(session)))
}
