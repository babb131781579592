//! A worker's view of a generation.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::generation::{Bind, Generation};
use crate::routing::table::Table;

/// What one listener of this worker serves: the generation, and its own copy of the table.
#[derive(Debug)]
pub struct Snapshot {
    /// The generation.
    pub generation: Arc<Generation>,
    /// The routes of the listener, with regexes of this worker's own.
    pub table: Table,
    /// The listener's name in this generation.
    pub name: Arc<str>,
}

/// One listener as its connections see it. Outlives the listening socket.
#[derive(Debug)]
pub struct Listening {
    /// Where.
    pub bind: Bind,
    snapshot: RefCell<Rc<Snapshot>>,
    current: Cell<bool>,
}

impl Listening {
    /// A listener that serves this.
    pub fn new(bind: Bind, snapshot: Rc<Snapshot>) -> Self {
        Self {
            bind,
            snapshot: RefCell::new(snapshot),
            current: Cell::new(true),
        }
    }

    /// What a request that begins now is served from.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// Whether the newest generation still has this listener. Connections of one that is gone
    /// end with the exchange they are in.
    pub fn is_current(&self) -> bool {
        self.current.get()
    }

    /// Serves this from the next request on.
    pub fn publish(&self, snapshot: Rc<Snapshot>) {
        self.snapshot.replace(snapshot);
        self.current.set(true);
    }

    /// The newest generation does not listen here.
    pub fn retire(&self) {
        self.current.set(false);
    }
}

/// The snapshots of a generation, one a listener.
pub fn snapshots(generation: &Arc<Generation>) -> Vec<(Bind, Rc<Snapshot>)> {
    generation
        .listeners
        .iter()
        .map(|listener| {
            let snapshot = Snapshot {
                generation: Arc::clone(generation),
                table: listener.table.for_worker(),
                name: Arc::clone(&listener.name),
            };
            (listener.bind.clone(), Rc::new(snapshot))
        })
        .collect()
}
