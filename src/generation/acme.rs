//! Certificates that an authority issues by itself (ACME, RFC 8555): which are wanted from whom,
//! and what the authority is answered meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::tls::{CertificateDer, Issued};

/// Where an authority looks for the proof that a name is served here (RFC 8555 §8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// A certificate that shall be had.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The listener that wanted it first.
    pub listener: Arc<str>,
    /// For which names, in lower case; the first stands for it in files and logs.
    pub domains: Vec<Box<str>>,
    /// From whom.
    pub authority: Arc<Authority>,
    /// How it is proved whose the names are.
    pub challenge: Challenge,
    /// Which of the authority's kinds of certificates; `None` for its usual one.
    pub profile: Option<Box<str>>,
    /// Where handshakes take it from.
    pub issued: Arc<Issued>,
}

/// An authority, and who we are to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Authority {
    /// Where it tells what it can do (RFC 8555 §7.1.1).
    pub directory: Box<str>,
    /// Whom it may write to, as URLs.
    pub contact: Vec<Box<str>>,
    /// Who may vouch for it itself; `None` for whom the system believes.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The account that we have there by another way (RFC 8555 §7.3.4).
    pub account: Option<ExternalAccount>,
    /// The folder that accounts and certificates are kept in.
    pub store: PathBuf,
}

/// An account that was opened by another way than this one.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the authority calls the key.
    pub kid: Box<str>,
    /// The key.
    pub hmac_key: Vec<u8>,
}

/// How it is proved whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// The authority asks for a file on port 80 (RFC 8555 §8.3).
    Http01,
    /// It asks for a certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

/// What authorities are answered that ask for a file: tokens, and the key authorization of each.
///
/// Tokens are made by authorities and cannot be guessed, so one list serves every listener.
#[derive(Default)]
pub struct Tokens {
    open: Mutex<Vec<(Box<str>, Box<str>)>>,
    /// Whether there are any, so that requests need not look.
    any: AtomicBool,
}

impl Challenge {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http01, Self::TlsAlpn01];

    /// As the file and the RFCs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl Wanted {
    /// Whether two want the same: they are kept at the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.authority.directory == other.authority.directory
            && self.authority.store == other.authority.store
    }

    /// What it is called: its first name.
    pub fn name(&self) -> &str {
        self.domains.first().map_or("", |domain| domain)
    }
}

impl Tokens {
    /// Answers these from now on, and none but these.
    pub fn answer(&self, tokens: Vec<(Box<str>, Box<str>)>) {
        self.any.store(!tokens.is_empty(), Ordering::Release);
        *self.lock() = tokens;
    }

    /// What an authority is answered that asks for this path, if one would.
    pub fn find(&self, path: &[u8]) -> Option<Box<str>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let token = path.strip_prefix(CHALLENGE_PATH.as_bytes())?;
        let open = self.lock();
        let found = open.iter().find(|(known, _)| known.as_bytes() == token)?;
        Some(found.1.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Box<str>, Box<str>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ExternalAccount {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    /// How many: what they are answered is the authority's business alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_open_and_no_other_path_is() {
        let tokens = Tokens::default();
        let path = b"/.well-known/acme-challenge/abc";
        assert_eq!(tokens.find(path), None);
        tokens.answer(vec![("abc".into(), "abc.thumb".into())]);
        assert_eq!(tokens.find(path).as_deref(), Some("abc.thumb"));
        for other in [
            &b"/.well-known/acme-challenge/"[..],
            b"/.well-known/acme-challenge/ab",
            b"/.well-known/acme-challenge/abc/",
            b"/.well-known/acme-challenge/../abc",
            b"/abc",
            b"",
        ] {
            assert_eq!(tokens.find(other), None);
        }
        tokens.answer(Vec::new());
        assert_eq!(tokens.find(path), None);
    }
}
