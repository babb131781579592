//! For unit tests: an exchange made by hand.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::blocking::Jobs;
use super::{BlockingPool, ConnectionInfo, Exchange, WorkerLocals};
use crate::clock;
use crate::http::{HeaderName, Method, RequestHead};

/// Owns what an [`Exchange`] borrows.
///
/// ```ignore
/// let mut request = TestRequest::get("/a").header("Accept", "text/html");
/// let response = request.run(async |x| handler.handle(x).await);
/// ```
#[derive(Debug)]
pub(crate) struct TestRequest {
    /// The head; change it at will.
    pub(crate) head: RequestHead,
    /// From 192.0.2.1:50000 to 192.0.2.80:80 in the clear.
    pub(crate) connection: ConnectionInfo,
    /// Kept from one run to the next, as a worker's are.
    pub(crate) locals: WorkerLocals,
}

impl TestRequest {
    /// A GET of this target.
    #[track_caller]
    pub(crate) fn get(target: &str) -> Self {
        Self::new(Method::Get, target)
    }

    /// A request with this method and target. The blocking pool has one thread, which ends with
    /// the locals.
    #[track_caller]
    pub(crate) fn new(method: Method, target: &str) -> Self {
        let (blocking, jobs) = BlockingPool::new(8);
        start(jobs);
        let connection = ConnectionInfo {
            id: 1,
            peer: SocketAddr::from(([192, 0, 2, 1], 50_000)),
            local: SocketAddr::from(([192, 0, 2, 80], 80)),
            listener: Arc::from("test"),
            secure: false,
            announced: None,
            tls: std::cell::OnceCell::new(),
        };
        let mut head = RequestHead {
            method,
            ..RequestHead::default()
        };
        head.target.parse(target.as_bytes()).expect("a good target");
        Self {
            head,
            connection,
            locals: WorkerLocals::new(0, 1, blocking, Arc::default()),
        }
    }

    /// With this field added.
    #[track_caller]
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a good name");
        self.head.headers.append(&name, value);
        self
    }

    /// The next request of the same worker: another target, no fields.
    #[track_caller]
    pub(crate) fn again(mut self, target: &str) -> Self {
        self.head.clear();
        self.head
            .target
            .parse(target.as_bytes())
            .expect("a good target");
        self
    }

    /// The exchange.
    pub(crate) fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            route: "test",
            generation: 1,
            ..Exchange::new(&mut self.head, &self.connection, &self.locals, clock::now())
        }
    }

    /// Runs async code with the exchange.
    pub(crate) fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Exchange<'_>) -> T) -> T {
        let mut x = self.exchange();
        block_on(work(&mut x))
    }
}

/// Runs a future to its end on a runtime like a worker's.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn start(jobs: Jobs) {
    std::thread::Builder::new()
        .spawn(move || jobs.run(|| {}))
        .expect("a thread");
}
