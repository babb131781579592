//! A certificate that an authority issues while its listener serves: it may come late, and is
//! replaced by the next. Beside it, what proves to the authority whose names they are.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use super::Alpn;
use super::certificate::Certificate;
use super::proof::Proof;

/// Where the certificate is put, and from where handshakes take it.
///
/// Handshakes lock it for as long as a pointer takes to copy; what else they do takes a thousand
/// times as long.
#[derive(Default)]
pub struct Issued {
    certificate: Mutex<Option<Certificate>>,
    proofs: Mutex<Vec<Proof>>,
    /// Whether there is any proof, so that nobody else has to look.
    asked: AtomicBool,
}

impl Issued {
    /// Serves this from the next handshake on.
    pub fn put(&self, certificate: Certificate) {
        *lock(&self.certificate) = Some(certificate);
    }

    /// What is served, if it has come.
    pub fn certificate(&self) -> Option<Certificate> {
        lock(&self.certificate).clone()
    }

    /// Shows these to the authority from now on, and none but these.
    pub fn prove(&self, proofs: Vec<Proof>) {
        self.asked.store(!proofs.is_empty(), Ordering::Release);
        *lock(&self.proofs) = proofs;
    }

    /// The proof for a handshake that asks for one, if there is one.
    pub(super) fn proof(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        if !self.asked.load(Ordering::Acquire) {
            return None;
        }
        let name = name?;
        let proofs = lock(&self.proofs);
        let proof = proofs
            .iter()
            .find(|proof| proof.name().eq_ignore_ascii_case(name))?;
        Some(Arc::clone(&proof.certified))
    }
}

/// Whether a client is an authority that wants to see a proof: it speaks nothing else
/// (RFC 8737 §3).
pub(super) fn wants_proof(hello: &ClientHello<'_>) -> bool {
    let Some(mut protocols) = hello.alpn() else {
        return false;
    };
    protocols.next() == Some(Alpn::Acme.as_bytes()) && protocols.next().is_none()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{
        ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig,
        ServerConnection, SignatureScheme,
    };
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;
    use crate::sys::tls::{Connecting, Serving, Trust, provider};

    fn certificate() -> Certificate {
        let now = Duration::from_secs(UnixTime::now().as_secs());
        Certificate::self_signed(&[String::from("a.example")], now).unwrap()
    }

    fn serving(issued: &Arc<Issued>) -> Arc<ServerConfig> {
        let serving = Serving {
            certificates: Vec::new(),
            issued: vec![(vec!["a.example".into()], Arc::clone(issued))],
            only_tls13: false,
            ciphers: Vec::new(),
            groups: Vec::new(),
            clients: None,
            resumption: None,
            early_data: 0,
            protocols: vec![Alpn::Http1, Alpn::Acme],
        };
        serving.build().unwrap()
    }

    /// Believes whatever it is shown, also with extensions that only authorities know.
    #[derive(Debug)]
    struct Credulous;

    impl ServerCertVerifier for Credulous {
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
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let known = provider().signature_verification_algorithms;
            known.supported_schemes()
        }
    }

    /// What a client that asks for `a.example` is shown and in which protocol, or what went wrong.
    fn shown(
        server: &Arc<ServerConfig>,
        protocols: Vec<Alpn>,
    ) -> Result<(CertificateDer<'static>, Option<Vec<u8>>), Error> {
        let connecting = Connecting {
            trust: Trust::Anybody,
            identity: None,
            protocols,
        };
        let mut config = ClientConfig::clone(&connecting.build().unwrap());
        let mut dangerous = config.dangerous();
        dangerous.set_certificate_verifier(Arc::new(Credulous));
        let config = Arc::new(config);
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = ClientConnection::new(config, name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        let shown = client.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((shown, client.alpn_protocol().map(<[u8]>::to_vec)))
    }

    #[test]
    fn a_certificate_is_served_from_the_moment_it_comes_and_until_the_next() {
        let issued = Arc::<Issued>::default();
        let server = serving(&issued);
        let [first, second] = [certificate(), certificate()];
        let der = |one: &Certificate| one.certified.cert[0].clone();
        assert!(shown(&server, vec![Alpn::Http1]).is_err());
        for one in [first, second] {
            issued.put(one.clone());
            let (found, protocol) = shown(&server, vec![Alpn::Http1]).unwrap();
            assert_eq!(found, der(&one));
            assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
        }
    }

    #[test]
    fn proofs_are_for_authorities_alone_and_only_while_they_are_open() {
        let issued = Arc::<Issued>::default();
        let server = serving(&issued);
        let real = certificate();
        issued.put(real.clone());
        let real = real.certified.cert[0].clone();
        let proof = Proof::new("A.example", [7; 32]).unwrap();
        let asked = vec![Alpn::Acme];

        assert!(shown(&server, asked.clone()).is_err());
        issued.prove(vec![proof]);
        let (found, protocol) = shown(&server, asked.clone()).unwrap();
        assert_eq!(protocol.as_deref(), Some(&b"acme-tls/1"[..]));
        // RFC 8737 §3: one name, and the digest in a critical extension.
        let (_, parsed) = X509Certificate::from_der(&found).unwrap();
        let id = "1.3.6.1.5.5.7.1.31";
        let mut extensions = parsed.extensions().iter();
        let found = extensions.find(|one| one.oid.to_id_string() == id).unwrap();
        assert!(found.critical);
        assert_eq!(found.value, [&[4, 32][..], &[7; 32]].concat());

        // Who speaks anything else is a client like any other.
        let both = vec![Alpn::Acme, Alpn::Http1];
        let (found, protocol) = shown(&server, both).unwrap();
        assert_eq!((found, protocol.as_deref()), (real, Some(&b"http/1.1"[..])));

        issued.prove(Vec::new());
        assert!(shown(&server, asked).is_err());
    }
}
