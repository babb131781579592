//! Who is served which certificate, by the name that a client asks for (SNI, RFC 6066 §3).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::issued::{Issued, wants_proof};

/// The certificates of a listener by name.
pub(super) struct ByName {
    /// All of them, as the file lists them.
    all: Vec<Source>,
    /// Which are for a name; those for a wildcard stand under `*.parent`.
    named: HashMap<Box<str>, Vec<usize>>,
}

/// Where a certificate comes from.
enum Source {
    Fixed(Certificate),
    Issued(Arc<Issued>),
}

/// What a client has asked for, and what it was shown.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    /// The name it asked for, in lower case.
    pub(super) name: Option<Box<str>>,
    pub(super) certificate: Certificate,
}

thread_local! {
    /// What the handshake that this thread goes on with was given last: the state machine asks
    /// for a certificate, but does not tell whoever drives it.
    static LAST: RefCell<Option<Greeting>> = const { RefCell::new(None) };
}

/// What was chosen since this was asked last, on this thread.
pub(super) fn take_last() -> Option<Greeting> {
    LAST.take()
}

impl ByName {
    /// The first of these is for whoever asks for no name, or for one that none of them has.
    /// Those that are issued for some names while they are served come last.
    pub(super) fn new(fixed: Vec<Certificate>, issued: Vec<(Vec<Box<str>>, Arc<Issued>)>) -> Self {
        let mut named = HashMap::<Box<str>, Vec<usize>>::new();
        let mut all = Vec::with_capacity(fixed.len() + issued.len());
        for certificate in fixed {
            for name in certificate.names() {
                named.entry(name.into()).or_default().push(all.len());
            }
            all.push(Source::Fixed(certificate));
        }
        for (names, issued) in issued {
            for name in names {
                named.entry(name).or_default().push(all.len());
            }
            all.push(Source::Issued(issued));
        }
        Self { all, named }
    }

    /// Those for a name: exactly, else by wildcard, else the first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = Certificate> {
        const FIRST: &[usize] = &[0];
        let exact = name.and_then(|name| self.named.get(name));
        let wildcard = || {
            let (_, parent) = name?.split_once('.')?;
            self.named.get(&*format!("*.{parent}"))
        };
        let found = exact.or_else(wildcard).map_or(FIRST, Vec::as_slice);
        let found = found.iter().filter_map(|&at| self.all.get(at));
        found.filter_map(Source::certificate)
    }

    /// What an authority wants to see of a name that it asks for.
    fn proof(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.all.iter().find_map(|source| match source {
            Source::Fixed(_) => None,
            Source::Issued(issued) => issued.proof(name),
        })
    }
}

impl Source {
    /// The certificate; `None` while it is still to be issued.
    fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Fixed(certificate) => Some(certificate.clone()),
            Self::Issued(issued) => issued.certificate(),
        }
    }
}

impl ResolvesServerCert for ByName {
    /// Of several for a name, the first whose key the client can verify: a site may have one of
    /// RSA and one of ECDSA.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if wants_proof(&hello) {
            return self.proof(name.as_deref());
        }
        let schemes = hello.signature_schemes();
        let usable = |one: &Certificate| one.certified.key.choose_scheme(schemes).is_some();
        let name = name.as_deref();
        let chosen = self
            .candidates(name)
            .find(usable)
            .or_else(|| self.candidates(name).next())?;
        let certified = Arc::clone(&chosen.certified);
        LAST.set(Some(Greeting {
            name: name.map(Into::into),
            certificate: chosen,
        }));
        Some(certified)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named.keys()).finish()
    }
}
