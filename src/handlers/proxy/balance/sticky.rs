//! Sticky cookies: a client stays with the endpoint that it was given.
//!
//! The cookie holds a token that only who has the secret can make: the MAC of the endpoint's
//! address under it. It tells nothing of the address, a client cannot make one up, and it holds
//! across restarts and for all servers with the same secret. Tokens are made when endpoints
//! come, never for a request.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::build::Secret;
use crate::exchange::Variable;

/// How many bytes of the MAC are in a token: nobody guesses 128 bits.
const TOKEN_BYTES: usize = 16;

/// How clients are told to come back to an endpoint.
#[derive(Debug)]
pub(in crate::handlers::proxy) struct Sticky {
    /// The name of the cookie.
    pub(in crate::handlers::proxy) name: Box<str>,
    /// Its value in a request.
    pub(in crate::handlers::proxy) cookie: Variable,
    pub(in crate::handlers::proxy) secret: Secret,
    /// What stands behind the value, from `; Path=` on, but for `; Secure`.
    pub(in crate::handlers::proxy) attributes: Box<str>,
    /// Whether it may only come back encrypted; `None`: if it went out so.
    pub(in crate::handlers::proxy) secure: Option<bool>,
}

impl Sticky {
    /// The token of an endpoint.
    pub(in crate::handlers::proxy) fn token(&self, upstream: &str, address: &str) -> Box<str> {
        let mut token = String::with_capacity(2 * TOKEN_BYTES);
        // HMAC takes keys of any length (RFC 2104 §2), so there always is one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes()) else {
            return token.into();
        };
        for part in [upstream, "\0", address] {
            mac.update(part.as_bytes());
        }
        for byte in mac.finalize().into_bytes().iter().take(TOKEN_BYTES) {
            // Writing to a string does not fail.
            let _ = write!(token, "{byte:02x}");
        }
        token.into()
    }

    /// The value of `Set-Cookie` that ties a client to the endpoint of this token.
    pub(in crate::handlers::proxy) fn set_cookie(&self, token: &str, encrypted: bool) -> String {
        let secure = if self.secure.unwrap_or(encrypted) {
            "; Secure"
        } else {
            ""
        };
        [&self.name, "=", token, &self.attributes, secure].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(secret: &str) -> Sticky {
        Sticky {
            name: "route".into(),
            cookie: Variable::Cookie("route".into()),
            secret: Secret::from(secret.to_owned()),
            attributes: "; Path=/; HttpOnly; SameSite=Lax".into(),
            secure: None,
        }
    }

    #[test]
    fn a_token_is_one_of_its_secret_upstream_and_address() {
        let token = sticky("a secret").token("backend", "10.0.0.1:80");
        assert_eq!(token.len(), 2 * TOKEN_BYTES);
        assert_eq!(token, sticky("a secret").token("backend", "10.0.0.1:80"));
        for (secret, upstream, address) in [
            ("another secret", "backend", "10.0.0.1:80"),
            ("a secret", "frontend", "10.0.0.1:80"),
            ("a secret", "backend", "10.0.0.2:80"),
            ("a secret", "backend1", "0.0.0.1:80"),
        ] {
            assert_ne!(token, sticky(secret).token(upstream, address));
        }
    }

    #[test]
    fn the_cookie_is_secure_where_the_connection_is() {
        let sticky = sticky("a secret");
        let plain = "route=t; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(sticky.set_cookie("t", false), plain);
        assert_eq!(sticky.set_cookie("t", true), format!("{plain}; Secure"));
    }
}
