//! A whole worker with its sockets, and what no configuration can make it do: panic.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{Sender, channel};

use super::connection::{self, Connection};
use super::mailbox::{ORDERS_MAX, Order, Publication, Report, Reporter, Socket, WorkerSetup};
use super::worker;
use crate::exchange::{
    BlockingPool, Body, BodyError, BodyStream, Exchange, Flow, Middleware, Outcome, Response,
};
use crate::generation::{Bind, Generation, Limits, Listener};
use crate::handlers::Handler;
use crate::http::StatusCode;
use crate::routing::PathPattern;
use crate::routing::chain::Chain;
use crate::routing::route::Route;
use crate::routing::rule::Rule;
use crate::routing::table::Table;
use crate::telemetry::WorkerCounters;

/// Panics in the hook that the path names; answers every other path with it.
#[derive(Debug, Default)]
pub(super) struct Fragile {
    /// What `on_complete` was told: the path, the status, and why.
    pub(super) completed: Mutex<Vec<String>>,
}

impl Middleware for Fragile {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        let path = x.request.target.raw().to_owned();
        assert_ne!(path, "/request", "as asked");
        let body = match path.as_str() {
            "/response" => return Flow::Continue,
            "/later" => {
                return Flow::Wait(Box::pin(async {
                    tokio::task::yield_now().await;
                    panic!("as asked, a little later");
                }));
            }
            "/body" => Body::Stream(Box::new(Breaking(false))),
            _ => Body::Bytes(Bytes::from(path)),
        };
        Flow::Respond(Response {
            body,
            ..Response::new(StatusCode::OK)
        })
    }

    fn on_response(&self, x: &mut Exchange<'_>, _: &mut Response) {
        assert_ne!(x.request.target.raw(), "/response", "as asked");
    }

    fn on_complete(&self, x: &Exchange<'_>, outcome: &Outcome) {
        let path = x.request.target.raw();
        assert_ne!(path, "/complete", "as asked");
        let status = outcome.status.map_or(0, StatusCode::code);
        let why = outcome.why.map_or("none", |why| why.as_str());
        let line = format!("{path} {status} {why}");
        let mut completed = self
            .completed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        completed.push(line);
    }
}

/// Gives one piece, then panics.
#[derive(Debug)]
struct Breaking(bool);

impl BodyStream for Breaking {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        assert!(!std::mem::replace(&mut self.0, true), "as asked");
        Poll::Ready(Some(Ok(Bytes::from_static(b"piece"))))
    }
}

/// A worker on a thread, with one listener and one route.
pub(super) struct Running {
    pub(super) address: std::net::SocketAddr,
    orders: Sender<Order>,
    counters: Arc<WorkerCounters>,
    thread: JoinHandle<std::io::Result<()>>,
}

fn generation(bind: Bind, chain: Chain) -> Generation {
    let route = Route {
        name: Arc::from("fragile"),
        chain,
        handler: Handler::NotFound,
        numbers: None,
    };
    let rule = Rule {
        hosts: Vec::new(),
        path: PathPattern::parse("/*").unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        priority: 0,
        position: 0,
        route: Arc::new(route),
    };
    let minute = Duration::from_mins(1);
    Generation {
        id: 1,
        listeners: vec![Listener {
            tls: None,
            name: Arc::from("web"),
            bind,
            table: Arc::new(Table::new(&[rule], Chain::default())),
            proxy_protocol: None,
            protocols: crate::generation::Protocols::ALL,
        }],
        workers: NonZeroUsize::MIN,
        blocking_threads: 1,
        blocking_queue: 1,
        limits: Limits {
            header_timeout: minute,
            keep_alive_timeout: minute,
            body_idle_timeout: minute,
            body_min_rate: 0,
            body_rate_grace: minute,
            write_idle_timeout: minute,
            request_line: 1024,
            headers: 1024,
            header_count: 20,
            body: 1024,
            connections: 10,
            requests_per_connection: 0,
            http2_streams: 100,
            http2_stream_window: 65_536,
            http2_connection_window: 65_536,
        },
        trusted_proxies: Vec::new(),
        server_header: None,
        drain_timeout: minute,
        drain_delay: Duration::ZERO,
        files: crate::build::Files::default(),
        probes: Vec::new(),
        toggles: Vec::new(),
        wanted: Vec::new(),
        tokens: None,
        refused: Chain::default(),
    }
}

pub(super) fn start(middleware: Arc<dyn Middleware>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let bind = Bind::Tcp(address);
    let generation = Arc::new(generation(bind.clone(), Chain::new([middleware])));
    let (orders, inbox) = channel(ORDERS_MAX);
    let (blocking, _) = BlockingPool::new(1);
    let counters = Arc::<WorkerCounters>::default();
    let setup = WorkerSetup {
        worker: 0,
        workers: 1,
        first: Publication {
            generation,
            sockets: vec![(bind, Socket::Tcp(listener))],
        },
        orders: inbox,
        reports: Reporter::new(|_: Report| {}),
        blocking,
        counters: Arc::clone(&counters),
    };
    let thread = std::thread::Builder::new().spawn(move || worker::run(setup));
    Running {
        address,
        orders,
        counters,
        thread: thread.unwrap(),
    }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// All that comes back on a connection of its own, which the worker closes.
    fn ask(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The answer on a connection that stays open.
    fn ask_on(stream: &mut TcpStream, path: &str) -> String {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(path.as_bytes()) {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }

    pub(super) fn end(self) -> Arc<WorkerCounters> {
        let timeout = Duration::from_secs(20);
        self.orders.try_send(Order::Drain { timeout }).unwrap();
        self.thread.join().unwrap().unwrap();
        self.counters
    }
}

#[test]
fn a_panic_ends_the_connection_it_is_on_and_nothing_else() {
    let fragile = Arc::new(Fragile::default());
    let worker = start(Arc::<Fragile>::clone(&fragile));
    let mut bystander = worker.connect();
    assert!(Running::ask_on(&mut bystander, "/before").starts_with("HTTP/1.1 200 OK\r\n"));
    for path in ["/request", "/later"] {
        let answer = worker.ask(path);
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    // Some of the content has gone out: the client must not take it for all of it.
    let cut = worker.ask("/body");
    assert!(cut.ends_with("\r\n\r\n5\r\npiece\r\n"), "{cut}");
    assert!(Running::ask_on(&mut bystander, "/after").starts_with("HTTP/1.1 200 OK\r\n"));
    drop(bystander);
    let counters = worker.end();
    assert_eq!(counters.panics.get(), 3);
    assert_eq!(counters.connections_open.get(), 0);
    assert_eq!(counters.exchanges_begun.get(), 5);
    assert_eq!(counters.exchanges_ended.get(), 5, "each was told its end");
    assert_eq!(
        *fragile.completed.lock().unwrap(),
        [
            "/before 200 none",
            "/request 500 panic",
            "/later 500 panic",
            "/body 200 panic",
            "/after 200 none"
        ]
    );
}

#[test]
fn a_panic_in_a_hook_behind_the_handler_is_an_answer_too() {
    let worker = start(Arc::<Fragile>::default());
    let answer = worker.ask("/response");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert_eq!(worker.end().panics.get(), 1);
}

#[test]
fn a_panic_when_all_is_said_ends_the_connection_and_is_counted() {
    let worker = start(Arc::<Fragile>::default());
    let mut stream = worker.connect();
    write!(stream, "GET /complete HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // What was written already may or may not have come.
    drop(stream.read_to_end(&mut answer));
    assert!(Running::ask_on(&mut worker.connect(), "/next").starts_with("HTTP/1.1 200 OK\r\n"));
    let counters = worker.end();
    assert_eq!(counters.panics.get(), 1);
    assert_eq!(counters.connections_open.get(), 0);
}

/// The size of the future that such a function gives.
pub(super) fn future_size<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
    size_of::<F>()
}

/// What an idle connection holds is these two, the runtime's task and registration, and its place
/// among the deadlines: within a kibibyte. Who needs room for a while boxes what needs it.
#[test]
fn a_connection_that_waits_is_small() {
    assert!(future_size(connection::serve) <= 128);
    assert!(size_of::<Connection>() <= 288);
}
