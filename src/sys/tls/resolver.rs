//! Who is served which certificate, by the name that a client asks for (SNI, RFC 6066 §3).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The certificates of a listener by name.
pub(super) struct ByName {
    /// All of them, as the file lists them.
    all: Vec<Certificate>,
    /// Which are for a name; those for a wildcard stand under `*.parent`.
    named: HashMap<Box<str>, Vec<usize>>,
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
    pub(super) fn new(all: Vec<Certificate>) -> Self {
        let mut named = HashMap::<Box<str>, Vec<usize>>::new();
        for (at, certificate) in all.iter().enumerate() {
            for name in certificate.names() {
                named.entry(name.into()).or_default().push(at);
            }
        }
        Self { all, named }
    }

    /// Those for a name: exactly, else by wildcard, else the first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Certificate> {
        const FIRST: &[usize] = &[0];
        let exact = name.and_then(|name| self.named.get(name));
        let wildcard = || {
            let (_, parent) = name?.split_once('.')?;
            self.named.get(&*format!("*.{parent}"))
        };
        let found = exact.or_else(wildcard).map_or(FIRST, Vec::as_slice);
        found.iter().filter_map(|&at| self.all.get(at))
    }
}

impl ResolvesServerCert for ByName {
    /// Of several for a name, the first whose key the client can verify: a site may have one of
    /// RSA and one of ECDSA.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let schemes = hello.signature_schemes();
        let usable = |one: &&Certificate| one.certified.key.choose_scheme(schemes).is_some();
        let name = name.as_deref();
        let chosen = self
            .candidates(name)
            .find(usable)
            .or_else(|| self.candidates(name).next())?;
        LAST.set(Some(Greeting {
            name: name.map(Into::into),
            certificate: chosen.clone(),
        }));
        Some(Arc::clone(&chosen.certified))
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named.keys()).finish()
    }
}
