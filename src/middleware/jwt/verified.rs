//! Tokens whose signatures were found to be right: a client sends the same one many times, and
//! verifying costs more than all else that is done for a small request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::keys::Keys;
use crate::exchange::WorkerLocals;

/// How many tokens a worker remembers before it begins anew: with [`TOKEN_BYTES_MAX`] some
/// 8 MiB.
const TOKENS_MAX: usize = 1024;

/// Longer tokens are verified each time; those of the large providers have 1 to 2 KiB.
const TOKEN_BYTES_MAX: usize = 4096;

/// What one worker remembers, by the digest of the token.
#[derive(Debug, Default)]
pub(super) struct Verified(RefCell<HashMap<[u8; 32], Known>>);

#[derive(Debug)]
struct Known {
    /// The keys it was verified with. With any other it has to be verified again.
    keys: Arc<Keys>,
    claims: Arc<Map<String, Value>>,
}

impl Verified {
    /// What a token claims that these keys have signed: as it is remembered, or else as
    /// `verify` finds.
    pub(super) fn claims<E>(
        locals: &WorkerLocals,
        token: &str,
        keys: &Arc<Keys>,
        verify: impl FnOnce() -> Result<Map<String, Value>, E>,
    ) -> Result<Arc<Map<String, Value>>, E> {
        if token.len() > TOKEN_BYTES_MAX {
            return verify().map(Arc::new);
        }
        let own = locals.keep::<Self>();
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = own.0.borrow();
        if let Some(known) = known.get(&digest)
            && Arc::ptr_eq(&known.keys, keys)
        {
            return Ok(Arc::clone(&known.claims));
        }
        drop(known);
        let claims = Arc::new(verify()?);
        let mut known = own.0.borrow_mut();
        if known.len() >= TOKENS_MAX {
            known.clear();
        }
        let keys = Arc::clone(keys);
        let entry = Known {
            keys,
            claims: Arc::clone(&claims),
        };
        known.insert(digest, entry);
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    fn claims(number: usize) -> Map<String, Value> {
        [("n".to_owned(), number.into())].into_iter().collect()
    }

    #[test]
    fn a_token_is_verified_once_for_each_set_of_keys_and_never_when_it_is_wrong() {
        let request = TestRequest::get("/");
        let (one, other) = (Arc::new(Keys::default()), Arc::new(Keys::default()));
        let check = |token: &str, keys: &Arc<Keys>, verified, expected: Result<usize, ()>| {
            let found = Verified::claims(&request.locals, token, keys, || verified);
            let found = found.map(|claims| claims["n"].as_u64());
            assert_eq!(found, expected.map(|number| Some(number as u64)));
        };
        check("a", &one, Err(()), Err(()));
        check("a", &one, Ok(claims(1)), Ok(1));
        check("a", &one, Err(()), Ok(1));
        check("b", &one, Err(()), Err(()));
        check("a", &other, Err(()), Err(()));
        check("a", &other, Ok(claims(2)), Ok(2));
        check("a", &one, Err(()), Err(()));
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        check(&long, &one, Ok(claims(3)), Ok(3));
        check(&long, &one, Err(()), Err(()));
        for number in 0..3 * TOKENS_MAX {
            check(&number.to_string(), &one, Ok(claims(number)), Ok(number));
        }
        assert!(request.locals.keep::<Verified>().0.borrow().len() <= TOKENS_MAX);
    }
}
