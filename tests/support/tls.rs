//! Certificates, made when they are needed, and a client that speaks TLS.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use super::PATIENCE;
use super::address::Address;
use super::wire::Wire;

/// Who issues certificates.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: CertificateDer<'static>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    serial: u64,
}

/// What an authority writes into a certificate.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    pub(crate) names: &'w [&'w str],
    pub(crate) common_name: &'w str,
    pub(crate) key: &'static SignatureAlgorithm,
    pub(crate) serial: u64,
    /// The year in which it ends.
    pub(crate) ends: i32,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            names: &[],
            common_name: "test",
            key: &rcgen::PKCS_ECDSA_P256_SHA256,
            serial: 1,
            ends: 4000,
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { issuer, der }
    }

    /// A certificate for these names, good for servers and clients.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_as(&Wanted {
            names,
            ..Wanted::default()
        })
    }

    pub(crate) fn issue_as(&self, wanted: &Wanted<'_>) -> Issued {
        let names: Vec<String> = wanted.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, wanted.common_name);
        params.not_after = date_time_ymd(wanted.ends, 1, 1);
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate_for(wanted.key).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
            serial: wanted.serial,
        }
    }

    /// A list that says that these are revoked.
    pub(crate) fn revoke(&self, revoked: &[&Issued]) -> String {
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        pem("X509 CRL", list.der())
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }
}

impl Issued {
    pub(crate) fn cert(&self) -> String {
        self.chain
            .iter()
            .map(|one| pem("CERTIFICATE", one))
            .collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    pub(crate) fn key(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// A client: whom it believes, what it offers. Its sessions are remembered.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// One that believes this authority.
    pub(crate) fn of(authority: &Authority) -> Self {
        Self::with(authority, None, rustls::ALL_VERSIONS)
    }

    /// One that shows a certificate, if it has one, and speaks these versions.
    pub(crate) fn with(
        authority: &Authority,
        identity: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::by(aws_lc_rs::default_provider(), authority, identity, versions)
    }

    fn by(
        provider: CryptoProvider,
        authority: &Authority,
        identity: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::Pkcs8(issued.key.clone().into());
                builder
                    .with_client_auth_cert(issued.chain.clone(), key)
                    .unwrap()
            }
        };
        config.resumption = Resumption::in_memory_sessions(32);
        Self {
            config: Arc::new(config),
        }
    }

    /// One that believes anyone.
    pub(crate) fn of_anyone() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let believes = Credulous(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(believes))
            .with_no_client_auth();
        Self {
            config: Arc::new(config),
        }
    }

    /// One that cannot verify what Ed25519 has signed.
    pub(crate) fn without_ed25519(authority: &Authority) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        let known = &mut provider.signature_verification_algorithms;
        let mut schemes = known.mapping.iter();
        let ed25519 = schemes.position(|(scheme, _)| *scheme == SignatureScheme::ED25519);
        known.mapping = &known.mapping[..ed25519.unwrap()];
        Self::by(provider, authority, None, rustls::ALL_VERSIONS)
    }

    /// One that sends early data where it resumes.
    pub(crate) fn early(mut self) -> Self {
        Arc::make_mut(&mut self.config).enable_early_data = true;
        self
    }

    /// Connects and sends a request as early as may be.
    #[track_caller]
    pub(crate) fn connect_early(&self, address: &Address, name: &str, request: &str) -> Wire {
        let mut socket = TcpStream::connect(address.tcp()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let early = match session.early_data() {
            Some(mut early) => early.write(request.as_bytes()).unwrap() == request.len(),
            None => false,
        };
        if early {
            // The answer is on its way before the handshake is over: all that is to be said so
            // far is said, and nothing else until it has come.
            while session.wants_write() {
                session.write_tls(&mut socket).unwrap();
            }
            return Wire::tls(StreamOwned::new(session, socket));
        }
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(request.as_bytes()).unwrap();
        Wire::tls(stream)
    }

    /// Connects and agrees with a server of this name.
    #[track_caller]
    pub(crate) fn connect(&self, address: &Address, name: &str) -> Wire {
        match self.try_connect(address, name) {
            Ok(wire) => wire,
            Err(error) => panic!("cannot agree with {name}: {error}"),
        }
    }

    /// Connects and agrees, or hears why not.
    pub(crate) fn try_connect(&self, address: &Address, name: &str) -> Result<Wire, rustls::Error> {
        self.agree(TcpStream::connect(address.tcp()).unwrap(), name)
    }

    /// Agrees over a connection, or hears why not.
    pub(crate) fn agree(&self, mut socket: TcpStream, name: &str) -> Result<Wire, rustls::Error> {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut socket) {
                return Err(session
                    .process_new_packets()
                    .err()
                    .unwrap_or_else(|| rustls::Error::General(error.to_string())));
            }
        }
        Ok(Wire::tls(StreamOwned::new(session, socket)))
    }
}

/// Believes that a server is whom it says it is.
#[derive(Debug)]
struct Credulous(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
