//! How a server is talked to.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::certificate::Certificate;
use super::serve::roots;
use super::{Alpn, CertificateDer, provider};

/// How a server is talked to. Nobody is believed who is not issued by one of the authorities.
#[derive(Debug, Default)]
pub struct Connecting {
    /// Who may issue the server's certificate.
    pub authorities: Vec<CertificateDer<'static>>,
    /// What the server is shown of us, if it asks.
    pub identity: Option<Certificate>,
    /// The protocols above, the first the most wanted.
    pub protocols: Vec<Alpn>,
}

impl Connecting {
    /// Makes it ready.
    ///
    /// # Errors
    /// An authority is none.
    pub fn build(self) -> Result<Arc<ClientConfig>, String> {
        let roots: RootCertStore = roots(&self.authorities)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let resolver = rustls::sign::SingleCertAndKey::from(identity.certified);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        };
        let protocols = self.protocols.iter();
        config.alpn_protocols = protocols.map(|alpn| alpn.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}
