//! Certificates with their keys, as files hold them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::provider;

/// A chain of certificates with the key of its first one.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) names: Arc<[Box<str>]>,
    addresses: Arc<[IpAddr]>,
    subject: Arc<str>,
    not_before: i64,
    not_after: i64,
}

/// Which file a mistake is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chain of certificates.
    Chain,
    /// The key.
    Key,
}

/// Why a certificate cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub part: Part,
    /// What is wrong, as the end of a sentence that begins with the name of the file.
    pub what: String,
    /// What to do.
    pub hint: &'static str,
}

impl Mistake {
    fn chain(what: impl Into<String>, hint: &'static str) -> Self {
        let (part, what) = (Part::Chain, what.into());
        Self { part, what, hint }
    }

    fn key(what: impl Into<String>, hint: &'static str) -> Self {
        let (part, what) = (Part::Key, what.into());
        Self { part, what, hint }
    }
}

const CHAIN_HINT: &str = "it is PEM text: the certificate of the server first, then those that \
                          lead to its authority (`fullchain.pem` with many tools)";
const KEY_HINT: &str = "it is PEM text with one private key: PKCS#8, PKCS#1 (RSA) or SEC1 (EC)";

impl Certificate {
    /// Reads the texts of two files. The key may stand behind the certificates in one file.
    ///
    /// # Errors
    /// One of them is not what it should be, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Mistake> {
        let chain = certificates(chain).map_err(|what| Mistake::chain(what, CHAIN_HINT))?;
        let key = private_key(key)?;
        Self::new(chain, key)
    }

    /// A chain and a key that are in memory.
    ///
    /// # Errors
    /// They do not belong together, or are of a kind that cannot be served.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Mistake> {
        let first = chain
            .first()
            .ok_or_else(|| Mistake::chain("holds no certificate", CHAIN_HINT))?;
        let parsed = parse(first).map_err(|what| Mistake::chain(what, CHAIN_HINT))?;
        let (names, addresses) = names(&parsed);
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        let (not_before, not_after) = (not_before.timestamp(), not_after.timestamp());
        let subject: Arc<str> = parsed.subject().to_string().into();
        let signing = provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|_| {
            let hint = "keys are RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or \
                        Ed25519";
            Mistake::key("holds a key of a kind that cannot be used", hint)
        })?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(mismatch(&certified, &subject)),
            Err(error) => {
                return Err(Mistake::chain(
                    format!("cannot be used: {error}"),
                    CHAIN_HINT,
                ));
            }
        }
        Ok(Self {
            certified: Arc::new(certified),
            names: names.into(),
            addresses: addresses.into(),
            subject,
            not_before,
            not_after,
        })
    }

    /// With an answer of its authority that it is not revoked, stapled to it (RFC 6066 §8).
    #[must_use]
    pub fn with_ocsp(self, response: Vec<u8>) -> Self {
        let mut certified = CertifiedKey::clone(&self.certified);
        certified.ocsp = Some(response);
        Self {
            certified: Arc::new(certified),
            ..self
        }
    }

    /// The names it is for, in lower case; a wildcard begins with `*.`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether it is for this host.
    pub fn covers(&self, host: &str) -> bool {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.names().any(|name| matches(name, host)),
        }
    }

    /// Whom it was given to.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// From when on it holds, in seconds since 1970.
    pub const fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Until when it holds, in seconds since 1970.
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// Whether a name of a certificate stands for a host: a wildcard for one label (RFC 6125 §6.4.3).
pub(super) fn matches(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    }
}

/// The certificates in a PEM text.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        found.push(certificate.map_err(|error| broken(&error))?);
    }
    if found.is_empty() {
        return Err(match first_section(text) {
            Some(kind) => format!("holds no certificate but {kind}"),
            None => String::from("holds no certificate"),
        });
    }
    Ok(found)
}

/// The lists of revoked certificates in a PEM text.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn revocation_lists(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let mut found = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(text) {
        found.push(list.map_err(|error| broken(&error))?);
    }
    if found.is_empty() {
        return Err(String::from("holds no list of revoked certificates"));
    }
    Ok(found)
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Mistake> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => {
            let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
            let encrypted = text
                .windows(encrypted.len())
                .any(|window| window == encrypted.as_bytes());
            Err(if encrypted {
                let hint = "decrypt it: openssl pkey -in it -out key.pem; nobody could type the \
                            password when the daemon starts";
                Mistake::key("holds a key that is encrypted with a password", hint)
            } else {
                let what = match first_section(text) {
                    Some(kind) => format!("holds no private key but {kind}"),
                    None => String::from("holds no private key"),
                };
                Mistake::key(what, KEY_HINT)
            })
        }
        Err(error) => Err(Mistake::key(broken(&error), KEY_HINT)),
    }
}

/// What stands in a text where something else should.
fn first_section(text: &[u8]) -> Option<&'static str> {
    let mut sections = text.split(|&byte| byte == b'\n');
    let line = sections.find_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN "))?;
    let name = line.strip_suffix(b"-----").unwrap_or(line);
    Some(match SectionKind::try_from(name) {
        Ok(SectionKind::Certificate) => "a certificate",
        Ok(SectionKind::Crl) => "a list of revoked certificates",
        Ok(SectionKind::Csr) => "a request for a certificate",
        Ok(SectionKind::PublicKey) => "a public key",
        Ok(SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) => {
            "a private key"
        }
        _ => "something else",
    })
}

fn broken(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => String::from("ends in the middle of a section"),
        pem::Error::Base64Decode(_) => String::from("holds broken base64"),
        _ => String::from("is not PEM text"),
    }
}

/// The key belongs to none of the certificates, or to one that is not the first.
fn mismatch(certified: &CertifiedKey, subject: &str) -> Mistake {
    let others = certified.cert.iter().skip(1);
    let owner = others.filter_map(|other| parse(other).ok()).find(|other| {
        let key = certified.key.public_key();
        key.is_some_and(|key| key.as_ref() == other.public_key().raw)
    });
    match owner {
        Some(owner) => Mistake::chain(
            format!(
                "begins with {subject}, but the key is that of {}",
                owner.subject()
            ),
            "put the certificate of the server first, its issuers behind it",
        ),
        None => Mistake::key(
            format!("is not the key of the certificate of {subject}"),
            "compare `openssl x509 -pubkey -noout -in cert` and `openssl pkey -pubout -in key`",
        ),
    }
}

/// Takes a certificate apart.
pub(super) fn parse<'d>(der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(String::from("holds a certificate that is broken")),
    }
}

/// The names and addresses that a certificate is for; its common name only where it has no other
/// (RFC 6125 §6.4.4).
fn names(certificate: &X509Certificate<'_>) -> (Vec<Box<str>>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase().into()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        return (names, addresses);
    }
    let common = certificate.subject().iter_common_name();
    let texts = common.filter_map(|name| name.as_str().ok());
    names.extend(texts.map(|text| text.to_ascii_lowercase().into()));
    (names, addresses)
}

pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "cert",
            Self::Key => "key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (name, host, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "A.Example.", true),
            ("a.example", "b.example", false),
            ("*.example", "a.example", true),
            ("*.example", "A.EXAMPLE", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "a.b.example", false),
            ("*.b.example", "a.b.example", true),
        ] {
            assert_eq!(matches(name, host), expected, "{name} {host}");
        }
    }

    #[test]
    fn a_certificate_covers_its_names_and_addresses() {
        let names = ["a.example", "*.b.example", "192.0.2.7", "2001:db8::7"];
        let names = names.map(String::from);
        let now = std::time::Duration::from_hours(500_000);
        let certificate = Certificate::self_signed(&names, now).unwrap();
        for host in ["a.example", "x.b.example", "192.0.2.7", "[2001:db8::7]"] {
            assert!(certificate.covers(host), "{host}");
        }
        for host in ["b.example", "192.0.2.8", "[2001:db8::8]", ""] {
            assert!(!certificate.covers(host), "{host}");
        }
        assert_eq!(certificate.not_before(), 1_800_000_000);
        assert_eq!(certificate.not_after(), 1_800_000_000 + 825 * 86_400);
    }
}
