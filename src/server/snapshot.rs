//! A worker's view of a generation.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::exchange::Seldom;
use crate::generation::{Bind, Generation, Protocols, ProxyProtocol, Tls};
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
    /// Who tells whom the listener's connections are from.
    pub proxy_protocol: Option<Arc<ProxyProtocol>>,
    /// What it is encrypted with; `None` for nothing.
    pub tls: Option<Arc<Tls>>,
    /// What is spoken.
    pub protocols: Protocols,
}

/// One listener as its connections see it. Outlives the listening socket.
#[derive(Debug)]
pub struct Listening {
    /// Where.
    pub bind: Bind,
    /// Connections closed for what they began with.
    pub refusals: Seldom,
    snapshot: RefCell<Rc<Snapshot>>,
}

impl Listening {
    /// A listener that serves this.
    pub fn new(bind: Bind, snapshot: Rc<Snapshot>) -> Self {
        Self {
            bind,
            refusals: Seldom::default(),
            snapshot: RefCell::new(snapshot),
        }
    }

    /// What a request that begins now is served from.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// Serves this from the next request on.
    pub fn publish(&self, snapshot: Rc<Snapshot>) {
        self.snapshot.replace(snapshot);
    }

    /// Whether this is what its connections are to be served from, as a generation knows it: by
    /// its address, or by its name if that has moved to another one.
    pub fn is_known_as(&self, bind: &Bind, name: &str) -> bool {
        self.bind == *bind || *self.snapshot.borrow().name == *name
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
                proxy_protocol: listener.proxy_protocol.clone(),
                tls: listener.tls.clone(),
                protocols: listener.protocols,
            };
            (listener.bind.clone(), Rc::new(snapshot))
        })
        .collect()
}
