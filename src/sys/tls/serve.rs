//! How a listener is encrypted.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS, Ticketer};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::{Error, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::certificate::Certificate;
use super::issued::Issued;
use super::resolver::ByName;
use super::{Alpn, CertificateDer, provider};

/// Sessions that are remembered here rather than in the client's ticket: a few hundred bytes
/// each, for clients of TLS 1.2 that know no tickets, and for early data.
const REMEMBERED: usize = 10_240;

/// How a listener is encrypted.
#[derive(Debug)]
pub struct Serving {
    /// The first is for whoever asks for no name, or for one that no other has.
    pub certificates: Vec<Certificate>,
    /// Those that an authority issues while they are served, each with the names it is for.
    pub issued: Vec<(Vec<Box<str>>, Arc<Issued>)>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The names of the cipher suites, the first the most wanted; none for the defaults.
    pub ciphers: Vec<String>,
    /// The names of the groups for the key exchange; none for the defaults.
    pub groups: Vec<String>,
    /// Who may connect; `None` for anybody.
    pub clients: Option<Clients>,
    /// What is kept of earlier sessions; `None` if none shall be resumed.
    pub resumption: Option<Arc<Resumption>>,
    /// Bytes that may come before the handshake is over; 0 for none.
    pub early_data: u32,
    /// The protocols above, the first the most wanted.
    pub protocols: Vec<Alpn>,
}

/// Which certificates of clients are believed.
#[derive(Debug)]
pub struct Clients {
    /// A client without one is refused.
    pub required: bool,
    /// Who may issue them.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Which are revoked.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// The keys of tickets, which change every six hours, and the sessions without tickets. Kept from
/// one configuration to the next.
pub struct Resumption {
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<ServerSessionMemoryCache>,
}

impl Resumption {
    /// New keys.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            tickets: Ticketer::new()?,
            sessions: ServerSessionMemoryCache::new(REMEMBERED),
        })
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resumption")
    }
}

impl Serving {
    /// Makes it ready.
    ///
    /// # Errors
    /// What is asked for does not go together.
    pub fn build(self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(self.provider());
        let versions: &[_] = if self.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier(provider)?),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(ByName::new(self.certificates, self.issued)));
        let protocols = self.protocols.iter();
        config.alpn_protocols = protocols.map(|alpn| alpn.as_bytes().to_vec()).collect();
        config.max_early_data_size = self.early_data;
        config.send_half_rtt_data = self.early_data > 0;
        match self.resumption {
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            Some(resumption) => {
                config.session_storage = Arc::clone(&resumption.sessions) as Arc<_>;
                // Early data needs sessions that can be used once only (RFC 8446 §8.1): those
                // that are remembered here.
                if self.early_data == 0 {
                    config.ticketer = Arc::clone(&resumption.tickets);
                }
            }
        }
        Ok(Arc::new(config))
    }

    /// The ciphers and groups that are asked for, in that order.
    fn provider(&self) -> CryptoProvider {
        let mut provider = CryptoProvider::clone(provider());
        if !self.ciphers.is_empty() {
            let named = |name: &String| find_cipher(name);
            provider.cipher_suites = self.ciphers.iter().filter_map(named).collect();
        }
        if !self.groups.is_empty() {
            let named = |name: &String| {
                let mut all = ALL_KX_GROUPS.iter().copied();
                all.find(|group| group.name().as_str() == Some(name))
            };
            provider.kx_groups = self.groups.iter().filter_map(named).collect();
        }
        provider
    }
}

impl Clients {
    /// Whether it can be used as it is.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence, and whether that is with what is revoked.
    pub fn check(&self) -> Result<(), (bool, String)> {
        roots(&self.authorities).map_err(|what| (false, what))?;
        match self.verifier(Arc::clone(provider())) {
            Ok(_) => Ok(()),
            Err(what) => Err((!self.revoked.is_empty(), format!("cannot be used: {what}"))),
        }
    }

    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
        let roots = Arc::new(roots(&self.authorities)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        if !self.revoked.is_empty() {
            // The lists of issuers in between are rarely at hand; the one that issued is.
            verifier = verifier
                .with_crls(self.revoked.iter().cloned())
                .only_check_end_entity_revocation();
        }
        if !self.required {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|error| error.to_string())
    }
}

/// Authorities to be believed.
pub(super) fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|error| format!("holds a certificate of no authority: {error}"))?;
    }
    Ok(roots)
}

/// The names of all cipher suites there are.
pub fn cipher_names() -> Vec<String> {
    let all = ALL_CIPHER_SUITES.iter().copied();
    all.map(suite_name).collect()
}

/// The names of all groups for the key exchange there are.
pub fn group_names() -> Vec<&'static str> {
    let all = ALL_KX_GROUPS.iter();
    all.filter_map(|group| group.name().as_str()).collect()
}

/// Whether a cipher suite of this name is one of TLS 1.3.
pub fn is_cipher_of_tls13(name: &str) -> bool {
    find_cipher(name).is_some_and(|suite| suite.tls13().is_some())
}

fn find_cipher(name: &str) -> Option<SupportedCipherSuite> {
    let mut all = ALL_CIPHER_SUITES.iter().copied();
    all.find(|suite| suite_name(*suite) == name)
}

/// A cipher suite as IANA calls it: those of TLS 1.3 have no number in their names there.
pub(super) fn suite_name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite();
    let name = name.as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}
