//! What a route's pattern captured from the path.

use smallvec::SmallVec;

/// Names and decoded values, in the order of the pattern: `/users/:id` gives `id`. The names
/// are borrowed from the table: no shared count is touched on the path of a request.
#[derive(Debug, Clone, Default)]
pub struct Params<'t>(SmallVec<[Capture<'t>; 2]>);

type Capture<'t> = (&'t str, Box<[u8]>);

impl<'t> Params<'t> {
    /// Adds a capture.
    pub fn push(&mut self, name: &'t str, value: &[u8]) {
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
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    /// Forgets all captures.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
