//! What became known of a session while it was agreed on.

use std::cell::Cell;
use std::rc::Rc;

use rustls::{CommonState, HandshakeKind};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::certificate::{address, parse};
use super::resolver::Greeting;
use super::{Alpn, CertificateDer};

/// What is known of a session; the same for all that is carried in it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `TLSv1.3`
    pub version: &'static str,
    /// As IANA calls it: `TLS_AES_128_GCM_SHA256`.
    pub cipher: Box<str>,
    /// The group of the key exchange, `X25519MLKEM768`; none where a session was resumed without.
    pub group: Option<&'static str>,
    /// The protocol above, if any was agreed on.
    pub alpn: Option<Alpn>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Who the client proved to be, if it was asked and did.
    pub client: Option<Box<Client>>,
    greeting: Option<Greeting>,
    pub(super) replayable: Option<Rc<Cell<bool>>>,
}

/// One thing that is known of a session, as templates name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields of Facts and Client say what each is"
)]
pub enum Fact {
    Alpn,
    Cipher,
    ClientFingerprint,
    ClientIssuer,
    ClientNames,
    ClientSerial,
    ClientSubject,
    Group,
    Resumed,
    Sni,
    Version,
}

/// A client, as its certificate tells.
#[derive(Debug, Clone)]
pub struct Client {
    /// `CN=alice, O=Example`
    pub subject: Box<str>,
    /// Who says so.
    pub issuer: Box<str>,
    /// The number its issuer gave it, in hexadecimal.
    pub serial: Box<str>,
    /// Its other names: `DNS:alice.example, URI:spiffe://example/alice`.
    pub names: Box<str>,
    /// The SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: Box<str>,
}

impl Facts {
    pub(super) fn new(common: &CommonState, greeting: Option<Greeting>) -> Self {
        let version = match common.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = common.negotiated_cipher_suite();
        let group = common.negotiated_key_exchange_group();
        let client = common.peer_certificates().and_then(<[_]>::first);
        Self {
            version,
            cipher: suite.map(super::suite_name).unwrap_or_default().into(),
            group: group.and_then(|group| group.name().as_str()),
            alpn: common.alpn_protocol().and_then(Alpn::named),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            client: client.and_then(Client::new).map(Box::new),
            greeting,
            replayable: None,
        }
    }

    /// Whether what comes now could come from anybody who recorded it: it came before the
    /// handshake was over (RFC 8446 §8).
    pub fn is_replayable(&self) -> bool {
        self.replayable.as_ref().is_some_and(|it| it.get())
    }

    /// One of them, if it is known.
    pub fn get(&self, fact: Fact) -> Option<&str> {
        let client = self.client.as_deref();
        match fact {
            Fact::Alpn => self.alpn.map(Alpn::as_str),
            Fact::Cipher => Some(&self.cipher),
            Fact::ClientFingerprint => client.map(|client| &*client.fingerprint),
            Fact::ClientIssuer => client.map(|client| &*client.issuer),
            Fact::ClientNames => client.map(|client| &*client.names),
            Fact::ClientSerial => client.map(|client| &*client.serial),
            Fact::ClientSubject => client.map(|client| &*client.subject),
            Fact::Group => self.group,
            Fact::Resumed => Some(if self.resumed { "yes" } else { "no" }),
            Fact::Sni => self.sni(),
            Fact::Version => Some(self.version),
        }
    }

    /// The name that the client asked for, in lower case.
    pub fn sni(&self) -> Option<&str> {
        self.greeting.as_ref()?.name.as_deref()
    }

    /// Whether a request for this host belongs to another connection: the client has asked for
    /// another name, and was shown no certificate for this one (RFC 9110 §15.5.20).
    pub fn is_misdirected(&self, host: &str) -> bool {
        let Some(greeting) = &self.greeting else {
            return false;
        };
        let asked = greeting.name.as_deref();
        let host = host.strip_suffix('.').unwrap_or(host);
        asked.is_some_and(|name| {
            !name.eq_ignore_ascii_case(host) && !greeting.certificate.covers(host)
        })
    }
}

impl Client {
    fn new(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = parse(der).ok()?;
        Some(Self {
            subject: certificate.subject().to_string().into(),
            issuer: certificate.issuer().to_string().into(),
            serial: serial(certificate.raw_serial()).into(),
            names: names(&certificate).into(),
            fingerprint: hexadecimal(&Sha256::digest(der)).into(),
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return String::new();
    };
    let names = alternatives.value.general_names.iter();
    let written = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| format!("IP:{ip}")),
        _ => None,
    });
    written.collect::<Vec<_>>().join(", ")
}

/// Without the zeros that DER puts in front of a number to keep it positive.
fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    hexadecimal(bytes.get(zeros..).unwrap_or_default())
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .collect()
}
