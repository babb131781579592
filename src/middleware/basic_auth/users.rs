//! Who there is: users and the hashes of their passwords.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::hash::Hash;

/// Users and the hashes of their passwords.
#[derive(Debug, Default, Clone)]
pub(super) struct Users {
    by_name: HashMap<Box<str>, Hash>,
    /// Every hash, for those who are nobody to be measured by.
    all: Vec<Hash>,
    key: RandomState,
}

impl Users {
    /// Adds a user; `false` if there is one of this name.
    pub(super) fn add(&mut self, name: &str, hash: Hash) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        self.all.push(hash.clone());
        self.by_name.insert(name.into(), hash);
        true
    }

    /// Adds those of a file of lines such as `alice:$2y$…`.
    ///
    /// # Errors
    /// The first line that is wrong, without what it holds.
    pub(super) fn add_lines(&mut self, text: &str) -> Result<(), (String, String)> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong =
                |(message, hint): (String, String)| (format!("line {number}: {message}"), hint);
            let Some((name, hash)) = line.split_once(':') else {
                return Err(wrong((
                    "there is no colon".to_owned(),
                    "write a user and a hash: alice:$2y$…".to_owned(),
                )));
            };
            // Behind a second colon some programs keep remarks.
            let hash = hash.split(':').next().unwrap_or_default();
            if !is_name(name) {
                return Err(wrong(bad_name()));
            }
            let hash = Hash::parse(hash).map_err(wrong)?;
            if !self.add(name, hash) {
                return Err(wrong((
                    format!("there is another user `{name}`"),
                    "keep one of the two".to_owned(),
                )));
            }
        }
        Ok(())
    }

    /// The hash of a user.
    pub(super) fn hash_of(&self, name: &str) -> Option<&Hash> {
        self.by_name.get(name)
    }

    /// What a stranger is measured by: always the same for one name, so that neither the time
    /// that an answer takes nor its changes tell who there is.
    pub(super) fn stand_in(&self, name: &str) -> Option<&Hash> {
        let count = u64::try_from(self.all.len())
            .ok()
            .filter(|&count| count > 0)?;
        let at = self.key.hash_one(name) % count;
        self.all.get(usize::try_from(at).unwrap_or(0))
    }
}

/// What a user may be called (RFC 7617 §2).
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control())
}

pub(super) fn bad_name() -> (String, String) {
    (
        "a user without a name, or with one that no client could send".to_owned(),
        "names have no colon and no control characters".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e";

    #[test]
    fn lines() {
        let mut users = Users::default();
        let text = format!("# staff\n\nalice:{HASH}\r\nböb:{HASH}:remark\n");
        users.add_lines(&text).unwrap();
        assert_eq!(users.all.len(), 2);
        assert!(users.hash_of("böb").is_some() && users.hash_of("carol").is_none());
        for (text, expected) in [
            ("alice".to_owned(), "line 1: there is no colon"),
            (format!("\n:{HASH}"), "line 2: a user without a name"),
            (
                format!("alice:{HASH}"),
                "line 1: there is another user `alice`",
            ),
            ("carol:$apr1$x$y".to_owned(), "line 1: a hash of MD5"),
        ] {
            let (message, _) = users.clone().add_lines(&text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_stranger_is_always_measured_by_the_same_hash() {
        let mut users = Users::default();
        assert_eq!(users.stand_in("x"), None);
        for (name, hash) in [
            ("a", HASH),
            (
                "b",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
            ),
        ] {
            users.add(name, Hash::parse(hash).unwrap());
        }
        let first = users.stand_in("x").unwrap();
        assert!((0..10).all(|_| users.stand_in("x") == Some(first)));
        assert!((0..64).any(|n| users.stand_in(&n.to_string()) != Some(first)));
    }
}
