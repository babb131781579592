//! Tokens of the standards, tokens made here, and tokens that are forged.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::keys::Secrets;
use super::*;

const ALL: &[Algorithm] = &[
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

const RSA: &str = include_str!("tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa.pub.pem");
const P256: &str = include_str!("tests/p256.pem");
const P256_PUBLIC: &str = include_str!("tests/p256.pub.pem");
const P384: &str = include_str!("tests/p384.pem");
const P384_PUBLIC: &str = include_str!("tests/p384.pub.pem");
const ED25519: &str = include_str!("tests/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("tests/ed25519.pub.pem");

/// RFC 7515, appendix A.1.
const RFC7515_HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
    dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// RFC 7515, appendix A.3.
const RFC7515_ES256: &str = "eyJhbGciOiJFUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
    DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn keys_of_the_standards() -> Keys {
    let set = json!({"keys": [
        {"kty": "oct", "kid": "hmac", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75\
            aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "unknown"}, {},
    ]});
    Keys::set(set.to_string().as_bytes(), Secrets::Allowed).unwrap()
}

#[track_caller]
fn check(token: &str, keys: &Keys, algorithms: &[Algorithm], expected: Result<(), BadToken>) {
    let result = Token::read(token, algorithms).and_then(|token| token.verify(keys));
    assert_eq!(result.map(|_| ()), expected, "{token}");
}

#[test]
fn tokens_of_the_standards() {
    let keys = keys_of_the_standards();
    for token in [RFC7515_HS256, RFC7515_ES256] {
        check(token, &keys, ALL, Ok(()));
        let claims = Token::read(token, ALL).unwrap().verify(&keys).unwrap();
        assert_eq!(claims["iss"], "joe");
        // The last character may hold bits that are not part of the signature; the first not.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = format!("{signed}.A{}", &signature[1..]);
        check(&other, &keys, ALL, Err(BadToken::Signature));
    }
    // RFC 8037, appendix A.4: its content is no claims, so a good signature ends there.
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PP\
                Ot7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(text, &keys, ALL, Err(BadToken::Malformed));
    check(
        &text.replace("hgyY", "hgyX"),
        &keys,
        ALL,
        Err(BadToken::Signature),
    );
}

/// A token that ends in an hour, with these claims beside.
fn token(algorithm: Algorithm, key: &EncodingKey, id: Option<&str>, claims: Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    let mut claims = claims;
    if claims.get("exp").is_none() {
        claims["exp"] = (clock::unix_now() + Duration::from_hours(1))
            .as_secs()
            .into();
    }
    encode(&header, &claims, key).unwrap()
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

#[test]
fn every_algorithm_with_its_key_and_no_other() {
    let rsa = || EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let signers: Vec<(&[Algorithm], EncodingKey, Keys)> = vec![
        (
            &ALL[..3],
            EncodingKey::from_secret(SECRET),
            Keys::secret(SECRET).unwrap(),
        ),
        (&ALL[3..9], rsa(), Keys::pem(RSA_PUBLIC).unwrap()),
        (
            &ALL[9..10],
            EncodingKey::from_ec_pem(P256.as_bytes()).unwrap(),
            Keys::pem(P256_PUBLIC).unwrap(),
        ),
        (
            &ALL[10..11],
            EncodingKey::from_ec_pem(P384.as_bytes()).unwrap(),
            Keys::pem(P384_PUBLIC).unwrap(),
        ),
        (
            &ALL[11..],
            EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap(),
            Keys::pem(ED25519_PUBLIC).unwrap(),
        ),
    ];
    for (at, (algorithms, key, _)) in signers.iter().enumerate() {
        for algorithm in *algorithms {
            let token = token(*algorithm, key, None, json!({}));
            for (other, (_, _, keys)) in signers.iter().enumerate() {
                let expected = if at == other {
                    Ok(())
                } else {
                    Err(BadToken::KeyUnknown)
                };
                check(&token, keys, ALL, expected);
            }
            let rest: Vec<_> = ALL.iter().copied().filter(|own| own != algorithm).collect();
            check(&token, &signers[at].2, &rest, Err(BadToken::Algorithm));
        }
    }
}

/// A token with this header, signed by the HMAC of these bytes.
fn forged(header: &Value, secret: &[u8]) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(&json!({"sub": "root"})));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

#[test]
fn what_attackers_try() {
    let keys = Keys::pem(RSA_PUBLIC).unwrap();
    // The public key, which everyone has, as the secret of an HMAC.
    let confused = forged(&json!({"alg": "HS256"}), RSA_PUBLIC.as_bytes());
    check(
        &confused,
        &keys,
        &[Algorithm::RS256],
        Err(BadToken::Algorithm),
    );
    check(&confused, &keys, ALL, Err(BadToken::KeyUnknown));
    let keys = Keys::secret(SECRET).unwrap();
    for none in ["none", "None", "NONE", "", "hs256"] {
        let token = forged(&json!({"alg": none}), SECRET);
        check(&token, &keys, ALL, Err(BadToken::Algorithm));
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        check(&unsigned, &keys, ALL, Err(BadToken::Algorithm));
    }
    check(
        &forged(&json!({}), SECRET),
        &keys,
        ALL,
        Err(BadToken::Algorithm),
    );
    check(
        &forged(&json!({"alg": ["HS256"]}), SECRET),
        &keys,
        ALL,
        Err(BadToken::Algorithm),
    );
    let critical = json!({"alg": "HS256", "crit": ["exp"], "exp": 1});
    check(
        &forged(&critical, SECRET),
        &keys,
        ALL,
        Err(BadToken::Critical),
    );
    let kid = json!({"alg": "HS256", "kid": 7});
    check(&forged(&kid, SECRET), &keys, ALL, Err(BadToken::Malformed));
    let good = forged(&json!({"alg": "HS256"}), SECRET);
    check(&good, &keys, ALL, Ok(()));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    check(&format!("{signed}."), &keys, ALL, Err(BadToken::Signature));
    check(signed, &keys, ALL, Err(BadToken::Malformed));
    for bad in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &format!("{good}.{signature}"),
    ] {
        check(bad, &keys, ALL, Err(BadToken::Malformed));
    }
}

#[test]
fn keys_are_chosen_by_their_names_and_uses() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let k = URL_SAFE_NO_PAD.encode(SECRET);
    let short = URL_SAFE_NO_PAD.encode(b"short");
    let set = json!({"keys": [
        {"kty": "oct", "kid": "a", "k": k, "alg": "HS256"},
        {"kty": "oct", "kid": "short", "k": short},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": x, "use": "enc"},
    ]});
    let set = set.to_string();
    let keys = Keys::set(set.as_bytes(), Secrets::Allowed).unwrap();
    let key = EncodingKey::from_secret(SECRET);
    check(
        &token(Algorithm::HS256, &key, Some("a"), json!({})),
        &keys,
        ALL,
        Ok(()),
    );
    check(
        &token(Algorithm::HS256, &key, None, json!({})),
        &keys,
        ALL,
        Ok(()),
    );
    let unknown = Err(BadToken::KeyUnknown);
    check(
        &token(Algorithm::HS256, &key, Some("b"), json!({})),
        &keys,
        ALL,
        unknown,
    );
    check(
        &token(Algorithm::HS384, &key, Some("a"), json!({})),
        &keys,
        ALL,
        unknown,
    );
    assert!(!keys.serve(&[Algorithm::EdDSA]));
    // Whoever may fetch a set must not find secrets in it.
    assert!(Keys::set(set.as_bytes(), Secrets::Refused).is_err());
    for (bad, expected) in [
        ("", "no JSON"),
        ("[]", "no list `keys`"),
        ("{\"keys\": []}", "no key that could"),
    ] {
        let problem = Keys::set(bad.as_bytes(), Secrets::Allowed).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
    assert!(Keys::pem(RSA).unwrap_err().contains("private"));
    assert!(Keys::secret(b"short").unwrap_err().contains("too short"));
}

mod requests;
