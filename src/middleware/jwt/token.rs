//! A token taken apart and verified (RFC 7515, RFC 7519). What it says is looked at elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};

use super::keys::Keys;

/// Why a token is none that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadToken {
    /// It is no token at all.
    Malformed,
    /// Signed in a way that is not asked for, or not at all.
    Algorithm,
    /// It must not be taken by who does not know some extension of it (RFC 7515 §4.1.11).
    Critical,
    /// There is no key that it could have been signed with.
    KeyUnknown,
    /// No key has signed it.
    Signature,
}

impl BadToken {
    /// What the client is told.
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Malformed => "the token is malformed",
            Self::Algorithm => "the token is signed with an algorithm that is not accepted",
            Self::Critical => "the token has a critical extension that is not known",
            Self::KeyUnknown => "the key of the token is not known",
            Self::Signature => "the signature of the token is invalid",
        }
    }
}

/// A token that was read; nothing in it is to be believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// What was signed: header and claims, encoded.
    signed: &'t str,
    claims: &'t str,
    signature: &'t str,
    algorithm: Algorithm,
    key: Option<String>,
}

impl<'t> Token<'t> {
    /// Takes a token apart; its algorithm must be one of these.
    pub(super) fn read(text: &'t str, algorithms: &[Algorithm]) -> Result<Self, BadToken> {
        let (signed, signature) = text.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        if claims.contains('.') {
            return Err(BadToken::Malformed);
        }
        let header = object(header)?;
        // `none` is no algorithm here, so it can never be one of those asked for.
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.and_then(|name| name.parse().ok());
        let algorithm = algorithm.filter(|known| algorithms.contains(known));
        let algorithm = algorithm.ok_or(BadToken::Algorithm)?;
        if header.contains_key("crit") {
            return Err(BadToken::Critical);
        }
        let key = match header.get("kid") {
            None => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(_) => return Err(BadToken::Malformed),
        };
        Ok(Self {
            signed,
            claims,
            signature,
            algorithm,
            key,
        })
    }

    /// What it claims, once one of these keys is found to have signed it.
    pub(super) fn verify(&self, keys: &Keys) -> Result<Map<String, Value>, BadToken> {
        let mut known = false;
        for key in keys.candidates(self.algorithm, self.key.as_deref()) {
            known = true;
            let right = crypto::verify(self.signature, self.signed.as_bytes(), key, self.algorithm);
            if right.unwrap_or(false) {
                return object(self.claims);
            }
        }
        Err(if known {
            BadToken::Signature
        } else {
            BadToken::KeyUnknown
        })
    }
}

fn object(text: &str) -> Result<Map<String, Value>, BadToken> {
    let json = URL_SAFE_NO_PAD.decode(text);
    let json = json.map_err(|_| BadToken::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| BadToken::Malformed)
}
