//! How a server is talked to.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::UnixTime;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};

use super::certificate::{Certificate, parse};
use super::serve::roots;
use super::{Alpn, CertificateDer, ServerName, provider};

/// How a server is talked to.
#[derive(Debug)]
pub struct Connecting {
    /// Which servers are believed to be who they say.
    pub trust: Trust,
    /// What the server is shown of us, if it asks.
    pub identity: Option<Certificate>,
    /// The protocols above, the first the most wanted.
    pub protocols: Vec<Alpn>,
}

/// Which servers are believed to be who they say.
#[derive(Debug)]
pub enum Trust {
    /// Those with a certificate for their name that leads to one of these authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// Whoever answers.
    Anybody,
}

/// The authorities that this system trusts.
///
/// # Errors
/// There are none.
pub fn authorities_of_the_system() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = found.certs;
    // One that is broken, as some old ones are, does not take the others along.
    authorities.retain(|authority| parse(authority).is_ok());
    authorities.retain(|authority| RootCertStore::empty().add(authority.clone()).is_ok());
    if !authorities.is_empty() {
        return Ok(authorities);
    }
    Err(match found.errors.first() {
        Some(error) => format!("the system's authorities cannot be read: {error}"),
        None => String::from("this system trusts no authorities"),
    })
}

/// The same, for HTTP/1.1 alone.
pub fn only_http1(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let wanted = Alpn::Http1.as_bytes();
    if config.alpn_protocols == [wanted] {
        return Arc::clone(config);
    }
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![wanted.to_vec()];
    Arc::new(config)
}

impl Connecting {
    /// Makes it ready.
    ///
    /// # Errors
    /// An authority is none.
    pub fn build(self) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match self.trust {
            Trust::Authorities(authorities) => builder.with_root_certificates(roots(&authorities)?),
            Trust::Anybody => {
                let verifier = Believing(Arc::clone(provider()));
                let builder = builder.dangerous();
                builder.with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
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

    /// A text that two have in common only if they say the same.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        match &self.trust {
            Trust::Anybody => digest.update(b"anybody"),
            Trust::Authorities(authorities) => add(&mut digest, authorities),
        }
        let identity = self.identity.as_ref();
        add(&mut digest, identity.map_or(&[], |own| &own.certified.cert));
        for protocol in &self.protocols {
            digest.update(protocol.as_bytes());
            digest.update(b",");
        }
        let mut text = String::with_capacity(64);
        for byte in digest.finalize() {
            // Writing to memory cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        text
    }
}

fn add(digest: &mut Sha256, certificates: &[CertificateDer<'static>]) {
    digest.update((certificates.len() as u64).to_be_bytes());
    for certificate in certificates {
        digest.update((certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
}

/// Believes every certificate, but holds the server to the key in it.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
