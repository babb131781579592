//! Hashes of passwords: which are good enough, and whether a password is the one.

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use bcrypt::HashParts;
use sha_crypt::ShaCrypt;

/// The hash of a password. It cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    scheme: Scheme,
    text: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bcrypt,
    Argon2,
    ShaCrypt,
}

/// Bounds of what one look at a password may cost, so that no hash can hold a thread for more
/// than a few seconds: bcrypt of cost 15 takes about two, and so does the rest.
const BCRYPT_COST_MAX: u32 = 15;
const ARGON2_KIB_MAX: u32 = 256 << 10;
const ARGON2_PASSES_MAX: u32 = 16;
const SHA_CRYPT_ROUNDS_MAX: u32 = 2_000_000;

/// What makes a hash that is taken.
const HOW: &str = "`htpasswd -nB NAME` makes one with bcrypt, `mkpasswd -m sha512crypt` one with \
                   SHA-crypt, `argon2 SALT -id -e` one with Argon2";

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// It is none, a weak one, or costs too much; with the way out. The words never show it.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        let scheme = match text.split('$').nth(1) {
            Some("2y" | "2b" | "2a") if text.starts_with('$') => bcrypt(text)?,
            Some("argon2id" | "argon2i") if text.starts_with('$') => argon2(text)?,
            Some("5" | "6") if text.starts_with('$') => sha_crypt(text)?,
            _ => return Err(refused(text)),
        };
        Ok(Self {
            scheme,
            text: text.into(),
        })
    }

    /// Whether this is the password. Takes its time, so it is not for a worker.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self.scheme {
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::Argon2 => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Scheme::ShaCrypt => ShaCrypt::default()
                .verify_password(password, &*self.text)
                .is_ok(),
        }
    }
}

fn bcrypt(text: &str) -> Result<Scheme, (String, String)> {
    let parts: HashParts = text.parse().map_err(|_| broken("bcrypt"))?;
    if parts.get_cost() > BCRYPT_COST_MAX {
        return Err(costly("bcrypt", &format!("a cost of {BCRYPT_COST_MAX}")));
    }
    Ok(Scheme::Bcrypt)
}

fn argon2(text: &str) -> Result<Scheme, (String, String)> {
    let hash = PasswordHash::new(text).map_err(|_| broken("Argon2"))?;
    let params = Params::try_from(&hash).map_err(|_| broken("Argon2"))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(broken("Argon2"));
    }
    if params.m_cost() > ARGON2_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
        let most = format!(
            "{} MiB and {ARGON2_PASSES_MAX} passes",
            ARGON2_KIB_MAX >> 10
        );
        return Err(costly("Argon2", &most));
    }
    Ok(Scheme::Argon2)
}

/// `$6$rounds=10000$salt$hash`, the rounds being optional.
fn sha_crypt(text: &str) -> Result<Scheme, (String, String)> {
    let mut parts = text.split('$').skip(1);
    let length = match parts.next() {
        Some("5") => 43,
        _ => 86,
    };
    let mut next = parts.next();
    if let Some(rounds) = next.and_then(|part| part.strip_prefix("rounds=")) {
        let rounds: u32 = rounds.parse().map_err(|_| broken("SHA-crypt"))?;
        if rounds > SHA_CRYPT_ROUNDS_MAX {
            return Err(costly(
                "SHA-crypt",
                &format!("{SHA_CRYPT_ROUNDS_MAX} rounds"),
            ));
        }
        next = parts.next();
    }
    let digits = |c: u8| c.is_ascii_alphanumeric() || c == b'.' || c == b'/';
    let salt = next.is_some_and(|salt| !salt.is_empty() && salt.len() <= 16);
    let hash = parts
        .next()
        .is_some_and(|hash| hash.len() == length && hash.bytes().all(digits));
    if !salt || !hash || parts.next().is_some() {
        return Err(broken("SHA-crypt"));
    }
    Ok(Scheme::ShaCrypt)
}

fn broken(scheme: &str) -> (String, String) {
    (
        format!("a hash that begins like one of {scheme} is none"),
        format!("perhaps it was cut off, or `$` was taken for a variable; {HOW}"),
    )
}

fn costly(scheme: &str, most: &str) -> (String, String) {
    (
        format!("a hash of {scheme} costs more than {most}"),
        format!("anyone could keep the server busy with it; {HOW}"),
    )
}

/// Why something is not taken that other servers take, without showing it.
fn refused(text: &str) -> (String, String) {
    let starts = |prefix: &str| text.starts_with(prefix);
    let why = if starts("$apr1$") || starts("$1$") {
        "a hash of MD5 (apr1) is refused: it is guessed a billion times a second"
    } else if starts("{SHA}") || starts("{SSHA}") {
        "a hash of one round of SHA-1 is refused: it is guessed ten billion times a second"
    } else if starts("{") || starts("$") {
        "a hash of an unknown kind"
    } else if text.len() == 13 {
        "a password, or a hash of DES crypt, which takes eight letters at most, is refused"
    } else {
        "a password that is not hashed is refused"
    };
    (why.to_owned(), HOW.to_owned())
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({:?})", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hash: &str, password: &str) {
        let hash = Hash::parse(hash).unwrap();
        assert!(hash.is_of(password.as_bytes()));
        assert!(!hash.is_of(format!("{password}x").as_bytes()));
        assert!(!hash.is_of(b""));
    }

    #[test]
    fn vectors_of_bcrypt() {
        check(
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "U*U",
        );
        check(
            "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
            "U*U*",
        );
    }

    #[test]
    fn vectors_of_sha_crypt() {
        check(
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "Hello world!",
        );
        check(
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFd\
             cbYEdFCoEOfaS35inz1",
            "Hello world!",
        );
        check(
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            "Hello world!",
        );
    }

    #[test]
    fn vectors_of_argon2() {
        // Made by the reference implementation.
        check(
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "password",
        );
    }

    #[test]
    fn weak_broken_and_costly_ones_are_refused_without_being_shown() {
        for (text, expected) in [
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", "MD5"),
            ("{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=", "SHA-1"),
            ("rqXexS6ZhobKA", "DES"),
            ("s3cret", "not hashed"),
            ("$7$x$y", "unknown kind"),
            ("", "not hashed"),
            ("$2y$05$short", "is none"),
            (
                "$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "cost of 15",
            ),
            ("$6$salt$short", "is none"),
            ("$6$rounds=x$salt$short", "is none"),
            ("$6$rounds=900000000$salt$x", "rounds"),
            ("$argon2id$v=19$m=65536", "is none"),
            (
                "$argon2id$v=19$m=999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
                "256 MiB",
            ),
        ] {
            let (message, hint) = Hash::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(text.is_empty() || !format!("{message}{hint}").contains(text));
        }
    }
}
