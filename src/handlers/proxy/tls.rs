//! TLS towards the servers of an upstream: with whom, and what went wrong.

use std::future::poll_fn;
use std::sync::Arc;

use super::connect::ConnectError;
use crate::exchange::Why;
use crate::sys::tls::{self, ClientConfig, ServerName};
use crate::sys::transport::Transport;

/// How the servers of an upstream are encrypted to. Keeps what earlier sessions left to begin
/// later ones with, so that it outlives a configuration.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// Whose certificate all of them show; `None` for each its own.
    pub(super) server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// The name that a server of this host must have a certificate for.
    pub(super) fn name_of(&self, host: &str) -> Option<ServerName<'static>> {
        let pinned = self.server_name.clone();
        pinned.or_else(|| ServerName::try_from(host.to_owned()).ok())
    }

    /// Agrees with the server at the other end of this socket.
    pub(super) async fn agree(
        &self,
        socket: Transport,
        host: &str,
    ) -> Result<Transport, ConnectError> {
        let name = self.name_of(host).ok_or_else(|| ConnectError {
            why: Why::TlsHandshake,
            error: Some(format!(
                "`{host}` is no name that a certificate could be for"
            )),
        })?;
        let transport = tls::client(socket, name, &self.config).map_err(|error| ConnectError {
            why: Why::TlsHandshake,
            error: Some(error.to_string()),
        })?;
        let agreed = poll_fn(|cx| transport.poll_handshake(cx)).await;
        match agreed {
            Ok(()) => Ok(transport),
            Err(error) => Err(ConnectError {
                why: if error.is_of_certificate() {
                    Why::BadCertificate
                } else {
                    Why::TlsHandshake
                },
                error: Some(error.to_string()),
            }),
        }
    }
}
