//! State that outlives the configuration that asked for it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::telemetry::Metrics;

/// Keeps state by type and name from one generation to the next.
///
/// Holds only weak references: what no generation uses any more is freed with the last one that
/// did, and a reload that fails half-way leaves no trace. A state type holds no settings, so
/// that a changed setting applies at once and nobody decides whether old state "fits".
#[derive(Default)]
pub struct CarryOver {
    /// The numbers of every generation.
    pub metrics: Arc<Metrics>,
    states: HashMap<(TypeId, Box<str>), Weak<dyn Any + Send + Sync>>,
}

impl CarryOver {
    /// The state kept under this name, or a new one.
    pub fn keep<T: Any + Send + Sync>(&mut self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let key = (TypeId::of::<T>(), name.into());
        let kept = self.states.get(&key).and_then(Weak::upgrade);
        if let Some(Ok(state)) = kept.map(Arc::downcast::<T>) {
            return state;
        }
        let state = Arc::new(make());
        let any: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&state);
        self.states.insert(key, Arc::downgrade(&any));
        state
    }

    /// Forgets names whose state is gone. Called once a reload.
    pub fn prune(&mut self) {
        self.states.retain(|_, state| state.strong_count() > 0);
    }
}

impl fmt::Debug for CarryOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CarryOver({})", self.states.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn state_lives_as_long_as_someone_uses_it() {
        let mut kept = CarryOver::default();
        let first = kept.keep("a", || Mutex::new(1));
        *first.lock().unwrap() = 7;
        let again = kept.keep("a", || Mutex::new(1));
        assert_eq!(*again.lock().unwrap(), 7);
        assert_eq!(*kept.keep("b", || Mutex::new(1)).lock().unwrap(), 1);
        drop((first, again));
        kept.prune();
        assert_eq!(*kept.keep("a", || Mutex::new(1)).lock().unwrap(), 1);
    }
}
