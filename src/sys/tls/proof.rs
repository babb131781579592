//! The certificate that proves to an authority that a name is served here (TLS-ALPN-01,
//! RFC 8737).

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::provider;

/// One proof, for one name.
#[derive(Debug, Clone)]
pub struct Proof {
    name: Box<str>,
    pub(super) certified: Arc<CertifiedKey>,
}

impl Proof {
    /// One for this name; `digest` is the SHA-256 of the key authorization.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness.
    pub fn new(name: &str, digest: [u8; 32]) -> Result<Self, String> {
        let make = || {
            let mut params = CertificateParams::new([name.to_owned()])?;
            params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok((certificate, key))
        };
        let (certificate, key) = make().map_err(|error: rcgen::Error| error.to_string())?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|error| error.to_string())?;
        let chain = vec![certificate.der().clone()];
        Ok(Self {
            name: name.into(),
            certified: Arc::new(CertifiedKey::new(chain, signing)),
        })
    }

    /// Whose it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
