//! Sets of methods.

use smallvec::SmallVec;

use crate::http::Method;

/// A set of methods: a bit for each that has a name of its own in [`Method`], the others as
/// they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Methods {
    bits: u16,
    extensions: SmallVec<[Box<str>; 0]>,
}

/// In the order of the bits.
const NAMED: [Method; 9] = [
    Method::Connect,
    Method::Delete,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Patch,
    Method::Post,
    Method::Put,
    Method::Trace,
];

/// The bit of a method; 0 for one without a name of its own.
const fn bit(method: &Method) -> u16 {
    match method {
        Method::Connect => 1,
        Method::Delete => 1 << 1,
        Method::Get => 1 << 2,
        Method::Head => 1 << 3,
        Method::Options => 1 << 4,
        Method::Patch => 1 << 5,
        Method::Post => 1 << 6,
        Method::Put => 1 << 7,
        Method::Trace => 1 << 8,
        Method::Extension(_) => 0,
    }
}

impl Methods {
    /// The set of these, and of HEAD where GET is: a HEAD is answered as GET would be, without
    /// the content (RFC 9110 §9.3.2).
    pub(super) fn new<'m>(methods: impl IntoIterator<Item = &'m Method>) -> Self {
        let mut set = Self::default();
        for method in methods {
            set.insert(method);
        }
        if set.contains(&Method::Get) {
            set.insert(&Method::Head);
        }
        set
    }

    pub(super) fn insert(&mut self, method: &Method) {
        self.bits |= bit(method);
        if let Method::Extension(name) = method
            && !self.contains(method)
        {
            self.extensions.push(name.clone());
        }
    }

    /// Adds all of another set.
    pub(super) fn extend(&mut self, other: &Self) {
        self.bits |= other.bits;
        for name in &other.extensions {
            if !self.extensions.contains(name) {
                self.extensions.push(name.clone());
            }
        }
    }

    pub(super) fn contains(&self, method: &Method) -> bool {
        match method {
            Method::Extension(name) => self.extensions.contains(name),
            Method::Get
            | Method::Head
            | Method::Post
            | Method::Put
            | Method::Delete
            | Method::Patch
            | Method::Options
            | Method::Trace
            | Method::Connect => self.bits & bit(method) != 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bits == 0 && self.extensions.is_empty()
    }

    /// Whether every method of `other` is in this set too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut extensions = other.extensions.iter();
        other.bits & !self.bits == 0 && extensions.all(|name| self.extensions.contains(name))
    }

    /// As `Allow` lists them: sorted.
    pub(super) fn list(&self) -> String {
        let own = NAMED.iter().filter(|&method| self.contains(method));
        let mut names: Vec<&str> = own.map(Method::as_str).collect();
        names.extend(self.extensions.iter().map(|name| &**name));
        names.sort_unstable();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(name: &str) -> Method {
        Method::from_bytes(name.as_bytes()).unwrap()
    }

    #[test]
    fn every_named_method_has_a_bit_of_its_own() {
        let all = Methods::new(&NAMED);
        assert_eq!(all.bits.count_ones() as usize, NAMED.len());
        for method in &NAMED {
            assert!(all.contains(method));
            assert!(!Methods::default().contains(method));
        }
        assert_eq!(
            all.list(),
            "CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE"
        );
    }

    #[test]
    fn extensions_are_kept_once() {
        let purge = extension("PURGE");
        let mut set = Methods::new([&purge, &Method::Put, &purge]);
        set.extend(&Methods::new([&purge, &extension("COPY")]));
        assert_eq!(set.list(), "COPY, PURGE, PUT");
        assert!(set.contains(&purge));
        assert!(!set.contains(&extension("purge")));
        assert!(!set.is_empty());
        assert!(set.covers(&Methods::new([&purge])));
        assert!(!Methods::new([&purge]).covers(&set));
        assert!(Methods::default().is_empty());
    }

    #[test]
    fn head_is_where_get_is() {
        assert_eq!(Methods::new([&Method::Get]).list(), "GET, HEAD");
        assert_eq!(Methods::new([&Method::Post]).list(), "POST");
    }
}
