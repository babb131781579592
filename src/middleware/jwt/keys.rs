//! Keys that tokens are verified with, and which algorithms each of them is for.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// The keys of an instance.
#[derive(Default, Clone)]
pub(super) struct Keys(Vec<Key>);

/// A key. Its algorithms follow from what it is, never from a token: a public key can never
/// serve as the secret of an HMAC.
#[derive(Clone)]
struct Key {
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// How long the secret of an HMAC must be: as long as the shortest digest (RFC 7518 §3.2).
/// A shorter one is found by trying, at the attacker's own pace.
const SECRET_BYTES_MIN: usize = 32;

/// How many keys a set may hold. The large providers have four or five at a time.
const KEYS_MAX: usize = 64;

/// Which algorithms a key of a kind is for.
pub(super) const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
pub(super) const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Whether secrets of HMACs may stand in a set: in a file of one's own, never in what everyone
/// may fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Allowed,
    Refused,
}

impl Keys {
    /// The secret of an HMAC.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "a secret of {} bytes is too short: it can be found by trying",
                secret.len()
            ));
        }
        Ok(Self(vec![Key {
            id: None,
            algorithms: HMAC.to_vec(),
            decoding: DecodingKey::from_secret(secret),
        }]))
    }

    /// A public key as PEM: RSA, P-256 or P-384, or Ed25519.
    pub(super) fn pem(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY") {
            return Err("this is a private key; only its public half belongs here".to_owned());
        }
        let pem = text.trim().as_bytes();
        let key = |algorithms: &[Algorithm], decoding| Key {
            id: None,
            algorithms: algorithms.to_vec(),
            decoding,
        };
        let found = DecodingKey::from_rsa_pem(pem)
            .map(|found| key(RSA, found))
            .or_else(|_| {
                let found = DecodingKey::from_ec_pem(pem)?;
                let algorithms = match found.try_get_as_bytes()?.len() {
                    // An uncompressed point: a byte, and two coordinates.
                    65 => Algorithm::ES256,
                    _ => Algorithm::ES384,
                };
                Ok(key(&[algorithms], found))
            })
            .or_else(|_: jsonwebtoken::errors::Error| {
                DecodingKey::from_ed_pem(pem).map(|found| key(&[Algorithm::EdDSA], found))
            });
        match found {
            Ok(key) => Ok(Self(vec![key])),
            Err(_) => {
                Err("this is no public key of RSA, P-256, P-384 or Ed25519 in PEM form".to_owned())
            }
        }
    }

    /// A set (RFC 7517 §5). Keys of kinds and for uses that are none of ours are passed over, as
    /// the standard asks.
    pub(super) fn set(text: &[u8], secrets: Secrets) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|_| "it is no JSON".to_owned())?;
        let Some(listed) = set.get("keys").and_then(Value::as_array) else {
            return Err("it is no key set: it has no list `keys`".to_owned());
        };
        if listed.len() > KEYS_MAX {
            return Err(format!("it holds more than {KEYS_MAX} keys"));
        }
        let keys = listed.iter().filter_map(|key| {
            let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
            from_jwk(&jwk, secrets)
        });
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return Err("it holds no key that could verify a token".to_owned());
        }
        Ok(Self(keys))
    }

    /// The keys that may verify a token: for its algorithm, and of the name it gives. A key
    /// without a name, or a token that gives none, is tried by algorithm alone.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            let named = match (&key.id, id) {
                (Some(own), Some(wanted)) => **own == *wanted,
                _ => true,
            };
            named && key.algorithms.contains(&algorithm)
        };
        self.0.iter().filter(fits).map(|key| &key.decoding)
    }

    /// Whether any of them is for one of these algorithms.
    pub(super) fn serve(&self, algorithms: &[Algorithm]) -> bool {
        let mut keys = self.0.iter();
        keys.any(|key| key.algorithms.iter().any(|own| algorithms.contains(own)))
    }
}

fn from_jwk(jwk: &Jwk, secrets: Secrets) -> Option<Key> {
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::OctetKey(_) if secrets == Secrets::Allowed => HMAC.to_vec(),
        _ => return None,
    };
    // What the key says it is for; an algorithm that is none of ours leaves nothing.
    if let Some(own) = &jwk.common.key_algorithm {
        let own: Option<Algorithm> = own.to_string().parse().ok();
        algorithms.retain(|algorithm| Some(*algorithm) == own);
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let short = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_))
        && key.try_get_as_bytes().map_or(0, <[u8]>::len) < SECRET_BYTES_MIN;
    (!short && !algorithms.is_empty()).then(|| Key {
        id: jwk.common.key_id.as_deref().map(Into::into),
        algorithms,
        decoding: key,
    })
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}
