//! What middleware found out about one exchange: for the log, for variables, for each other.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::{Behind, Exchange, Middleware};

/// What was found out. Most exchanges have none of it, so it is boxed when first written.
#[derive(Default)]
pub struct Facts {
    /// Who the client proved to be.
    pub user: Option<Box<str>>,
    /// The name of the policy that refused the request.
    pub policy: Option<Arc<str>>,
    /// Policies that would have refused it, but only watch (`enforce = false`).
    pub would_refuse: SmallVec<[Arc<str>; 2]>,
    /// How a cache answered: `hit`, `miss`, `stale` …
    pub cache: Option<&'static str>,
    /// The trace it belongs to.
    pub trace: Option<Trace>,
    /// Whether a middleware had the client prove something and let it in: what it is answered may
    /// be for it alone.
    pub authorized: bool,
    /// What a verified token says of its bearer.
    pub claims: Option<Arc<Map<String, Value>>>,
    /// What the log shall say beside the rest: names and values.
    pub log: SmallVec<[Logged; 2]>,
    /// Parameters of the query that are secrets, which no log may show.
    pub secret_parameters: SmallVec<[Arc<str>; 1]>,
    /// What is run behind the answer.
    pub(super) behind: Vec<Behind>,
    /// Whether the error has its page: who stands further out leaves it.
    pub error_page: bool,
    held: SmallVec<[(usize, Box<dyn Any>); 2]>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("user", &self.user)
            .field("policy", &self.policy)
            .field("would_refuse", &self.would_refuse)
            .field("cache", &self.cache)
            .field("trace", &self.trace)
            .field("behind", &self.behind)
            .field("error_page", &self.error_page)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// A name and what the log shall say under it.
pub type Logged = (Arc<str>, Box<[u8]>);

/// The place of an exchange in a trace (W3C Trace Context): identifiers in lower-case
/// hexadecimal digits, as every field and log writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 32],
    /// The span that the request came from, if it told.
    pub parent: Option<[u8; 16]>,
    /// The span that upstreams are told.
    pub span: [u8; 16],
    /// The flags: bit 0 says that the trace is recorded.
    pub flags: u8,
}

impl Facts {
    /// A claim of the verified token: a string as it is, anything else as JSON.
    pub fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.claims.as_ref()?.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            other => Some(Cow::Owned(other.to_string())),
        }
    }

    /// What the log shall say under this name.
    pub fn logged(&self, name: &str) -> Option<&[u8]> {
        let found = self.log.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| &**value)
    }
}

impl Exchange<'_> {
    /// The facts, to write some.
    pub fn facts_mut(&mut self) -> &mut Facts {
        self.facts.get_or_insert_default()
    }

    /// Keeps a thing of this middleware instance until the exchange is over: a slot, a start
    /// time. It is dropped with the exchange, however that ends. One of a type an instance.
    pub fn hold<T: 'static>(&mut self, of: &(impl Middleware + ?Sized), thing: T) {
        let key = of.identity();
        let held = &mut self.facts_mut().held;
        held.retain(|(known, any)| *known != key || !any.is::<T>());
        held.push((key, Box::new(thing)));
    }

    /// What this middleware instance keeps for this exchange.
    pub fn held<T: 'static>(&self, of: &(impl Middleware + ?Sized)) -> Option<&T> {
        let key = of.identity();
        let held = &self.facts.as_ref()?.held;
        held.iter()
            .filter(|(known, _)| *known == key)
            .find_map(|(_, any)| any.downcast_ref())
    }

    /// Takes out what this middleware instance keeps for this exchange.
    pub fn take_held<T: 'static>(&mut self, of: &(impl Middleware + ?Sized)) -> Option<T> {
        let key = of.identity();
        let held = &mut self.facts.as_mut()?.held;
        let at = held
            .iter()
            .position(|(known, any)| *known == key && any.is::<T>())?;
        let (_, any) = held.swap_remove(at);
        any.downcast().ok().map(|thing| *thing)
    }
}

#[cfg(test)]
mod tests {
    use crate::exchange::Middleware;
    use crate::exchange::testing::TestRequest;

    #[derive(Debug)]
    struct Keeps(#[expect(dead_code, reason = "a size, so that two have two addresses")] u8);

    impl Middleware for Keeps {}

    #[test]
    fn each_instance_keeps_its_own_until_it_takes_it() {
        let both = [Keeps(1), Keeps(2)];
        let mut request = TestRequest::get("/");
        let mut x = request.exchange();
        x.hold(&both[0], 7_u32);
        x.hold(&both[1], 8_u32);
        x.hold(&both[1], 9_u32);
        x.hold(&both[1], "a");
        assert_eq!(x.held::<u32>(&both[0]), Some(&7));
        assert_eq!(x.take_held::<u32>(&both[1]), Some(9));
        assert_eq!(x.held::<u32>(&both[1]), None);
        assert_eq!(x.held::<&str>(&both[1]), Some(&"a"));
    }
}
