//! Passwords that were found to be right, so that not every request pays for finding out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::guard::Guard;
use super::hash::Hash;
use super::users::Users;
use crate::exchange::WorkerLocals;

/// What one worker knows of one directory of users: no lock is taken to look at it.
///
/// Of each user one password at most is known to be right, as a keyed hash that is of no use to
/// who reads the memory later; so there are no more of them than users.
#[derive(Debug)]
pub(super) struct Verified {
    users: Arc<Users>,
    known: HashMap<Box<str>, Known>,
    /// Of this worker alone, gone with it; without one nothing is kept.
    key: Option<[u8; 32]>,
}

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    /// The hash that the password was right for: when it changes, nothing is known any more.
    hash: Hash,
}

/// What one worker knows, by the guard of an instance, which a reload keeps.
#[derive(Debug, Default)]
pub(super) struct OfWorker {
    all: RefCell<Vec<OfInstance>>,
}

type OfInstance = (Weak<Guard>, Rc<RefCell<Verified>>);

impl OfWorker {
    /// What this worker knows for an instance, with these users.
    pub(super) fn of(
        locals: &WorkerLocals,
        guard: &Arc<Guard>,
        users: &Arc<Users>,
    ) -> Rc<RefCell<Verified>> {
        let own = locals.keep::<Self>();
        let mut all = own.all.borrow_mut();
        let is = |known: &Weak<Guard>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(guard));
        if let Some((_, found)) = all.iter().find(|(known, _)| is(known)) {
            found.borrow_mut().renew(users);
            return Rc::clone(found);
        }
        // Instances that no configuration has any more are let go.
        all.retain(|(known, _)| known.strong_count() > 0);
        let made = Rc::new(RefCell::new(Verified {
            users: Arc::clone(users),
            known: HashMap::new(),
            key: random_key(),
        }));
        all.push((Arc::downgrade(guard), Rc::clone(&made)));
        made
    }
}

fn random_key() -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let filled = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    (filled == Ok(key.len())).then_some(key)
}

impl Verified {
    fn renew(&mut self, users: &Arc<Users>) {
        if !Arc::ptr_eq(&self.users, users) {
            self.users = Arc::clone(users);
            self.known
                .retain(|name, known| users.hash_of(name) == Some(&known.hash));
        }
    }

    /// Whether this password of this user is known to be right.
    pub(super) fn knows(&self, user: &str, password: &[u8]) -> bool {
        let (Some(digest), Some(known)) = (self.digest(user, password), self.known.get(user))
        else {
            return false;
        };
        known.digest.ct_eq(&digest).into()
    }

    /// Keeps that this password was right for this hash.
    pub(super) fn learn(&mut self, user: &str, password: &[u8], hash: Hash) {
        if self.users.hash_of(user) == Some(&hash)
            && let Some(digest) = self.digest(user, password)
        {
            self.known.insert(user.into(), Known { digest, hash });
        }
    }

    /// A name has no colon, so no pair looks like another.
    fn digest(&self, user: &str, password: &[u8]) -> Option<[u8; 32]> {
        let mut digest = Sha256::new();
        digest.update(self.key?);
        digest.update(user.as_bytes());
        digest.update(b":");
        digest.update(password);
        Some(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    const HASH: &str = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e";
    const OTHER: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy";

    fn users(hash: &str) -> Arc<Users> {
        let mut users = Users::default();
        users.add("alice", Hash::parse(hash).unwrap());
        Arc::new(users)
    }

    #[test]
    fn what_was_right_is_known_until_its_hash_changes() {
        let request = TestRequest::get("/");
        let (guard, first) = (Arc::new(Guard::default()), users(HASH));
        let hash = Hash::parse(HASH).unwrap();
        let verified = OfWorker::of(&request.locals, &guard, &first);
        assert!(!verified.borrow().knows("alice", b"U*U"));
        verified.borrow_mut().learn("alice", b"U*U", hash.clone());
        // A reload that leaves the hash as it was.
        let again = OfWorker::of(&request.locals, &guard, &users(HASH));
        assert!(again.borrow().knows("alice", b"U*U"));
        assert!(!again.borrow().knows("alice", b"U*V"));
        assert!(!again.borrow().knows("bob", b"U*U"));
        // A stranger's, or one that has gone meanwhile, is not learnt.
        again.borrow_mut().learn("bob", b"x", hash);
        let other = Hash::parse(OTHER).unwrap();
        again.borrow_mut().learn("alice", b"x", other);
        assert!(again.borrow().knows("alice", b"U*U"));
        assert!(!again.borrow().knows("bob", b"x"));
        let changed = OfWorker::of(&request.locals, &guard, &users(OTHER));
        assert!(!changed.borrow().knows("alice", b"U*U"));
    }

    #[test]
    fn instances_share_nothing_and_are_let_go() {
        let request = TestRequest::get("/");
        let of = |guard: &Arc<Guard>| OfWorker::of(&request.locals, guard, &users(HASH));
        let (one, other) = (Arc::new(Guard::default()), Arc::new(Guard::default()));
        let hash = Hash::parse(HASH).unwrap();
        of(&one).borrow_mut().learn("alice", b"U*U", hash);
        assert!(of(&one).borrow().knows("alice", b"U*U"));
        assert!(!of(&other).borrow().knows("alice", b"U*U"));
        drop(one);
        of(&Arc::new(Guard::default()));
        assert_eq!(request.locals.keep::<OfWorker>().all.borrow().len(), 2);
    }
}
