//! What a listener is encrypted with, as it is meant.

use std::path::PathBuf;
use std::time::Duration;

use super::Place;
use crate::generation::acme::{Challenge, ExternalAccount};

/// What a listener is encrypted with.
#[derive(Debug, Clone, PartialEq)]
pub enum Tls {
    /// A certificate that nobody vouches for, made in memory.
    SelfSigned,
    /// Certificates of files.
    Files(Box<TlsFiles>),
}

/// `tls` of a `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsFiles {
    /// The first is for whoever asks for no name that another one has. None only if one is
    /// ordered.
    pub certificates: Vec<CertificateFiles>,
    /// One that an authority issues by itself.
    pub acme: Option<Acme>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Cipher suites, the first the most wanted; none for the defaults.
    pub ciphers: Vec<String>,
    /// Groups for the key exchange, the first the most wanted; none for the defaults.
    pub groups: Vec<String>,
    /// Who may connect; `None` for anybody.
    pub client_auth: Option<ClientAuth>,
    /// Whether earlier sessions are resumed.
    pub session_tickets: bool,
    /// Whether safe requests may come before a client has agreed.
    pub early_data: bool,
    /// How long a client may take to agree.
    pub handshake_timeout: Duration,
    /// What was written, to print.
    pub written: toml::Table,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateFiles {
    /// The certificate, with those that lead to its authority behind it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// What its authority says of its being revoked, to be stapled.
    pub ocsp: Option<PathBuf>,
    /// Where `cert` stands.
    pub cert_place: Place,
    /// Where `key` stands.
    pub key_place: Place,
    /// Where `ocsp` stands.
    pub ocsp_place: Place,
}

/// `acme` of a `tls`.
#[derive(Debug, Clone, PartialEq)]
pub struct Acme {
    /// For which names, in lower case; at least one.
    pub domains: Vec<String>,
    /// Whom the authority may write to, as URLs.
    pub contact: Vec<String>,
    /// Where it tells what it can do: a URL.
    pub directory: String,
    /// How it is proved whose the names are.
    pub challenge: Challenge,
    /// Which of the authority's kinds of certificates; `None` for its usual one.
    pub profile: Option<String>,
    /// The folder that accounts and certificates are kept in.
    pub store: PathBuf,
    /// Who vouches for the authority; `None` for whom the system believes.
    pub ca: Option<PathBuf>,
    /// The account there that was opened by another way.
    pub account: Option<ExternalAccount>,
    /// Where `ca` stands.
    pub ca_place: Place,
    /// Where all of it stands.
    pub place: Place,
}

/// `client_auth` of a `tls`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientAuth {
    /// A client without a certificate is refused.
    pub required: bool,
    /// Who may issue it.
    pub ca: PathBuf,
    /// Which are revoked.
    pub crl: Option<PathBuf>,
    /// Where `ca` stands.
    pub ca_place: Place,
    /// Where `crl` stands.
    pub crl_place: Place,
}
