//! What a route's pattern captured from the path.

use std::sync::Arc;

use smallvec::SmallVec;

/// Names and decoded values, in the order of the pattern: `/users/:id` gives `id`.
#[derive(Debug, Clone, Default)]
pub struct Params(SmallVec<[Capture; 2]>);

type Capture = (Arc<str>, Box<[u8]>);

impl Params {
    /// Adds a capture.
    pub fn push(&mut self, name: Arc<str>, value: &[u8]) {
        self.0.push((name, value.into()));
    }

    /// The value captured under this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Forgets all captures.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
