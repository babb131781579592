//! What the control plane and a worker say to each other: orders down, reports up.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::BlockingPool;
use crate::generation::{Bind, Generation};
use crate::telemetry::WorkerCounters;

/// How many orders may wait for a worker. The control plane waits for the answer to one before
/// it gives the next of its kind, so four (a publication, a beat, a leave
/// and a drain) are the most there are.
pub const ORDERS_MAX: usize = 4;

/// From the control plane to a worker.
#[derive(Debug)]
pub enum Order {
    /// Serve this from the next request on. Answered with [`Report::Published`].
    Publish(Publication),
    /// Serve on, but have readiness say that the end is near.
    Leave,
    /// Take no new connection, end idle ones, let open exchanges end. Answered with
    /// [`Report::Drained`] once the last connection is gone, after `timeout` at the latest.
    Drain {
        /// How long open exchanges may take.
        timeout: Duration,
    },
    /// Say that you are alive: answered with [`Report::Alive`] between two exchanges.
    Beat,
    /// End now.
    Stop,
}

/// A generation, and this worker's sockets for what is new in it.
#[derive(Debug)]
pub struct Publication {
    /// What to serve.
    pub generation: Arc<Generation>,
    /// One or more sockets for every listener address that the worker does not listen on yet.
    /// Addresses it
    /// listens on that are not in the generation are closed when their backlog is empty.
    pub sockets: Vec<(Bind, Socket)>,
}

/// A listening socket, bound by the control plane, in non-blocking mode.
#[derive(Debug)]
pub enum Socket {
    /// TCP; each worker has its own in a `SO_REUSEPORT` group, unless it came from elsewhere.
    Tcp(TcpListener),
    /// Unix; the workers share one.
    Unix(UnixListener),
}

impl Socket {
    /// One more descriptor of the same socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(tcp) => Self::Tcp(tcp.try_clone()?),
            Self::Unix(unix) => Self::Unix(unix.try_clone()?),
        })
    }

    /// Has it never wait.
    ///
    /// # Errors
    /// It is no socket.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_nonblocking(true),
            Self::Unix(unix) => unix.set_nonblocking(true),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
        }
    }
}

/// From a worker to the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// This generation is served from now on.
    Published {
        /// Which worker.
        worker: usize,
        /// The generation's number.
        generation: u64,
    },
    /// The last connection is gone; the worker has ended.
    Drained {
        /// Which worker.
        worker: usize,
        /// How many connections had to be cut.
        cut: u64,
    },
    /// The worker's loop goes round.
    Alive {
        /// Which worker.
        worker: usize,
    },
    /// The worker's thread ended by itself, which it never should.
    Died {
        /// Which worker.
        worker: usize,
    },
}

/// Where a worker's reports go. The control plane hears more than its workers, and this floor
/// need not know what else.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(Report) + Send + Sync>);

impl Reporter {
    /// Hands every report to `hear`, which must not block.
    pub fn new(hear: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Reports.
    pub fn send(&self, report: Report) {
        (self.0)(report);
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

/// What a worker starts with.
#[derive(Debug)]
pub struct WorkerSetup {
    /// Its number, from 0.
    pub worker: usize,
    /// How many there are.
    pub workers: usize,
    /// The first publication.
    pub first: Publication,
    /// Where orders come from.
    pub orders: tokio::sync::mpsc::Receiver<Order>,
    /// Where reports go.
    pub reports: Reporter,
    /// Where blocking work goes.
    pub blocking: BlockingPool,
    /// What it counts.
    pub counters: Arc<WorkerCounters>,
}
